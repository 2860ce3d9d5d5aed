"""Messages on a stream: each behind its length, four bytes, the highest first. Pure."""

from __future__ import annotations

import struct

_HEAD = struct.Struct("!I")
REQUEST_LIMIT_BYTES = 64 * 1024
"""What a client may send; the largest real request takes a few kilobytes."""
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
"""Sixteen GPUs with everything there is to say take some 200 KiB."""


class FrameTooLarge(ValueError):
    """A message that says to be longer than what is allowed; what follows cannot be told apart."""


def frame(payload: bytes) -> bytes:
    """A message behind its length."""
    return _HEAD.pack(len(payload)) + payload


class Frames:
    """Takes bytes as they come and gives the messages that are whole."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete; raises `FrameTooLarge`."""
        self._buffer += data
        whole: list[bytes] = []
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer, at)
            if length > self._limit_bytes:
                raise FrameTooLarge(f"a message of {length} bytes; {self._limit_bytes} are allowed")
            end = at + _HEAD.size + length
            if end > len(self._buffer):
                break
            whole.append(bytes(self._buffer[at + _HEAD.size : end]))
            at = end
        del self._buffer[:at]
        return whole

    @property
    def broken_off(self) -> bool:
        """Whether part of a message is there whose rest is not."""
        return bool(self._buffer)
