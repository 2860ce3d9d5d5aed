"""The RPC side of the site: raw sockets in one epoll set, no task per connection."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import struct
from collections.abc import Callable

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.faults import Fault, FaultPlan
from drivers.sim.log import Answered
from drivers.sim.machine import Machine
from drivers.sim.protocol import REQUEST_BYTES
from drivers.sim.site import Site

ACCEPT_BATCH = 256
EVENT_BATCH = 512
_RESET = struct.pack("ii", 1, 0)
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_HANGUP = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP

Respond = Callable[[Machine, bytes, float], Reply]
"""Machine, request, moment: the answer."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take on the wire."""

    delay_scale: float = 1.0
    """Factor on each machine's own thinking time; 0 answers at once."""
    tarpit_s: float = 120.0
    drip_s: float = 1.0
    idle_s: float = 60.0
    """A client that never asks is dropped after this long."""
    sweep_s: float = 0.5


def reset(sock: socket.socket) -> None:
    """Close with a TCP reset, as an address with nobody there would."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    finally:
        sock.close()


class Connection:
    """One client's connection, from accept to close."""

    __slots__ = (
        "address", "fault", "machine", "reply", "rest", "server", "sock", "until", "whole",
    )  # fmt: skip

    def __init__(
        self,
        server: RpcServer,
        sock: socket.socket,
        address: str,
        machine: Machine,
        fault: Fault | None,
    ) -> None:
        self.server = server
        self.sock = sock
        self.address = address
        self.machine = machine
        self.fault = fault
        self.reply = Reply(b"")
        self.rest = b""
        self.until = 0.0
        self.whole = False

    def begin(self) -> None:
        """Meet the fault that strikes on accept, or read the request."""
        if self.fault and self.fault.on_accept:
            self.fault.on_accept(self)
        else:
            self.receive()

    def receive(self) -> None:
        """Read once, as cgminer does; wait where nothing has come yet."""
        try:
            data = self.sock.recv(REQUEST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.server.wait(self, select.EPOLLIN, self.server.pace.idle_s)
            return
        except OSError:
            data = b""
        if not data:
            self.server.drop(self)
            return
        self.server.forget(self)
        delay_s = self.machine.delay_s * self.server.pace.delay_scale
        if delay_s:
            self.server.keep(self)
            self.server.loop.call_later(delay_s, self.answer, data)
        else:
            self.answer(data)

    def answer(self, data: bytes) -> None:
        """Answer a request, through the fault where there is one."""
        if self.sock.fileno() < 0:  # the server was closed meanwhile
            return
        fault, now = self.fault, self.server.site.clock()
        if fault is None:
            self.reply = self.server.respond(self.machine, data, now)
            self.send(self.reply.body, complete=True)
            return
        if fault.freezes:
            self.machine.stale_at = now = self.machine.stale_at or now
        self.reply = self.server.respond(self.machine, data, now)
        body = fault.mangle(self.reply.body) if fault.mangle else self.reply.body
        if body != self.reply.body:
            self.reply = msgspec.structs.replace(self.reply, malformed=True)
        fault.deliver(self, body)

    # --- what a fault may do ------------------------------------------------------------

    def send(self, body: bytes, *, complete: bool) -> None:
        """Send everything, then close."""
        try:
            sent = self.sock.send(body, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end(complete=False)
            return
        if sent == len(body):
            self.end(complete=complete)
            return
        self.rest, self.whole = body[sent:], complete
        self.server.wait(self, select.EPOLLOUT, self.server.pace.tarpit_s)

    def drip(self, body: bytes) -> None:
        """Send byte by byte, then close; give up when the bound for held clients passes."""
        loop, pace = self.server.loop, self.server.pace
        self.until = self.until or loop.time() + pace.tarpit_s
        if self.sock.fileno() < 0:
            return
        try:
            self.sock.send(body[:1], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            self.end(complete=False)
            return
        if len(body) == 1 or loop.time() > self.until:
            self.end(complete=len(body) == 1)
            return
        self.server.keep(self)
        loop.call_later(pace.drip_s, self.drip, body[1:])

    def hold(self) -> None:
        """Say nothing until the bound passes or the client has gone."""
        self.server.wait(self, select.EPOLLRDHUP, self.server.pace.tarpit_s)

    def reset(self, first: bytes = b"") -> None:
        """Send `first`, then reset the connection."""
        if first:
            try:
                self.sock.send(first, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError:
                first = b""
        self.server.note(self, complete=False)
        self.server.forget(self)
        reset(self.sock)

    # --- endings ------------------------------------------------------------------------

    def resume(self, events: int) -> None:
        """Go on after waiting: read, write on, or see that the client has gone."""
        if self.rest:
            self.send(self.rest, complete=self.whole)
        elif events & _HANGUP and not events & select.EPOLLIN:
            self.server.drop(self)
        elif events & select.EPOLLIN:
            self.receive()

    def end(self, *, complete: bool) -> None:
        """Close in order and note what was given."""
        self.server.forget(self)
        self.sock.close()
        self.server.note(self, complete=complete)


class RpcServer:
    """Serves the RPC port of every machine of the site from one listening socket."""

    def __init__(
        self,
        site: Site,
        listener: socket.socket,
        respond: Respond,
        faults: FaultPlan,
        pace: Pace,
        log: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.respond = respond
        self.pace = pace
        self.port: int = listener.getsockname()[1]
        self.loop = asyncio.get_running_loop()
        self._listener = listener
        self._faults = faults
        self._log = log
        self._epoll = select.epoll()
        self._waiting: dict[int, Connection] = {}
        self._held: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self.loop.add_reader(self._epoll.fileno(), self._on_events)
        self._sweep()

    def close(self) -> None:
        """Stop accepting and reset whoever is still waiting."""
        if self._epoll.closed:
            return
        if self._timer:
            self._timer.cancel()
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._listener.close()
        for connection in list(self._held):
            reset(connection.sock)
        self._held.clear()
        self._waiting.clear()

    # --- for connections ----------------------------------------------------------------

    def wait(self, connection: Connection, events: int, limit_s: float) -> None:
        """Have `resume` called on these events; drop the connection after `limit_s`."""
        number = connection.sock.fileno()
        if number in self._waiting:
            self._epoll.modify(number, events)
            return
        self._epoll.register(number, events)
        self._waiting[number] = connection
        self._held[connection] = self.loop.time() + limit_s

    def keep(self, connection: Connection) -> None:
        """Remember a connection that a timer goes on with, so that closing finds it."""
        self._held.setdefault(connection, self.loop.time() + self.pace.tarpit_s + self.pace.idle_s)

    def forget(self, connection: Connection) -> None:
        """Wait no longer for anything on this connection."""
        if not self._held:
            return
        self._held.pop(connection, None)
        number = connection.sock.fileno()
        if self._waiting.get(number) is connection:
            del self._waiting[number]
            self._epoll.unregister(number)

    def drop(self, connection: Connection) -> None:
        """Close a connection on which nobody asked or nobody was answered."""
        if connection.fault and connection.fault.on_accept:
            self.note(connection, complete=False)
        self.forget(connection)
        connection.sock.close()

    def note(self, connection: Connection, *, complete: bool) -> None:
        """Log what the client was given."""
        if self._log is None:
            return
        reply = connection.reply
        self._log(
            Answered(
                t=self.site.clock(),
                address=connection.address,
                port=self.port,
                command=reply.command,
                complete=complete,
                fault=connection.fault.name if connection.fault else None,
                malformed=reply.malformed,
                ghs=reply.ghs,
                elapsed=reply.elapsed,
            )
        )

    # --- events -------------------------------------------------------------------------

    def _on_events(self) -> None:
        listener = self._listener.fileno()
        for number, events in self._epoll.poll(0, EVENT_BATCH):
            if number == listener:
                self._accept()
            elif connection := self._waiting.get(number):
                connection.resume(events)

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._rest_after(error)
                return
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        try:
            address = sock.getsockname()[0]
        except OSError:
            sock.close()
            return
        machine = self.site.at(address)
        if machine is None:
            reset(sock)
            return
        fault = None if self._faults.idle else self._faults.pick(address)
        Connection(self, sock, address, machine, fault).begin()

    def _rest_after(self, error: OSError) -> None:
        # Level-triggered: without a pause a full descriptor table would spin the loop.
        if error.errno in _NO_ROOM:
            self._epoll.unregister(self._listener.fileno())
            self.loop.call_later(0.1, self._accept_again)

    def _accept_again(self) -> None:
        if not self._epoll.closed:
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [held for held, until in self._held.items() if until < now]:
            self.drop(connection)
        self._timer = self.loop.call_later(self.pace.sweep_s, self._sweep)
