"""Thousands of short TCP connections at once, at few system calls each.

An asyncio stream per poll costs a transport, a protocol and their callbacks. Here all
sockets hang in one epoll set of their own, which is looked at in turns of a few milliseconds
while anything is open: a poll costs socket, connect, send, receive, close and one future, and
thousands of answers a second do not wake the event loop one by one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from types import TracebackType
from typing import Protocol, Self

from drivers.errors import DeviceTimeout, DriverError, NoResources, Unreachable

RECEIVE_BYTES = 32_768
TURN_S = 0.004
"""How often the sockets are looked at. A miner thinks for 20 ms and more; see
docs/measurements.md for what the turns save."""
TICK_S = 0.05
"""How late a deadline may be noticed."""

_EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_SENDABLE = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
_READABLE = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP
_AT_END = select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; lets connect() share a source port between targets
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
"""What this host has run out of; no fault of the device."""


class Talk(Protocol):
    """What is said on one connection. Pure; what it raises ends the connection."""

    name: str
    """Whom errors name."""
    request: bytes
    """What is to be sent next; `take` may put something here."""

    @property
    def size(self) -> int:
        """Bytes that came of the answer."""

    def take(self, data: bytes) -> bool:
        """Take the next piece; True where nothing more is wanted."""

    def end(self) -> None:
        """The device closed the connection; raises where something is missing."""

    def broken(self, error: DriverError) -> None:
        """The connection broke; raises where something is missing."""


class _Connection:
    __slots__ = (
        *("bucket", "connect_s", "deadline_s", "done", "sent", "sock", "talk", "unsent", "until"),
    )

    def __init__(
        self, sock: socket.socket, talk: Talk, deadline_s: float, done: asyncio.Future[None]
    ) -> None:
        self.sock = sock
        self.talk = talk
        self.deadline_s = deadline_s
        self.connect_s: float | None = None
        """The shorter deadline that holds until the request was sent."""
        self.until = 0.0
        self.done = done
        self.unsent = b""
        self.sent = False
        self.bucket: dict[_Connection, None] = {}
        """Those whose deadline is noticed together with this one's."""


