"""The socket side of miners: one request and one answer, or several framed ones, a connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from drivers.errors import BadReply, DriverError, Unreachable
from drivers.wire.sockets import Sockets

LengthOf = Callable[[bytes], int | None]


class SocketWire(Sockets):
    """The `Wire` of `drivers.api` over real sockets."""

    async def exchange(
        self, address: str, port: int, request: bytes, *, deadline_s: float, limit_bytes: int
    ) -> bytes:
        """Send `request` in one write; return what comes until EOF or NUL, without the NUL."""
        talk = _UntilEnd(f"{address}:{port}", request, limit_bytes)
        await self._converse(address, port, talk, deadline_s)
        return talk.answer

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
        talk = _Framed(f"{address}:{port}", requests, length_of, limit_bytes)
        await self._converse(address, port, talk, deadline_s)
        return talk.answers


class _UntilEnd:
    """A request, and an answer that ends with the connection or a NUL."""

    __slots__ = ("_chunks", "_limit", "name", "request", "size")

    def __init__(self, name: str, request: bytes, limit_bytes: int) -> None:
        self.name = name
        self.request = request
        self.size = 0
        self._limit = limit_bytes
        self._chunks: list[bytes] = []

    @property
    def answer(self) -> bytes:
        """What came."""
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def take(self, data: bytes) -> bool:
        end = data.find(0)
        self._chunks.append(data if end < 0 else data[:end])
        self.size += len(data)
        if self.size > self._limit:
            raise BadReply(f"{self.name}: answer over {self._limit} bytes", self._chunks[0])
        return end >= 0

    def end(self) -> None:
        if not self._chunks:
            raise Unreachable(f"{self.name}: closed without an answer")

    def broken(self, error: DriverError) -> None:
        raise error


class _Framed:
    """Requests one after the other; each answer says its length."""

    __slots__ = ("_buffer", "_length_of", "_limit", "_requests", "answers", "name", "request")

    def __init__(
        self, name: str, requests: Sequence[bytes], length_of: LengthOf, limit_bytes: int
    ) -> None:
        self.name = name
        self.answers: list[bytes] = []
        self._requests = deque(requests)
        self.request = self._requests.popleft()
        self._length_of = length_of
        self._limit = limit_bytes
        self._buffer = bytearray()

    @property
    def size(self) -> int:
        """Bytes of the answer that is under way."""
        return len(self._buffer)

    def take(self, data: bytes) -> bool:
        buffer = self._buffer
        buffer += data
        length = self._length_of(bytes(buffer[:16]))
        if max(len(buffer), length or 0) > self._limit:
            problem = f"{self.name}: answer over {self._limit} bytes"
            raise BadReply(problem, bytes(buffer[:200]))
        if length is None or len(buffer) < length:
            return False
        self.answers.append(bytes(buffer[:length]))
        buffer.clear()  # nothing was asked that could already be answered
        if not self._requests:
            return True
        self.request = self._requests.popleft()
        return False

    def end(self) -> None:
        """The device closed: what it has answered counts, half a frame does not."""
        if not self.answers:
            problem = f"{self.name}: closed after {len(self._buffer)} bytes of an answer"
            raise Unreachable(problem)

    def broken(self, error: DriverError) -> None:
        """A device that closes after an answer may reset the connection, too."""
        if not self.answers:
            raise error
