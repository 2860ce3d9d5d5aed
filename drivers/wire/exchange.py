"""One request, one answer, one TCP connection: thousands of them at once, at few system calls each.

An asyncio stream per poll costs a transport, a protocol and their callbacks. Here all
sockets of a wire hang in one epoll set of their own, which is looked at in turns of a few
milliseconds while anything is open: a poll costs socket, connect, send, receive, close and
one future, and thousands of answers a second do not wake the event loop one by one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from drivers.errors import BadReply, DeviceTimeout, DriverError, NoResources, Unreachable

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
OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
"""What this host has run out of; no fault of the device."""


LengthOf = Callable[[bytes], int | None]


class _Talk:
    """What is still to be asked on a connection whose protocol says lengths."""

    __slots__ = ("answers", "buffer", "length_of", "requests")

    def __init__(self, requests: Sequence[bytes], length_of: LengthOf) -> None:
        self.requests = deque(requests)
        self.length_of = length_of
        self.buffer = bytearray()
        self.answers: list[bytes] = []


class _Exchange:
    __slots__ = ("answer", "bucket", "chunks", "limit", "peer", "request", "size", "sock", "talk")

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        request: bytes,
        limit: int,
        answer: asyncio.Future[bytes],
        talk: _Talk | None = None,
    ) -> None:
        self.sock = sock
        self.peer = peer
        self.request: bytes | None = request
        self.limit = limit
        self.size = 0
        self.chunks: list[bytes] = []
        self.answer = answer
        self.talk = talk
        self.bucket: dict[_Exchange, None] = {}
        """Those whose deadline is noticed together with this one's."""