class Sockets:
    """All open connections of one way out; belongs to one running event loop.

    `source_address` and `interface` choose the way, for hosts with a miners' network.
    """

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._source_address = source_address
        self._interface = interface
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._deadlines: dict[int, dict[_Connection, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._checked_tick = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        way = self._source_address or "any"
        return f"<{type(self).__name__} from {way}: {len(self._open)} open>"

    def close(self) -> None:
        """Break every open connection and give the descriptors back."""
        for connection in list(self._open.values()):
            self._fail(connection, Unreachable(f"{connection.talk.name}: the wire was closed"))
        if self._timer:
            self._timer.cancel()
        self._epoll.close()

    async def _converse(
        self,
        address: str,
        port: int,
        talk: Talk,
        deadline_s: float,
        connect_s: float | None = None,
    ) -> None:
        """Connect and talk until the end.

        Raises what the talk raises, and `DriverError`s whose `sent` says whether the device may
        have heard something.
        """
        if deadline_s <= 0:
            raise DeviceTimeout(f"{talk.name}: no time left to ask")
        if self._epoll.closed:
            raise Unreachable(f"{talk.name}: the wire was closed")
        sock = self._connect(address, port, talk.name)
        connection = _Connection(sock, talk, deadline_s, self._loop.create_future())
        fd = sock.fileno()
        self._open[fd] = connection
        self._watch_deadlines(connection, connect_s)
        if self._timer is None:
            self._timer = self._loop.call_later(TURN_S, self._turn)
        try:
            self._epoll.register(fd, _EDGE)
            await connection.done
        except OSError as error:
            if isinstance(error, DriverError):  # a DeviceTimeout is a TimeoutError, too
                raise
            raise _translated(error, talk.name) from None
        finally:
            self._drop(connection)

    def _connect(self, address: str, port: int, name: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise _translated(error, name) from None
        try:
            self._choose_way_out(sock)
            sock.connect((address, port))
        except BlockingIOError:
            pass
        except OSError as error:
            sock.close()
            raise _translated(error, name) from None
        return sock

    def _choose_way_out(self, sock: socket.socket) -> None:
        if self._interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        if self._source_address:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self._source_address, 0))

    # --- events ------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            self._serve_ready()
            tick = int(self._loop.time() / TICK_S)
            if tick != self._checked_tick:
                self._checked_tick = tick
                self._end_overdue(tick)
        finally:  # whatever one socket brings, the others are looked at again
            self._timer = self._loop.call_later(TURN_S, self._turn) if self._open else None

    def _serve_ready(self) -> None:
        for fd, events in self._epoll.poll(0):
            connection = self._open.get(fd)
            if connection is None:
                continue
            try:
                if events & _SENDABLE:
                    self._send(connection)
                if events & _READABLE:
                    self._receive(connection, at_end=bool(events & _AT_END))
            except BlockingIOError:
                continue
            except DriverError as error:
                self._fail(connection, error)
            except OSError as error:
                self._break(connection, _translated(error, connection.talk.name))

    def _send(self, connection: _Connection) -> None:
        """Send what there is. Small requests leave in one piece: some firmwares receive once."""
        data = connection.unsent or connection.talk.request
        if not data:
            return
        connection.talk.request = b""
        connection.unsent = data
        count = connection.sock.send(data)
        connection.unsent = data[count:]
        if not connection.sent:
            connection.sent = True
            self._watch_answer(connection)

    def _receive(self, connection: _Connection, *, at_end: bool) -> None:
        talk = connection.talk
        while True:
            data = connection.sock.recv(RECEIVE_BYTES)
            if not data:
                talk.end()
                self._finish(connection)
                return
            if talk.take(data):
                self._finish(connection)
                return
            if talk.request:
                self._send(connection)
            # Edge-triggered: a short read has emptied the socket, the next data is a new edge,
            # but an end that is already known gives no further one.
            if len(data) < RECEIVE_BYTES and not at_end:
                return

    def _break(self, connection: _Connection, error: DriverError) -> None:
        try:
            connection.talk.broken(error)
        except DriverError as problem:
            self._fail(connection, problem)
        else:
            self._finish(connection)

    def _finish(self, connection: _Connection) -> None:
        self._drop(connection)
        if not connection.done.done():
            connection.done.set_result(None)

    def _fail(self, connection: _Connection, error: DriverError) -> None:
        error.sent = connection.sent
        self._drop(connection)
        if not connection.done.done():
            connection.done.set_exception(error)

    def _drop(self, connection: _Connection) -> None:
        fd = connection.sock.fileno()
        if fd >= 0:
            del self._open[fd]
            connection.sock.close()
            connection.bucket.pop(connection, None)

    # --- deadlines ---------------------------------------------------------------------

    def _watch_deadlines(self, connection: _Connection, connect_s: float | None) -> None:
        now = self._loop.time()
        connection.until = now + connection.deadline_s
        if connect_s is not None and connect_s < connection.deadline_s:
            connection.connect_s = connect_s
            self._watch(connection, now + connect_s)
        else:
            self._watch(connection, connection.until)

    def _watch_answer(self, connection: _Connection) -> None:
        """It is connected: from now on the whole deadline counts."""
        if connection.connect_s is not None:
            connection.connect_s = None
            connection.bucket.pop(connection, None)
            self._watch(connection, connection.until)

    def _watch(self, connection: _Connection, until: float) -> None:
        tick = int(until / TICK_S) + 1
        bucket = self._deadlines.get(tick)
        if bucket is None:
            bucket = self._deadlines[tick] = {}
        bucket[connection] = None
        connection.bucket = bucket

    def _end_overdue(self, now_tick: int) -> None:
        for tick in [tick for tick in self._deadlines if tick <= now_tick]:
            for connection in list(self._deadlines.pop(tick)):
                self._fail(connection, DeviceTimeout(_late(connection)))


def _late(connection: _Connection) -> str:
    name, size = connection.talk.name, connection.talk.size
    if connection.connect_s is not None:
        return f"{name}: not connected within {connection.connect_s:g} s"
    heard = f"{size} bytes of it" if size else "nothing"
    return f"{name}: no whole answer within {connection.deadline_s:g} s, {heard} came"


def _translated(error: OSError, name: str) -> DriverError:
    words = os.strerror(error.errno) if error.errno else str(error)
    kind = NoResources if error.errno in _OURS else Unreachable
    return kind(f"{name}: {words}")
