"""A piece of memory in which the child notes what it is about to call, for the supervisor to see.

A call that hangs holds the child, and nothing can be asked of it any more. The note is made before
each call, in memory that both map, so it costs no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import NamedTuple

_NOTE = struct.Struct("<QQ96s64s")
_SEQUENCE = struct.Struct("<Q")
_BEGAN = struct.Struct("<Q")
SIZE = 4096


class Call(NamedTuple):
    """A call into the driver. `began_s` is monotonic time, None while none is under way."""

    operation: str
    uuid: str
    began_s: float | None


class Cell:
    """One note: written by the one that calls, read by the one that watches."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, SIZE)
        self._sequence = 0

    def enter(self, operation: str, uuid: str) -> None:
        """Note a call before it is made."""
        self._sequence += 2
        # odd while it is being written: a reader that sees that looks again
        _SEQUENCE.pack_into(self._memory, 0, self._sequence - 1)
        _NOTE.pack_into(
            self._memory,
            0,
            self._sequence - 1,
            time.monotonic_ns(),
            uuid.encode(),
            operation.encode(),
        )
        _SEQUENCE.pack_into(self._memory, 0, self._sequence)

    def leave(self) -> None:
        """Note that it came back."""
        _BEGAN.pack_into(self._memory, _SEQUENCE.size, 0)

    def read(self) -> Call:
        """The last call. Never waits."""
        for _ in range(8):
            before, began_ns, uuid, operation = _NOTE.unpack_from(self._memory, 0)
            (after,) = _SEQUENCE.unpack_from(self._memory, 0)
            if before == after and before % 2 == 0:
                break
        return Call(
            operation.rstrip(b"\0").decode(errors="replace"),
            uuid.rstrip(b"\0").decode(errors="replace"),
            began_ns / 1e9 if began_ns else None,
        )

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()


def new_cell() -> tuple[int, Cell]:
    """A cell and the descriptor under which another process maps it too."""
    descriptor = os.memfd_create("stoker-gpu")
    os.ftruncate(descriptor, SIZE)
    return descriptor, Cell(descriptor)
