"""HTTP/1.1 as bytes: a request made, an answer read piece by piece. Pure.

What small web servers really send is read leniently (bare line feeds, no length, no reason);
what is no HTTP at all is a `BadReply` as soon as that shows. Framing follows RFC 9112, section 6.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.api import WebReply
from drivers.errors import BadReply, Unreachable

HEAD_LIMIT_BYTES = 65_536
_BEGINNING = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.\d +(\d{3})(?: [^\r\n]*)?\Z")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\Z")
_NO_BODY = frozenset({204, 304})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def request_bytes(
    method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    """A whole request; each has a connection of its own. Raises ValueError for a broken header."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    given = {name.lower() for name in headers}
    usual = {"Accept": "*/*", "User-Agent": "stoker", "Connection": "close"}
    if body:
        usual["Content-Type"] = "application/octet-stream"
    fields = {**{k: v for k, v in usual.items() if k.lower() not in given}, **headers}
    if body or method in _WITH_BODY:
        fields["Content-Length"] = str(len(body or b""))
    lines += [f"{name}: {value}" for name, value in fields.items()]
    text = "\r\n".join(lines)
    if len(text.splitlines()) != len(lines):
        raise ValueError("a line break in a request's line")
    return text.encode("utf-8", "replace") + b"\r\n\r\n" + (body or b"")


class Incoming:
    """One answer on its way. `feed` it what comes; `reply` once it is whole."""

    __slots__ = ("_body", "_buffer", "_chunked", "_headers", "_left", "_limit", "_status", "url")

    def __init__(self, url: str, limit_bytes: int) -> None:
        self.url = url
        self._limit = limit_bytes
        self._buffer = bytearray()
        self._body = bytearray()
        self._headers: dict[str, str] = {}
        self._status = 0
        self._left: int | None = None
        """Bytes still to come of the body, or of a chunk; None until the end of the connection."""
        self._chunked = False

    @property
    def reply(self) -> WebReply:
        """What has come."""
        return WebReply(self._status, self._headers, bytes(self._body))

    def feed(self, data: bytes) -> bool:
        """Take the next piece; True where the answer is whole. Raises `BadReply`."""
        self._buffer += data
        if not self._status and not self._read_head():
            return False
        if self._chunked:
            return self._read_chunks()
        return self._read_body()

    def end(self) -> None:
        """The device closed the connection; raises `Unreachable` where something is missing."""
        if self._status and not self._chunked and self._left is None:
            return
        got = len(self._body) + len(self._buffer)
        raise Unreachable(f"{self.url}: closed after {got} bytes of an answer")

    # --- the head ----------------------------------------------------------------------------

    def _read_head(self) -> bool:
        buffer = self._buffer
        begun = min(len(buffer), len(_BEGINNING))
        if bytes(buffer[:begun]) != _BEGINNING[:begun]:
            raise self._bad("not understood", bytes(buffer))
        end = _HEAD_END.search(buffer)
        if end is None:
            if len(buffer) > HEAD_LIMIT_BYTES:
                raise self._bad("a head without an end", bytes(buffer[:200]))
            return False
        head = bytes(buffer[: end.start()])
        del buffer[: end.end()]
        self._take_head(head)
        if 100 <= self._status < 200:
            self._status, self._headers = 0, {}
            return bool(buffer) and self._read_head()
        self._frame()
        return True

    def _take_head(self, head: bytes) -> None:
        first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
        found = _STATUS.match(first)
        if found is None or len(head) > HEAD_LIMIT_BYTES:
            raise self._bad("not understood", head)
        self._status = int(found[1])
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                continue  # folded or broken: nothing that we look for
            key, text = name.strip().lower(), value.strip()
            former = self._headers.get(key)
            self._headers[key] = text if former is None else f"{former}\n{text}"

    def _frame(self) -> None:
        """How the end of the body is told."""
        if self._status in _NO_BODY:
            self._left = 0
            return
        if "chunked" in self._headers.get("transfer-encoding", "").lower():
            self._chunked, self._left = True, 0
            return
        length = self._headers.get("content-length")
        if length is None:
            return
        words = set(length.replace("\n", ",").replace(" ", "").split(","))
        text = words.pop()
        if words or not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise self._bad("a length that is none", length.encode("latin-1", "replace"))
        self._left = int(text)

    # --- the body ----------------------------------------------------------------------------

    def _read_body(self) -> bool:
        if self._left is None:
            self._take(len(self._buffer))
            return False
        self._take(min(self._left, len(self._buffer)))
        return self._left == 0

    def _take(self, size: int) -> None:
        if len(self._body) + max(size, self._left or 0) > self._limit:
            raise self._bad(f"page over {self._limit} bytes", b"")
        self._body += self._buffer[:size]
        del self._buffer[:size]
        if self._left is not None:
            self._left -= size

    def _read_chunks(self) -> bool:
        while True:
            if self._left:
                self._take(min(self._left, len(self._buffer)))
                if self._left:
                    return False
            size = self._next_size()
            if size is None:
                return False
            if size == 0:
                return True  # what may follow (trailers) is of no use
            self._left = size

    def _next_size(self) -> int | None:
        """The size of the next chunk; None until its line is there."""
        while True:
            at = self._buffer.find(b"\n")
            if at < 0:
                if len(self._buffer) > 1024:
                    raise self._bad("chunks that are none", bytes(self._buffer[:100]))
                return None
            line = bytes(self._buffer[:at]).rstrip(b"\r")
            del self._buffer[: at + 1]
            if not line:
                continue  # the end of the chunk before
            found = _CHUNK.match(line)
            if found is None:
                raise self._bad("chunks that are none", line)
            return int(found[1], 16)

    def _bad(self, problem: str, raw: bytes) -> BadReply:
        return BadReply(f"{self.url}: {problem}", raw)
