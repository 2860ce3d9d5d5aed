"""The kernel's log as `journalctl --output=json` writes it. Pure: bytes in, lines and places out.

What journalctl does differs by its version, so that little is left to it:

- `--follow` shows this boot alone since systemd 251, unless `--merge` is given (systemd#36102).
  What the kernel said just before a crash would not be read. `--merge` adds journals of other hosts
  that are collected here, hence the match on the machine.
- `--after-cursor` leaves out one line too many where the entry of the cursor is gone, before
  systemd 255 (systemd#30288). We ask for the line at the cursor again, and leave it out ourselves.
- A cursor changes when journald moves entries from memory to disk. So a place is known by the boot
  and the time within it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

LINE_LIMIT_BYTES = 256 * 1024
"""The kernel's own lines end at 1 KiB; the fields beside them take no more."""
MISSED_ID = "e9bf28e6e834481bb6f48f548ad13606"
"""With this journald says that the kernel overwrote lines before it had read them."""
FIELDS = "MESSAGE,MESSAGE_ID,SYSLOG_IDENTIFIER,_SOURCE_MONOTONIC_TIMESTAMP"
_EARLY_US = 600 * 1_000_000
_NUMBER_DIGITS = 20


class Place(msgspec.Struct, frozen=True):
    """Where in the log a line stands."""

    cursor: str
    boot_id: str
    monotonic_us: int
    """When journald took it in, since that boot."""


class KernelLine(msgspec.Struct, frozen=True):
    """One line. The same line read twice is equal in all of it but the cursor."""

    text: str
    at: float
    """Seconds since the epoch."""
    place: Place
    is_gap: bool = False
    """Not the kernel's words, but journald's: that some of them are lost."""


class _Entry(msgspec.Struct):
    cursor: str = msgspec.field(name="__CURSOR")
    realtime_us: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    monotonic_us: str = msgspec.field(name="__MONOTONIC_TIMESTAMP")
    boot_id: str = msgspec.field(name="_BOOT_ID")
    message: Any = msgspec.field(name="MESSAGE", default=None)
    message_id: Any = msgspec.field(name="MESSAGE_ID", default=None)
    source_us: Any = msgspec.field(name="_SOURCE_MONOTONIC_TIMESTAMP", default=None)
    identifier: Any = msgspec.field(name="SYSLOG_IDENTIFIER", default=None)


_entries: msgspec.json.Decoder[_Entry] = msgspec.json.Decoder(_Entry)


def parse(line: bytes) -> KernelLine:
    """One line of JSON; raises ValueError for what is none."""
    try:
        entry = _entries.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not an entry of the journal: {error}") from None
    monotonic_us = _number(entry.monotonic_us)
    at_us = _number(entry.realtime_us) - _delay_us(monotonic_us, entry.source_us)
    return KernelLine(
        text=_text(entry),
        at=at_us / 1e6,
        place=Place(entry.cursor, entry.boot_id, monotonic_us),
        is_gap=entry.message_id == MISSED_ID,
    )


def _number(text: Any) -> int:
    # `isdecimal` alone would let through digits of other scripts, which `int` reads as well
    if (
        isinstance(text, str)
        and text.isascii()
        and text.isdecimal()
        and len(text) <= _NUMBER_DIGITS
    ):
        return int(text)
    raise ValueError(f"not an entry of the journal: {text!a} is no number")


def _delay_us(monotonic_us: int, source_us: Any) -> int:
    """How long after the kernel wrote it journald took a line in.

    While a host boots that is long: journald starts late, and reads at once what has gathered.
    Later it is short, and less than the kernel's clock of log lines goes wrong in a day.
    """
    try:
        written_us = _number(source_us)
    except ValueError:
        return 0
    return max(0, monotonic_us - written_us) if written_us < _EARLY_US else 0


def _text(entry: _Entry) -> str:
    text = _words(entry.message)
    who = _words(entry.identifier)
    # journald cuts off what stands before a colon in lines that a program wrote to /dev/kmsg
    foreign = who not in ("", "kernel") and entry.message_id != MISSED_ID
    return f"{who}: {text}" if foreign else text


def _words(value: Any) -> str:
    """A field: text, bytes as numbers where they are no text, or a list where it is there twice."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    if all(type(each) is int and 0 <= each < 256 for each in value):
        return bytes(value).decode("utf-8", "replace")
    return " ".join(filter(None, map(_words, value)))


class Splitter:
    """Cuts a stream into lines; one above the limit is left out and counted."""

    def __init__(self, limit: int = LINE_LIMIT_BYTES) -> None:
        self._limit = limit
        self._rest = b""
        self._passing_over = False
        self.left_out = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without the empty ones."""
        *whole, rest = (self._rest + data).split(b"\n")
        if self._passing_over and whole:
            del whole[0]
            self._passing_over = False
        if self._passing_over:
            rest = b""
        elif len(rest) > self._limit:
            self.left_out += 1
            self._passing_over, rest = True, b""
        self._rest = rest
        kept = [line for line in whole if len(line) <= self._limit]
        self.left_out += len(whole) - len(kept)
        return [line for line in kept if line]


class Resumption:
    """Tells which lines are new to somebody who has read up to a place."""

    def __init__(self, place: Place | None) -> None:
        self._place = place

    def is_new(self, line: KernelLine) -> bool:
        """Whether it stands behind the place. Ask it of every line, in their order."""
        last, here = self._place, line.place
        if last is None:
            return True
        if here.cursor == last.cursor:
            # from here on all are new, also one that was taken in within the same microsecond
            self._place = None
            return False
        return here.boot_id != last.boot_id or here.monotonic_us > last.monotonic_us


def arguments(place: Place | None, machine_id: str | None) -> Sequence[str]:
    """What journalctl is to be told: go on at a place, or begin with this boot, and follow."""
    start = ("--boot",) if place is None else ("--merge", f"--cursor={place.cursor}")
    machine = (f"_MACHINE_ID={machine_id}",) if machine_id else ()
    return (
        "--follow", "--no-tail", "--no-pager", "--all",
        "--output=json", f"--output-fields={FIELDS}", *start,
        "_TRANSPORT=kernel", *machine, "+", f"MESSAGE_ID={MISSED_ID}", *machine,
    )  # fmt: skip
