"""One client's connection to the RPC port, from accept to close."""

from __future__ import annotations

import select
import socket
import struct
from asyncio import AbstractEventLoop
from typing import Protocol

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.face import Respond
from drivers.sim.faults import Fault
from drivers.sim.machine import Machine
from drivers.sim.protocol import REQUEST_BYTES
from drivers.sim.site import Site

_RESET = struct.pack("ii", 1, 0)
_HANGUP = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


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


class Host(Protocol):
    """What a connection needs of the server that accepted it."""

    pace: Pace
    site: Site
    respond: Respond
    loop: AbstractEventLoop

    def wait(self, connection: Connection, events: int, limit_s: float) -> None:
        """Have `resume` called on these events; drop the connection after `limit_s`."""

    def keep(self, connection: Connection) -> None:
        """Remember a connection that a timer goes on with."""

    def forget(self, connection: Connection) -> None:
        """Wait no longer for anything on this connection."""

    def drop(self, connection: Connection) -> None:
        """Close a connection on which nobody asked or nobody was answered."""

    def note(self, connection: Connection, *, complete: bool) -> None:
        """Log what the client was given."""


class Connection:
    """Reads one request, answers it as the fault has it, and closes."""

    __slots__ = (
        "address", "fault", "machine", "reply", "rest", "server", "sock", "until", "whole",
    )  # fmt: skip

    def __init__(
        self,
        server: Host,
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
            self.give(self.reply)
            return
        if fault.freezes:
            self.machine.stale_at = now = self.machine.stale_at or now
        self.reply = self.server.respond(self.machine, data, now)
        body = fault.mangle(self.reply.body) if fault.mangle else self.reply.body
        if body != self.reply.body:
            self.reply = msgspec.structs.replace(self.reply, malformed=True)
        fault.deliver(self, body)

    def give(self, reply: Reply) -> None:
        """Send an answer when the machine has taken its time for it; or hang up."""
        delay_s = reply.after_s * self.server.pace.delay_scale
        if reply.silent:
            self.end(complete=False)
        elif delay_s:
            self.server.keep(self)
            self.server.loop.call_later(delay_s, self._give_late, reply.body)
        else:
            self.send(reply.body, complete=True)

    def _give_late(self, body: bytes) -> None:
        if self.sock.fileno() >= 0:
            self.send(body, complete=True)

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
