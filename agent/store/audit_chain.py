"""The audit as bytes: a record a line, each with a hash over itself and all before it. Pure.

    {"seq":7,"at":"2026-11-24T22:00:01.250Z","who":"local:ana","what":"lock.set",
     "content":{...},"hash":"<64 hex digits>"}

`hash` is the SHA-256 of the record before's hash (its 64 digits; zeros before the first record) and
the bytes of this record without `,"hash":"..."`. So the lines can be checked with sed and
sha256sum. The first record of a file says in `prev` what hash comes before it: files that were
taken away to an archive leave the rest verifiable.

A hash without a key proves nothing against whoever writes all of it anew. What does is a head
(number and hash of a record) that somebody else holds.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is none of ours."""

_HASH_KEY = b',"hash":"'
_TAIL_BYTES = len(_HASH_KEY) + 64 + 2
_SEQ = re.compile(rb'^\{"seq":\d+,')
_NAME = re.compile(r"audit-(\d{12,})\.log")
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Head(msgspec.Struct, frozen=True):
    """A record and, by its hash, all before it."""

    seq: int = 0
    hash: str = "0" * 64

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """A head as it is written, `seq:hash`; raises `ValueError` for anything else."""
        match = _HEAD.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError(f"{text!a} is no head: a number, a colon and 64 hex digits")
        return cls(int(match[1]), match[2])


class Entry(NamedTuple):
    """What is to be written down."""

    at: str
    """RFC 3339, UTC."""
    who: str
    what: str
    content: bytes
    """A JSON object."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it stands in a file."""

    seq: Annotated[int, Meta(ge=1)]
    at: str
    who: str
    what: str
    content: msgspec.Raw
    hash: _Hash
    prev: _Hash | None = None


_RECORD = msgspec.json.Decoder(Record)


def file_name(seq: int) -> str:
    """The file that begins with a record; names sort in order of time."""
    return f"audit-{seq:012}.log"


def first_seq(name: str) -> int | None:
    """The record that a file begins with, by its name; None where it is no file of the audit."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def pack(entry: Entry, after: Head) -> tuple[bytes, Head]:
    """The line of the record that comes after a head, and the new head."""
    return _sealed(entry, b"", after)


def pack_first(entry: Entry, after: Head) -> tuple[bytes, Head]:
    """The same for the first record of a file."""
    return _sealed(entry, b'"prev":"%b",' % after.hash.encode(), after)


def _sealed(entry: Entry, prev: bytes, after: Head) -> tuple[bytes, Head]:
    at, who, what = map(msgspec.json.encode, (entry.at, entry.who, entry.what))
    body = b'{"seq":%d,%b"at":%b,"who":%b,"what":%b,"content":%b' % (
        after.seq + 1, prev, at, who, what, entry.content,
    )  # fmt: skip
    head = Head(after.seq + 1, _chained(after.hash, body + b"}"))
    return b'%b%b%b"}\n' % (body, _HASH_KEY, head.hash.encode()), head


def unpack(line: bytes) -> Record | None:
    """A record from its line, without the newline; None where it is none."""
    if not line[-_TAIL_BYTES:].startswith(_HASH_KEY):
        return None
    try:
        return _RECORD.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def seal(line: bytes, before: str) -> str:
    """The hash that a record's line must have after the record with the hash `before`."""
    return _chained(before, line[:-_TAIL_BYTES] + b"}")


def renumbered(line: bytes, seq: int) -> bytes:
    """The line of a record with another number, all else as it stands."""
    return _SEQ.sub(b'{"seq":%d,' % seq, line)


def _chained(before: str, body: bytes) -> str:
    return sha256(before.encode() + body).hexdigest()
