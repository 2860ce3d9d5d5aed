"""The simulated site on the wire: listeners, faults, log, and their common life."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from drivers.sim import classic, stock
from drivers.sim.answers import Dialect, Reply, reply_to
from drivers.sim.connection import Pace, Respond
from drivers.sim.digest import DigestGate
from drivers.sim.faults import FaultPlan
from drivers.sim.log import Answered, AnswerLog
from drivers.sim.machine import Machine
from drivers.sim.rpc import RpcServer
from drivers.sim.site import Site
from drivers.sim.web import WebServer

BACKLOG = 4096
LOG_FLUSH_S = 0.5
CANNED_LIMIT = 4096
DIALECTS: dict[str, Dialect] = classic.DIALECTS | stock.DIALECTS


class SimError(Exception):
    """The site cannot be put on the wire: what and why, in one line."""


def respond_live(machine: Machine, data: bytes, now: float) -> Reply:
    """Answer as the machine is at this moment."""
    return reply_to(DIALECTS[machine.model.dialect], machine, data, now)


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


class SimServer:
    """A site on the wire, as an async context manager; port 0 takes a free one.

    `log` names a file for the answers given, `observer` is called with each of them.
    """

    def __init__(
        self,
        site: Site,
        *,
        rpc_port: int = 4028,
        web_port: int = 80,
        pace: Pace | None = None,
        replay: bool = False,
        log: Path | None = None,
        observer: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.faults = FaultPlan(site)
        self.rpc_port = rpc_port
        self.web_port = web_port
        self._pace = pace or Pace()
        self._replay = replay
        self._respond = respond_canned() if replay else respond_live
        self._log_path = log
        self._observer = observer
        self._log: AnswerLog | None = None
        self._rpc: RpcServer | None = None
        self._web: WebServer | None = None
        self._web_listener: asyncio.Server | None = None
        self._flusher: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> SimServer:
        """Listen on both ports; afterwards `rpc_port` and `web_port` are the real ones.

        Raises SimError where a port cannot be had, OSError where the log cannot be written.
        """
        # Only under load: a client that does not speak would wait for a reset in vain.
        rpc = listen(self.rpc_port, deferred=self._replay)
        try:
            web = listen(self.web_port)
            try:
                self._log = AnswerLog(self._log_path) if self._log_path else None
            except OSError:
                web.close()
                raise
        except (SimError, OSError):
            rpc.close()
            raise
        self.rpc_port, self.web_port = rpc.getsockname()[1], web.getsockname()[1]
        await self._start(rpc, web)
        return self

    async def _start(self, rpc: socket.socket, web: socket.socket) -> None:
        self._flush()
        sink = self._note if self._log or self._observer else None
        self._rpc = RpcServer(self.site, rpc, self._respond, self.faults, self._pace, sink)
        self._rpc.start()
        gate = DigestGate(os.urandom(16), self.site.clock)
        self._web = WebServer(self.site, self.web_port, gate, self._pace, sink)
        loop = asyncio.get_running_loop()
        self._web_listener = await loop.create_server(
            self._web.connection, sock=web, backlog=BACKLOG
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every socket and write the log out."""
        if self._web_listener and self._web and self._rpc:
            self._web_listener.close()
            self._web.close()
            self._rpc.close()
            await self._web_listener.wait_closed()
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
