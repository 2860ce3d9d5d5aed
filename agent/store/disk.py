"""The files of the spool, as its threads work on them. Nothing here runs in the event loop."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.store.contents import Contents
from agent.store.segment import (
    RECORD_BYTES,
    SUFFIX,
    Record,
    SegmentHead,
    pack_head,
    pack_record,
    parts,
)

NOTE_SUFFIX = ".done"
MAKING_SUFFIX = ".new"
"""What a segment is called until it is whole, where it replaces another."""


class Write(msgspec.Struct, frozen=True):
    """Put bytes into a segment from an offset on, and make sure that they stay."""

    segment_id: str
    offset: int
    head: bytes
    records: list[Record]
    tail: bytes
    """The contents, when the segment is closed with this."""

    @property
    def size(self) -> int:
        """How much is written."""
        records = sum(record.size for record in self.records)
        return len(self.head) + records + len(self.tail)


class Note(msgspec.Struct, frozen=True):
    """Write down which frames of a segment are settled; without a sync: losing it repeats them."""

    segment_id: str
    body: bytes


class Remove(msgspec.Struct, frozen=True):
    """Delete a segment and its note."""

    segment_id: str
    size: int
    """What that frees."""


Job = Write | Note | Remove


class Disk:
    """One directory. Every call blocks; all but `read` come from the one writer thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, int] = {}

    def path(self, segment_id: str) -> Path:
        """The file of a segment."""
        return self._directory / (segment_id + SUFFIX)

    def note_path(self, segment_id: str) -> Path:
        """Where it stands which of its frames are settled."""
        return self._directory / (segment_id + NOTE_SUFFIX)

    def perform(self, jobs: Sequence[Job]) -> tuple[int, Exception | None]:
        """Do jobs in order up to the first that fails: how many were done, and the failure."""
        for done, job in enumerate(jobs):
            try:
                self._do(job)
            except (OSError, MemoryError) as error:
                return done, error
        return len(jobs), None

    def _do(self, job: Job) -> None:
        match job:
            case Write():
                self._write(job)
            case Note():
                with suppress(OSError):  # where the disk is in trouble, writes tell it
                    self._note(job)
            case Remove():
                self._remove(job.segment_id)

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.popitem()[1])

    # --- writing -----------------------------------------------------------------------

    def _write(self, job: Write) -> None:
        data = b"".join((job.head, *map(pack_record, job.records), job.tail))
        fd = self._opened(job.segment_id)
        try:
            if os.fstat(fd).st_size != job.offset:
                os.ftruncate(fd, job.offset)
            _write_at(fd, data, job.offset)
            os.fdatasync(fd)
            if job.offset == 0:
                self._sync_directory()
        except OSError:
            # What a failed sync leaves in the page cache counts as clean: the same bytes have to
            # be written again, so nothing of them may seem to be there.
            with suppress(OSError):
                os.ftruncate(fd, job.offset)
            self._close(job.segment_id)
            raise
        if job.tail:
            self._close(job.segment_id)

    def _opened(self, segment_id: str) -> int:
        if segment_id not in self._open:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._open[segment_id] = os.open(self.path(segment_id), flags, 0o600)
        return self._open[segment_id]

    def _close(self, segment_id: str) -> None:
        if (fd := self._open.pop(segment_id, None)) is not None:
            with suppress(OSError):
                os.close(fd)

    def _note(self, job: Note) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.note_path(job.segment_id), flags, 0o600)
        try:
            _write_at(fd, job.body, 0)
            os.ftruncate(fd, len(job.body))
        finally:
            os.close(fd)

    def _remove(self, segment_id: str) -> None:
        self._close(segment_id)
        self.path(segment_id).unlink(missing_ok=True)
        with suppress(OSError):
            self.note_path(segment_id).unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def replace(self, old_id: str, head: SegmentHead, records: Sequence[Record]) -> Contents:
        """Put a thinned segment in the place of another: both never count, whatever happens.

        Until it has its name the new one is deleted at a start; from then on the old one is.
        """
        contents, data = whole(head, records)
        making = self._directory / (head.name + MAKING_SUFFIX)
        try:
            self._write_whole(making, data)
            making.rename(self.path(head.name))
        except OSError:
            with suppress(OSError):
                making.unlink(missing_ok=True)
            raise
        try:
            self._sync_directory()
            self._remove(old_id)
        except OSError:
            with suppress(OSError):
                self.path(head.name).unlink(missing_ok=True)
            raise
        return contents

    def _write_whole(self, path: Path, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        try:
            _write_at(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- reading -----------------------------------------------------------------------

    def read(self, segment_id: str, spans: Sequence[tuple[int, int, int]]) -> list[Record | None]:
        """Frames that lie behind one another, each given by index, offset and size.

        None stands for one that is damaged, also by a sector that cannot be read.
        """
        start, end = spans[0][1], spans[-1][1] + spans[-1][2]
        fd = os.open(self.path(segment_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            data = _read_at(fd, end - start, start)
            if data is None:  # find out which frame it is
                return [_record(_read_at(fd, size, at), index) for index, at, size in spans]
        finally:
            os.close(fd)
        return [_record(data[at - start : at - start + size], index) for index, at, size in spans]


def whole(head: SegmentHead, records: Sequence[Record]) -> tuple[Contents, bytes]:
    """A closed segment, and what is in it."""
    contents = Contents()
    pieces = [pack_head(head)]
    offset = len(pieces[0])
    for record in records:
        pieces.append(pack_record(record))
        contents.add(record, offset, record.size)
        offset += record.size
    pieces.append(contents.pack())
    return contents, b"".join(pieces)


def whole_bytes(head: SegmentHead, records: Sequence[Record]) -> int:
    """How much a closed segment takes."""
    records_bytes = sum(record.size for record in records)
    return len(pack_head(head)) + records_bytes + Contents.bytes_for(len(records))


def _record(data: bytes | None, index: int) -> Record | None:
    if data is None or len(data) < RECORD_BYTES:
        return None
    record = next(parts(data)).record
    return record if record is not None and record.index == index else None


def _read_at(fd: int, size: int, offset: int) -> bytes | None:
    """Bytes of a file, fewer at its end; None where the medium fails."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
