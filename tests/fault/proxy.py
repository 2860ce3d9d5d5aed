"""A TCP proxy on loopback that does to a link what bad links do: delay, cut, swallow, drip, shape.

It runs in a thread of its own. Everything can be switched while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable

SEGMENT_BYTES = 1448
"""What a TCP segment carries over Ethernet: what is lost, is lost in these."""
_RESET = struct.pack("ii", 1, 0)
_START_S = 10.0


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a link does to each direction of each connection; as it stands, nothing.

    A lost segment is not lost to TCP: everything from it on arrives a retransmission timeout
    later, and in order. `queue_bytes` bounds what is on its way, as window and router do.
    """

    rate_bit_s: float | None = None
    latency_s: float = 0.0
    loss: float = 0.0
    timeout_s: tuple[float, float] = (0.2, 0.4)
    queue_bytes: int = 256 * 1024
    drip_bytes: int | None = None
    drip_s: float = 0.01


CLEAR = Shape()
BAD_UPLINK = Shape(rate_bit_s=5e6, latency_s=0.1, loss=0.02)
"""5 Mbit/s, 200 ms there and back, 2 % loss."""


class Proxy:
    """Passes connections on to a port of 127.0.0.1; `port` is where to connect instead.

    Use as a context manager. One seed gives the same losses for the same bytes.
    """

    def __init__(self, target_port: int, *, seed: int = 1, shape: Shape = CLEAR) -> None:
        self.target_port = target_port
        self.port = 0
        self.shape = shape
        """What links do from now on; may be set at any time."""
        self.refusing = False
        """New connections are reset at once, as where nobody listens."""
        self.swallowing = False
        """New connections are taken, and nothing comes of them."""
        self.accepted = 0
        self.passed: Counter[str] = Counter()
        """Bytes that came out of the links: `up` to the target, `down` to clients."""
        self.rng = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(_START_S), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_S)
        assert not self._thread.is_alive()

    # --- faults ---------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Connections that are passed on, or swallowed, at this moment."""
        return len(self._connections)

    def cut(self, *, reset: bool = True) -> None:
        """End every connection at both ends: by RST, or by an orderly FIN."""
        self._for_each(lambda connection: connection.end(reset=reset))

    def break_link(self) -> None:
        """Cut every connection, and refuse new ones until `heal`."""
        self.refusing = True
        self.cut()

    def half_open(self) -> None:
        """From now on swallow what is sent, also on new connections, and keep all of them open.

        What was swallowed is gone: such a connection stays mute also after `heal`.
        """
        self.swallowing = True
        self._for_each(_Connection.fall_mute)

    def heal(self) -> None:
        """Let new connections through again."""
        self.refusing = self.swallowing = False

    def _for_each(self, deed: Callable[[_Connection], None]) -> None:
        """Have the proxy's own thread do something to every connection, and wait for it."""
        done = threading.Event()

        def do_it() -> None:
            for connection in list(self._connections):
                deed(connection)
            done.set()

        self._loop.call_soon_threadsafe(do_it)
        assert done.wait(_START_S), "the proxy hangs"

    def left(self, connection: _Connection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        with _listener() as listener:
            self.port = listener.getsockname()[1]
            accepting = self._loop.create_task(self._accept(listener))
            self._ready.set()
            await self._stop.wait()
            accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await accepting
        for connection in list(self._connections):
            connection.task.cancel()
            await asyncio.wait([connection.task])

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, _ = await self._loop.sock_accept(listener)
            self.accepted += 1
            if self.refusing:
                _close(sock, reset=True)
                continue
            connection = _Connection(self, sock)
            self._connections.add(connection)


class _Connection:
    """One connection of a client, and the one to the target that goes with it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.mute = proxy.swallowing
        self._client = client
        self._target = _socket()
        self.task = asyncio.create_task(self._carry())

    def fall_mute(self) -> None:
        """Swallow from now on."""
        self.mute = True

    def end(self, *, reset: bool) -> None:
        """Close both ends; the task ends with them."""
        self.task.cancel()
        _close(self._client, reset=reset)
        _close(self._target, reset=reset)

    async def _carry(self) -> None:
        try:
            await self._pass()
            if self.mute:  # the other end does not learn that this one has gone
                await asyncio.Event().wait()
        finally:
            _close(self._client, reset=False)
            _close(self._target, reset=False)
            self.proxy.left(self)

    async def _pass(self) -> None:
        up = _Way(self, self._client, self._target, "up")
        down = _Way(self, self._target, self._client, "down")
        try:
            if self.mute:
                await up.take()
                return
            address = ("127.0.0.1", self.proxy.target_port)
            await asyncio.get_running_loop().sock_connect(self._target, address)
            async with asyncio.TaskGroup() as group:
                for step in (up.take, up.give, down.take, down.give):
                    group.create_task(step())
        except* OSError:
            if not self.mute:
                self.end(reset=True)


class _Way:
    """One direction of a connection: bytes go in, and come out when the link lets them."""

    def __init__(
        self, owner: _Connection, source: socket.socket, sink: socket.socket, name: str
    ) -> None:
        self._owner = owner
        self._source = source
        self._sink = sink
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._on_way = 0
        self._room = asyncio.Event()
        self._room.set()
        self._idle_at = 0.0  # when the link has sent what it was given
        self._in_order_at = 0.0  # before what was lost, nothing behind it arrives

    async def take(self) -> None:
        """Read what the source sends, and let it onto the link."""
        data = b"-"
        while data:
            await self._room.wait()
            data = await self._loop.sock_recv(self._source, SEGMENT_BYTES * 8)
            if self._owner.mute:
                continue
            for start in range(0, len(data), SEGMENT_BYTES):
                self._send(data[start : start + SEGMENT_BYTES])
        self._queue.put_nowait((self._in_order_at, b""))

    def _send(self, segment: bytes) -> None:
        self._queue.put_nowait((self._arrival(len(segment)), segment))
        self._on_way += len(segment)
        if self._on_way >= self._owner.proxy.shape.queue_bytes:
            self._room.clear()

    def _arrival(self, size: int) -> float:
        """When a segment that is sent now comes out."""
        shape, rng = self._owner.proxy.shape, self._owner.proxy.rng
        self._idle_at = max(self._idle_at, self._loop.time())
        if shape.rate_bit_s is not None:
            self._idle_at += size * 8 / shape.rate_bit_s
        at = self._idle_at + shape.latency_s
        if shape.loss and rng.random() < shape.loss:
            at += rng.uniform(*shape.timeout_s)
        self._in_order_at = max(self._in_order_at, at)
        return self._in_order_at

    async def give(self) -> None:
        """Write to the sink what has come out of the link."""
        while True:
            at, data = await self._queue.get()
            if (wait_s := at - self._loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if not self._owner.mute:
                if not data:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                await self._write(data)
            elif not data:
                return
            self._on_way -= len(data)
            self._room.set()

    async def _write(self, data: bytes) -> None:
        shape = self._owner.proxy.shape
        step = shape.drip_bytes or len(data)
        for start in range(0, len(data), step):
            await self._loop.sock_sendall(self._sink, data[start : start + step])
            if shape.drip_bytes:
                await asyncio.sleep(shape.drip_s)
        self._owner.proxy.passed[self._name] += len(data)


def _socket() -> socket.socket:
    """A TCP socket that hides little behind its own buffers, and sends at once."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    return sock


def _listener() -> socket.socket:
    listener = _socket()  # what it accepts inherits its options
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _close(sock: socket.socket, *, reset: bool) -> None:
    if sock.fileno() < 0:
        return
    loop = asyncio.get_running_loop()
    loop.remove_reader(sock)  # the next socket may get the same number
    loop.remove_writer(sock)
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
