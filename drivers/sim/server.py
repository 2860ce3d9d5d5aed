"""The simulated site on the wire: listeners, faults, log, and their common life."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from drivers.sim.answers import Reply
from drivers.sim.asking import Sockets
from drivers.sim.connection import Pace
from drivers.sim.digest import DigestGate
from drivers.sim.face import Face, Respond
from drivers.sim.faces import face_of
from drivers.sim.faults import FaultPlan
from drivers.sim.framed import FramedConnection
from drivers.sim.log import Answered, AnswerLog
from drivers.sim.machine import Machine
from drivers.sim.rpc import RpcServer
from drivers.sim.site import Site
from drivers.sim.web import listener, respond_http

BACKLOG = 4096
LOG_FLUSH_S = 0.5
CANNED_LIMIT = 4096


class SimError(Exception):
    """The site cannot be put on the wire: what and why, in one line."""


def respond_live(machine: Machine, data: bytes, now: float) -> Reply:
    """Answer at the RPC port as the machine is at this moment."""
    face = face_of(machine.model.dialect)
    if face.http_on_rpc:
        return respond_http(face.http_on_rpc, machine, data, now)
    return face.rpc(machine, data, now) if face.rpc else Reply(b"")


def respond_canned() -> Respond:
    """A responder that makes one answer per machine type, request and second for all of a type.

    The first machine of a type speaks for all of it; its uptime goes on, as a client expects.
    """
    speakers: dict[str, Machine] = {}
    canned: dict[tuple[str, bytes], tuple[int, Reply]] = {}

    def respond(machine: Machine, data: bytes, now: float) -> Reply:
        key, second = (machine.model.name, data), int(now)
        made = canned.get(key)
        if made is None or made[0] != second:
            speaker = speakers.setdefault(machine.model.name, machine)
            made = second, respond_live(speaker, data, now)
            if key in canned or len(canned) < CANNED_LIMIT:
                canned[key] = made
        return made[1]

    return respond


def listen(port: int, *, deferred: bool = False) -> socket.socket:
    """A listener on every loopback address at once, that nothing outside can reach.

    `deferred` accepts a connection only when its request has come, which spares a wake-up.

    Raises SimError where the port or the binding to the loopback device is refused.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before bind: unprivileged since Linux 5.7, as long as no device is bound yet.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    except OSError as error:
        sock.close()
        raise SimError(f"cannot bind to the loopback device: {error.strerror}") from error
    try:
        sock.bind(("0.0.0.0", port))  # noqa: S104  bound to the loopback device above
        if deferred:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise SimError(f"cannot listen on port {port}: {error.strerror}") from error
    return sock


def _face(machine: Machine) -> Face:
    return face_of(machine.model.dialect)


class SimServer:
    """A site on the wire, as an async context manager; port 0 takes a free one.

    The ports are those of `Endpoint`; `more_ports` are side and framed.

    `log` names a file for the answers given, `observer` is called with each of them.
    """

    def __init__(
        self,
        site: Site,
        *,
        rpc_port: int = 4028,
        web_port: int = 80,
        more_ports: tuple[int, int] = (0, 0),
        pace: Pace | None = None,
        replay: bool = False,
        log: Path | None = None,
        observer: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.faults = FaultPlan(site)
        self.rpc_port = rpc_port
        self.web_port = web_port
        self.side_port, self.framed_port = more_ports
        self._pace = pace or Pace()
        self._replay = replay
        self._gate = DigestGate(os.urandom(16), site.clock)
        self._respond = respond_canned() if replay else respond_live
        self._log_path = log
        self._observer = observer
        self._log: AnswerLog | None = None
        self._rpc: RpcServer | None = None
        self._sides: list[tuple[asyncio.Server, Sockets]] = []
        self._flusher: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> SimServer:
        """Listen on every port; afterwards `rpc_port` and the others are the real ones.

        Raises SimError where a port cannot be had, OSError where the log cannot be written.
        """
        listening: list[socket.socket] = []
        try:
            # Only under load: a client that does not speak would wait for a reset in vain.
            listening.append(listen(self.rpc_port, deferred=self._replay))
            for port in (self.web_port, self.side_port, self.framed_port):
                listening.append(listen(port))  # noqa: PERF401  what was opened must be closed
            self._log = AnswerLog(self._log_path) if self._log_path else None
        except (SimError, OSError):
            for sock in listening:
                sock.close()
            raise
        await self._start(*listening)
        return self

    async def _start(
        self, rpc: socket.socket, web: socket.socket, side: socket.socket, framed: socket.socket
    ) -> None:
        self._flush()
        sink = self._note if self._log or self._observer else None
        self._rpc = RpcServer(self.site, rpc, self._respond, self.faults, self._pace, sink)
        self._rpc.start()
        self.rpc_port = self._rpc.port
        gate = self._gate
        self.web_port = await self._serve(
            web, "web", lambda sockets: listener(sockets, lambda m: _face(m).web, gate)
        )
        self.side_port = await self._serve(
            side, "side", lambda sockets: listener(sockets, lambda m: _face(m).side, gate)
        )
        self.framed_port = await self._serve(
            framed,
            "framed",
            lambda sockets: lambda: FramedConnection(sockets, lambda m: _face(m).framed),
        )

    async def _serve(
        self,
        sock: socket.socket,
        name: str,
        made: Callable[[Sockets], Callable[[], asyncio.Protocol]],
    ) -> int:
        port: int = sock.getsockname()[1]
        sink = self._note if self._log or self._observer else None
        sockets = Sockets(
            self.site,
            port,
            self._pace,
            lambda machine: self.faults if _face(machine).polled == name else None,
            sink,
        )
        server = await asyncio.get_running_loop().create_server(
            made(sockets), sock=sock, backlog=BACKLOG
        )
        self._sides.append((server, sockets))
        return port

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every socket and write the log out."""
        if self._rpc:
            self._rpc.close()
        for server, sockets in self._sides:
            server.close()
            sockets.close()
        for server, _ in self._sides:
            await server.wait_closed()
        await asyncio.sleep(0)  # aborted connections close in the loop's next turn
        if self._flusher:
            self._flusher.cancel()
        if self._log:
            self._log.close()

    def flush_log(self) -> None:
        """Give the log's lines to the kernel now."""
        if self._log:
            self._log.flush()

    def _flush(self) -> None:
        self.flush_log()
        self._flusher = asyncio.get_running_loop().call_later(LOG_FLUSH_S, self._flush)

    def _note(self, answered: Answered) -> None:
        if self._log:
            self._log(answered)
        if self._observer:
            self._observer(answered)