class SocketWire:
    """The `Wire` of `drivers.api` over real sockets; belongs to one running event loop.

    `source_address` and `interface` choose the way out, for hosts with a miners' network.
    """

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._source_address = source_address
        self._interface = interface
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._open: dict[int, _Exchange] = {}
        self._deadlines: dict[int, dict[_Exchange, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._checked_tick = 0

    async def __aenter__(self) -> SocketWire:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SocketWire from {self._source_address or 'any'}: {len(self._open)} open>"

    def close(self) -> None:
        """Break every open exchange and give the descriptors back."""
        for exchange in list(self._open.values()):
            self._fail(exchange, Unreachable(f"{exchange.peer}: the wire was closed"))
        if self._timer:
            self._timer.cancel()
        self._epoll.close()

    async def exchange(
        self, address: str, port: int, request: bytes, *, deadline_s: float, limit_bytes: int
    ) -> bytes:
        """Send `request` in one write; return what comes until EOF or NUL, without the NUL."""
        return await self._ask(address, port, request, None, deadline_s, limit_bytes)

    async def converse(
        self,
        address: str,
        port: int,
        requests: Sequence[bytes],
        *,
        length_of: LengthOf,
        deadline_s: float,
        limit_bytes: int,
    ) -> list[bytes]:
        """Ask one thing after the other on one connection; see `drivers.api.Wire`."""
        first, *rest = requests
        talk = _Talk(rest, length_of)
        last = await self._ask(address, port, first, talk, deadline_s, limit_bytes)
        return [*talk.answers, last] if last else talk.answers

    async def _ask(
        self,
        address: str,
        port: int,
        request: bytes,
        talk: _Talk | None,
        deadline_s: float,
        limit_bytes: int,
    ) -> bytes:
        peer = f"{address}:{port}"
        if deadline_s <= 0:
            raise DeviceTimeout(f"{peer}: no time left to ask")
        if self._epoll.closed:
            raise Unreachable(f"{peer}: the wire was closed")
        sock = self._connect(address, port)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        exchange = _Exchange(sock, peer, request, limit_bytes, answer, talk)
        fd = sock.fileno()
        self._open[fd] = exchange
        self._watch_deadline(exchange, deadline_s)
        if self._timer is None:
            self._timer = self._loop.call_later(TURN_S, self._turn)
        try:
            self._epoll.register(fd, _EDGE)
            return await answer
        except OSError as error:
            if isinstance(error, DriverError):  # a DeviceTimeout is a TimeoutError, too
                raise
            raise _translated(error, peer) from None
        finally:
            self._drop(exchange)

    def _connect(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise _translated(error, f"{address}:{port}") from None
        try:
            self._choose_way_out(sock)
            sock.connect((address, port))
        except BlockingIOError:
            pass
        except OSError as error:
            sock.close()
            raise _translated(error, f"{address}:{port}") from None
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
            exchange = self._open.get(fd)
            if exchange is None:
                continue
            try:
                if exchange.request is not None and events & _SENDABLE:
                    self._send(exchange)
                if events & _READABLE:
                    self._receive(exchange, at_end=bool(events & _AT_END))
            except BlockingIOError:
                continue
            except OSError as error:
                self._break(exchange, _translated(error, exchange.peer))

    def _break(self, exchange: _Exchange, error: DriverError) -> None:
        """The connection broke: a device that closes after an answer may reset it, too."""
        if exchange.talk is not None and exchange.talk.answers:
            self._end_early(exchange, exchange.talk)
        else:
            self._fail(exchange, error)

    def _send(self, exchange: _Exchange) -> None:
        request = exchange.request or b""
        exchange.request = None
        # The firmware does one recv: a request that leaves in two pieces is lost anyway.
        if exchange.sock.send(request) != len(request):
            self._fail(exchange, Unreachable(f"{exchange.peer}: the request was not taken whole"))

    def _receive(self, exchange: _Exchange, *, at_end: bool) -> None:
        if exchange.talk is not None:
            self._receive_framed(exchange, exchange.talk)
            return
        while True:
            data = exchange.sock.recv(RECEIVE_BYTES)
            if not data:
                self._finish(exchange)
                return
            end = data.find(0)
            exchange.chunks.append(data if end < 0 else data[:end])
            exchange.size += len(data)
            if exchange.size > exchange.limit:
                problem = f"{exchange.peer}: answer over {exchange.limit} bytes"
                self._fail(exchange, BadReply(problem, exchange.chunks[0]))
                return
            if end >= 0:
                self._finish(exchange)
                return
            # Edge-triggered: a short read has emptied the socket, the next data is a new edge,
            # but an end that is already known gives no further one.
            if len(data) < RECEIVE_BYTES and not at_end:
                return

    def _receive_framed(self, exchange: _Exchange, talk: _Talk) -> None:
        while exchange.sock.fileno() >= 0:
            data = exchange.sock.recv(RECEIVE_BYTES)
            if not data:
                self._end_early(exchange, talk)
                return
            talk.buffer += data
            exchange.size = len(talk.buffer)
            length = talk.length_of(bytes(talk.buffer[:16]))
            if max(exchange.size, length or 0) > exchange.limit:
                problem = f"{exchange.peer}: answer over {exchange.limit} bytes"
                self._fail(exchange, BadReply(problem, bytes(talk.buffer[:200])))
            elif length is not None and exchange.size >= length:
                self._take_frame(exchange, talk, length)

    def _take_frame(self, exchange: _Exchange, talk: _Talk, length: int) -> None:
        frame = bytes(talk.buffer[:length])
        if not talk.requests:
            exchange.chunks.append(frame)
            self._finish(exchange)
            return
        talk.answers.append(frame)
        talk.buffer.clear()  # nothing was asked that could already be answered
        exchange.request = talk.requests.popleft()
        self._send(exchange)

    def _end_early(self, exchange: _Exchange, talk: _Talk) -> None:
        """The device closed: what it has answered counts, half a frame does not."""
        if not talk.answers:
            problem = f"{exchange.peer}: closed after {len(talk.buffer)} bytes of an answer"
            self._fail(exchange, Unreachable(problem))
            return
        self._drop(exchange)
        if not exchange.answer.done():
            exchange.answer.set_result(b"")

    def _finish(self, exchange: _Exchange) -> None:
        chunks = exchange.chunks
        if not chunks:
            self._fail(exchange, Unreachable(f"{exchange.peer}: closed without an answer"))
            return
        self._drop(exchange)
        if not exchange.answer.done():
            exchange.answer.set_result(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _fail(self, exchange: _Exchange, error: DriverError) -> None:
        error.sent = exchange.request is None
        self._drop(exchange)
        if not exchange.answer.done():
            exchange.answer.set_exception(error)

    def _drop(self, exchange: _Exchange) -> None:
        fd = exchange.sock.fileno()
        if fd >= 0:
            del self._open[fd]
            exchange.sock.close()
            exchange.bucket.pop(exchange, None)

    # --- deadlines ---------------------------------------------------------------------

    def _watch_deadline(self, exchange: _Exchange, deadline_s: float) -> None:
        tick = int((self._loop.time() + deadline_s) / TICK_S) + 1
        bucket = self._deadlines.get(tick)
        if bucket is None:
            bucket = self._deadlines[tick] = {}
        bucket[exchange] = None
        exchange.bucket = bucket

    def _end_overdue(self, now_tick: int) -> None:
        for tick in [tick for tick in self._deadlines if tick <= now_tick]:
            for exchange in list(self._deadlines.pop(tick)):
                heard = f"after {exchange.size} bytes" if exchange.size else "no answer"
                self._fail(exchange, DeviceTimeout(f"{exchange.peer}: deadline passed, {heard}"))


def _translated(error: OSError, peer: str) -> DriverError:
    words = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in OURS:
        return NoResources(f"{peer}: {words}")
    return Unreachable(f"{peer}: {words}")
