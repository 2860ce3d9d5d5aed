"""The file format of the spool: a segment is a head, records, and at its closing its contents.

    head      "STOKSEG1", length u32, crc u32, then `SegmentHead` as msgpack
    record    marker 4s, crc of the head u32, crc of the payload u32, length u32, index u32,
              seq u64, last_seq u64, count u32, first_at f64, last_at f64, then the payload
    contents  offsets u32[n], sizes u32[n], counts u32[n], last_seqs u64[n], then
              first_seq u64, last_seq u64, first_at f64, last_at f64, n u32, crc u32, "STOKTOC1"

All numbers are little-endian, times are seconds since 1970. A segment without contents was not
closed: its records are found by their markers. Each record carries its index, so that a frame that
is missing in the middle does not shift the numbers of those behind it.

Pure: nothing here touches a file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from enum import StrEnum

import msgspec

MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_HEAD_BYTES = 4096
SUFFIX = ".seg"

_MAGIC = b"STOKSEG1"
_HEAD = struct.Struct("<8sII")
_MARKER = b"\xf5SR\n"
_RECORD = struct.Struct("<4sIIIIQQIdd")
_CRC_END = 8  # the head's own checksum covers what stands behind it
RECORD_BYTES = _RECORD.size
_NAME = re.compile(r"([a-z][a-z0-9_]*)\.(raw|five_minutes|hourly)\.(\d{10})\.(\d{12})")


class Tier(StrEnum):
    """How much of what was taken is still there."""

    RAW = "raw"
    FIVE_MINUTES = "five_minutes"
    HOURLY = "hourly"


class SegmentHead(msgspec.Struct, frozen=True):
    """What a segment holds: a chain of frames, beginning with number `seq`."""

    stream: str
    tier: Tier
    boot_id: str
    epoch: int
    seq: int

    @property
    def name(self) -> str:
        """The name of the file without its suffix; names of a tier sort in order of time."""
        return f"{self.stream}.{self.tier}.{self.epoch:010}.{self.seq:012}"


class Head(msgspec.Struct, frozen=True):
    """What is known of a frame without decoding it: its numbers, and when its rows were taken."""

    seq: int
    last_seq: int
    count: int
    first_at: float
    last_at: float


class Record(msgspec.Struct, frozen=True):
    """A frame as it was stored."""

    index: int
    seq: int
    last_seq: int
    count: int
    first_at: float
    last_at: float
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return RECORD_BYTES + len(self.payload)


def record_of(index: int, head: Head, payload: bytes) -> Record:
    """A frame as it will be stored."""
    return Record(index, head.seq, head.last_seq, head.count, head.first_at, head.last_at, payload)


class Unreadable(ValueError):
    """Bytes that are no segment of this version."""


class Newer(Unreadable):
    """A segment of a version that this one does not know."""


def name_parts(name: str) -> tuple[str, Tier, int, int] | None:
    """Stream, tier, epoch and first number of a segment's name; None where it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return found[1], Tier(found[2]), int(found[3]), int(found[4])


def pack_head(head: SegmentHead) -> bytes:
    """The bytes that a segment begins with."""
    body = msgspec.msgpack.encode(head)
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def unpack_head(data: bytes) -> tuple[SegmentHead, int]:
    """What a segment is, from its first bytes, and where its records begin."""
    if len(data) < _HEAD.size:
        raise Unreadable("too short for a segment")
    magic, length, crc = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        newer = magic[:7] == _MAGIC[:7] and magic[7:].isdigit()
        raise (Newer if newer else Unreadable)(f"begins with {magic!r}")
    body = data[_HEAD.size : _HEAD.size + length]
    if length > MAX_HEAD_BYTES or len(body) != length or zlib.crc32(body) != crc:
        raise Unreadable("its head is damaged")
    try:
        return msgspec.msgpack.decode(body, type=SegmentHead), _HEAD.size + length
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error


def pack_record(record: Record) -> bytes:
    """A frame as it is stored."""
    fields = msgspec.structs.astuple(record)
    payload = record.payload
    crc = zlib.crc32(payload)
    unsigned = _RECORD.pack(_MARKER, 0, crc, len(payload), *fields[:-1])
    head_crc = zlib.crc32(unsigned[_CRC_END:])
    return b"".join((_MARKER, head_crc.to_bytes(4, "little"), unsigned[_CRC_END:], payload))


class Place(msgspec.Struct, frozen=True):
    """Where a frame is kept."""

    segment_id: str
    index: int


class Part(msgspec.Struct, frozen=True):
    """A piece of a segment's records, as `parts` finds them."""

    offset: int
    size: int
    record: Record | None
    """None where the bytes are no record, or its payload is damaged or cut."""
    head: Record | None = None
    """What a record's head says whose payload is damaged or cut; its payload is empty here."""


def parts(data: bytes, at: int = 0) -> Iterator[Part]:
    """The records of a segment in order, with the damaged pieces between them."""
    while at < len(data):
        part = _part(data, at)
        yield part
        at += part.size


def _part(data: bytes, at: int) -> Part:
    head = _record_head(data, at)
    if head is None:
        following = _next_head(data, at + 1)
        return Part(at, following - at, None)
    record, payload_crc, length = head
    payload = data[at + RECORD_BYTES : at + RECORD_BYTES + length]
    if len(payload) == length and zlib.crc32(payload) == payload_crc:
        whole = msgspec.structs.replace(record, payload=payload)
        return Part(at, whole.size, whole)
    following = _next_head(data, at + 1)
    return Part(at, following - at, None, record)


def _record_head(data: bytes, at: int) -> tuple[Record, int, int] | None:
    if len(data) - at < RECORD_BYTES or not data.startswith(_MARKER, at):
        return None
    _, head_crc, crc, length, *fields = _RECORD.unpack_from(data, at)
    if zlib.crc32(data[at + _CRC_END : at + RECORD_BYTES]) != head_crc:
        return None
    index, seq, last_seq, count, first_at, last_at = fields
    return Record(index, seq, last_seq, count, first_at, last_at, b""), crc, length


def _next_head(data: bytes, at: int) -> int:
    """Where the next record begins, or the end of the data."""
    while (at := data.find(_MARKER, at)) >= 0:
        if _record_head(data, at) is not None:
            return at
        at += 1
    return len(data)
