"""Is the audit what the agent wrote? Reads it record by record to the first thing wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import BinaryIO, NamedTuple

import msgspec

from agent.store.audit_chain import (
    MAX_LINE_BYTES,
    Head,
    Record,
    first_seq,
    renumbered,
    seal,
    unpack,
)


class Fault(StrEnum):
    """What was done to the audit."""

    ALTERED = "altered"
    MISSING = "missing"
    REORDERED = "reordered"
    INSERTED = "inserted"
    FOREIGN = "foreign"
    """A line that is no record, or a file by a name that is not its own."""
    CUT = "cut"
    """It ends before the head that it is held against."""
    REWRITTEN = "rewritten"
    """Whole in itself, and not the one that the head was taken from."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing wrong, and where."""

    fault: Fault
    file: str
    line: int
    """In the file; the first is 1."""
    seq: int
    """Of the record that should have stood there."""
    words: str


class Torn(msgspec.Struct, frozen=True):
    """A last record that was never finished: the host or the agent went down in mid-write."""

    file: str
    line: int
    bytes: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a look through the whole audit came to."""

    first: int | None
    """The oldest record that is there; what came before it was taken away, and is not judged."""
    head: Head
    """The last record up to which all is in order."""
    torn: Torn | None = None
    finding: Finding | None = None

    @property
    def intact(self) -> bool:
        """True where nothing was tampered with; a torn last record is no tampering."""
        return self.finding is None


def verify(files: Iterable[tuple[str, BinaryIO]], against: Head | None = None) -> Verdict:
    """Read files, given by name and stream in the order of their names, to the first fault.

    Memory does not grow with them. `against` is a head that was noted earlier: with it a tail that
    was cut off is found, and a history that was written anew.
    """
    walk = _Walk(against)
    lines = _lines(files, walk.begin)
    for line in lines:
        if line.ended:
            finding = walk.step(line, lines)
        elif next(lines, None) is None:
            return walk.end(Torn(line.file, line.number, line.size))
        else:
            finding = walk.finding(Fault.ALTERED, line, "its end is missing")
        if finding is not None:
            return walk.verdict(finding)
    return walk.end()


class _Line(NamedTuple):
    file: str
    number: int
    data: bytes
    size: int
    """Of all of it; of what is longer than any record, `data` is only the beginning."""
    ended: bool


def _lines(files: Iterable[tuple[str, BinaryIO]], begin: Callable[[str], None]) -> Iterator[_Line]:
    for name, stream in files:
        begin(name)
        number = 0
        while data := stream.readline(MAX_LINE_BYTES):
            number += 1
            end, size = data, len(data)
            while not end.endswith(b"\n") and (end := stream.readline(MAX_LINE_BYTES)):
                size += len(end)
            yield _Line(name, number, data.removesuffix(b"\n"), size, end.endswith(b"\n"))


class _Walk:
    """How far all was in order."""

    def __init__(self, against: Head | None) -> None:
        self._against = against
        self._first: int | None = None
        self._head = Head()
        self._expected = 0
        self._before: str | None = None
        """The hash that the next record must be chained to; None where only that record says."""
        self._last: _Line | None = None

    def begin(self, name: str) -> None:
        """The oldest file says with its name where the log begins."""
        if not self._expected:
            self._expected = first_seq(name) or 1
            self._before = Head().hash if self._expected == 1 else None

    def step(self, line: _Line, rest: Iterator[_Line]) -> Finding | None:
        """Take the next line; `rest` is read to find out what happened to one that is wrong."""
        record = unpack(line.data)
        if record is None or not self._follows(line.data, record):
            return self._explained(line, record, rest)
        if line.number == 1 and first_seq(line.file) not in (None, record.seq):
            return self.finding(Fault.FOREIGN, line, "the file has a name that is not its own")
        finding = self._held_against(line, record)
        if finding is None:
            self._take(line, record)
        return finding

    def _take(self, line: _Line, record: Record) -> None:
        if self._first is None:
            self._first = record.seq
        self._head = Head(record.seq, record.hash)
        self._expected, self._before = record.seq + 1, record.hash
        self._last = line

    def _follows(self, data: bytes, record: Record) -> bool:
        before = self._before or record.prev
        return (
            record.seq == self._expected
            and before is not None
            and seal(data, before) == record.hash
        )

    def _held_against(self, line: _Line, record: Record) -> Finding | None:
        held = self._against
        if held is None or held.seq > record.seq:
            return None
        if self._first is None and held.seq < record.seq - 1:
            words = f"the log begins after record {held.seq}, which it is held against"
            return self.finding(Fault.MISSING, line, words)
        if held.seq == record.seq - 1 and self._first is None and record.prev:
            found = record.prev
        elif held.seq == record.seq:
            found = record.hash
        else:
            return None
        if found == held.hash:
            return None
        words = f"record {held.seq} is another than the one that it is held against"
        return self.finding(Fault.REWRITTEN, line, words)

    # --- what is wrong ---------------------------------------------------------------------

    def _explained(self, line: _Line, record: Record | None, rest: Iterator[_Line]) -> Finding:
        due = self._expected
        if record is None:
            if any(self._continues(each) for each in rest):
                return self.finding(Fault.FOREIGN, line, "the line is no record of the agent's")
            return self.finding(Fault.ALTERED, line, "it cannot be read any more")
        if self._was_due(line.data):
            return self.finding(Fault.ALTERED, line, f"its number was changed to {record.seq}")
        if record.seq < due:
            if self._last is None:
                return self.finding(Fault.FOREIGN, line, "the file has a name that is not its own")
            return self.finding(Fault.INSERTED, line, f"a second record {record.seq} stands there")
        return self._explained_by_rest(line, record, rest)

    def _explained_by_rest(self, line: _Line, record: Record, rest: Iterator[_Line]) -> Finding:
        found, again = False, False
        for each in rest:
            found = found or self._continues(each)
            again = again or each.data == line.data
        if not found and record.seq > self._expected:
            last = record.seq - 1
            words = "it is missing" if last == self._expected else f"all up to {last} are missing"
            return self.finding(Fault.MISSING, line, words)
        if not found:
            words = "it does not fit its hash, or not the record before it"
            return self.finding(Fault.ALTERED, line, words)
        if again or record.seq == self._expected:
            words = f"a record {record.seq} that is not the agent's stands before it"
            return self.finding(Fault.INSERTED, line, words)
        return self.finding(Fault.REORDERED, line, f"record {record.seq} stands in its place")

    def _continues(self, line: _Line) -> bool:
        """Whether a line is the record that is due."""
        record = unpack(line.data)
        return record is not None and self._follows(line.data, record)

    def _was_due(self, data: bytes) -> bool:
        """Whether a record would be the one that is due, had it that one's number."""
        record = unpack(again := renumbered(data, self._expected))
        return record is not None and self._follows(again, record)

    def finding(self, fault: Fault, line: _Line, words: str) -> Finding:
        """Something wrong where a line stands."""
        return Finding(
            fault=fault, file=line.file, line=line.number, seq=self._expected, words=words
        )

    # --- the end ---------------------------------------------------------------------------

    def end(self, torn: Torn | None = None) -> Verdict:
        """The verdict where nothing was wrong up to the end."""
        held = self._against
        if held is None or held.seq <= self._head.seq:
            return self.verdict(None, torn)
        file, line = (self._last.file, self._last.number) if self._last else ("", 0)
        words = f"the log ends before record {held.seq}, which it is held against"
        finding = Finding(
            fault=Fault.CUT, file=file, line=line + 1, seq=self._head.seq + 1, words=words
        )
        return self.verdict(finding, torn)

    def verdict(self, finding: Finding | None, torn: Torn | None = None) -> Verdict:
        """What it came to."""
        return Verdict(first=self._first, head=self._head, torn=torn, finding=finding)
