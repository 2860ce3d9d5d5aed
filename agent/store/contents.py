"""What a segment holds and where, as it ends a closed one; its bytes stand in `segment`. Pure."""

from __future__ import annotations

import math
import struct
import zlib
from array import array

from agent.store.segment import Head, Record

_FOOT = struct.Struct("<QQddII8s")
FOOT_BYTES = _FOOT.size
_ENTRY_BYTES = 20
_MAGIC = b"STOKTOC1"


class Contents:
    """Where the frames of a segment lie, by index. One that is not in the file has the offset 0."""

    __slots__ = ("counts", "first_at", "first_seq", "last_at", "last_seqs", "offsets", "sizes")

    def __init__(self) -> None:
        self.offsets = array("I")
        self.sizes = array("I")
        self.counts = array("I")
        self.last_seqs = array("Q")
        self.first_seq = 0
        self.first_at = math.inf
        self.last_at = -math.inf

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def last_seq(self) -> int:
        """The highest number, 0 where there is none."""
        return self.last_seqs[-1] if self.last_seqs else 0

    @property
    def packed_bytes(self) -> int:
        """The length of `pack()`."""
        return self.bytes_for(len(self))

    @staticmethod
    def bytes_for(frames: int) -> int:
        """The length of the packed contents of so many frames."""
        return _ENTRY_BYTES * frames + FOOT_BYTES

    def add(self, head: Head | Record, offset: int, size: int) -> int:
        """Take up the next frame; returns its index."""
        if not self.offsets:
            self.first_seq = head.seq
        self.first_at = min(self.first_at, head.first_at)
        self.last_at = max(self.last_at, head.last_at)
        self.offsets.append(offset)
        self.sizes.append(size)
        self.counts.append(head.count)
        self.last_seqs.append(head.last_seq)
        return len(self.offsets) - 1

    def add_missing(self, first_seq: int, last_seq: int) -> None:
        """Leave room for a frame that should be here, and is not."""
        if not self.offsets:
            self.first_seq = first_seq
        self.offsets.append(0)
        self.sizes.append(0)
        self.counts.append(0)
        self.last_seqs.append(last_seq)

    def cut(self, frames: int) -> None:
        """Forget all frames but the first so many."""
        for column in (self.offsets, self.sizes, self.counts, self.last_seqs):
            del column[frames:]

    def number_before(self, index: int) -> int:
        """The last number in front of a frame."""
        return self.last_seqs[index - 1] if index else self.first_seq - 1

    def pack(self) -> bytes:
        """The contents as they end a closed segment."""
        columns = (self.offsets, self.sizes, self.counts, self.last_seqs)
        entries = b"".join(column.tobytes() for column in columns)
        span = (self.first_seq, self.last_seq, self.first_at, self.last_at)
        crc = zlib.crc32(_FOOT.pack(*span, len(self), 0, _MAGIC), zlib.crc32(entries))
        return entries + _FOOT.pack(*span, len(self), crc, _MAGIC)


def unpack_foot(foot: bytes, space: int) -> int:
    """How many frames a segment's contents list, from its last bytes; 0 where it has no contents.

    Args:
        foot: the last `FOOT_BYTES` bytes of the file.
        space: how many bytes the whole file has.
    """
    if len(foot) < FOOT_BYTES:
        return 0
    *_, frames, _crc, magic = _FOOT.unpack(foot)
    fits = _ENTRY_BYTES * frames + FOOT_BYTES <= space
    return int(frames) if magic == _MAGIC and fits else 0


def unpack_contents(data: bytes) -> Contents | None:
    """The contents of a closed segment, or None where they are damaged."""
    entries, foot = data[:-FOOT_BYTES], data[-FOOT_BYTES:]
    first_seq, last_seq, first_at, last_at, frames, crc, magic = _FOOT.unpack(foot)
    unsigned = _FOOT.pack(first_seq, last_seq, first_at, last_at, frames, 0, magic)
    if len(entries) != _ENTRY_BYTES * frames or zlib.crc32(unsigned, zlib.crc32(entries)) != crc:
        return None
    contents = Contents()
    contents.first_seq, contents.first_at, contents.last_at = first_seq, first_at, last_at
    at = 0
    for column in (contents.offsets, contents.sizes, contents.counts, contents.last_seqs):
        end = at + frames * column.itemsize
        column.frombytes(entries[at:end])
        at = end
    return contents
