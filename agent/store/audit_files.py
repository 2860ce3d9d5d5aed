"""The files of the audit: written by one thread, read by whoever looks. Every call blocks."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.store.audit_chain import Entry, Head, file_name, first_seq, pack, pack_first, unpack
from agent.store.memories import StoreError

log = logging.getLogger("stoker.store")

FILE_BYTES = 16 * 1024 * 1024
WINDOW_BYTES = 64 * 1024
"""How much of a file's end is read at first to find its last record."""
_AS_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class InUse(StoreError):
    """Another agent writes this audit."""


class Remnant(msgspec.Struct, frozen=True):
    """The piece of a record that was cut off at the opening: it was never finished."""

    file: str
    bytes: int


class End(msgspec.Struct, frozen=True):
    """Where the audit in a directory ends."""

    head: Head
    path: Path | None = None
    """The last file."""
    whole_bytes: int = 0
    """Of the last file, without what is torn."""
    torn_bytes: int = 0


def paths(directory: Path) -> list[Path]:
    """The files of an audit, oldest first."""
    found = [path for path in directory.iterdir() if first_seq(path.name) is not None]
    return sorted(found, key=lambda path: (first_seq(path.name), path.name))


def streams(files: Sequence[Path]) -> Iterator[tuple[str, BinaryIO]]:
    """Names and contents of files, one open at a time."""
    for path in files:
        with path.open("rb") as stream:
            yield path.name, stream


def end_of(directory: Path) -> End:
    """Where an audit ends: only the end of its last file is read."""
    files = paths(directory)
    if not files:
        return End(Head())
    head, whole_bytes, torn_bytes = _tail(files[-1])
    for path in reversed(files[:-1]):
        if head is not None:
            break
        head, _, _ = _tail(path)
    return End(head or Head(), files[-1], whole_bytes, torn_bytes)


def _tail(path: Path) -> tuple[Head | None, int, int]:
    """The last record of a file, how much is whole, and how much behind that is torn."""
    size = path.stat().st_size
    window = min(WINDOW_BYTES, size)
    with path.open("rb") as stream:
        while True:
            stream.seek(size - window)
            *lines, torn = stream.read(window).split(b"\n")
            head = _last(lines if window == size else lines[1:])
            if head is not None or window == size:
                return head, size - len(torn), len(torn)
            window = min(window * 4, size)


def _last(lines: list[bytes]) -> Head | None:
    for line in reversed(lines):
        if (record := unpack(line)) is not None:
            return Head(record.seq, record.hash)
    return None


class _File:
    """The file that is added to. It is opened for appending only."""

    def __init__(self, path: Path, size: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = path
        self.size = size
        """What is on disk and counts."""
        self._fd = os.open(path, flags, 0o640)
        self._unsure = False
        """A write failed: behind `size` may stand something that does not count."""

    def write(self, data: bytes) -> None:
        """Add bytes; they are on disk when this returns."""
        self._unsure = True
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fsync(self._fd)
        self._unsure = False
        self.size += len(data)

    def take_back(self) -> None:
        """Cut off what a write that failed has left.

        What a failed sync leaves in the page cache counts as clean: the same bytes have to be
        written again, so nothing of them may seem to be there.
        """
        if self._unsure:
            os.ftruncate(self._fd, self.size)
            self._unsure = False

    def is_disturbed(self) -> bool:
        """True where another hand was at the file."""
        found = os.fstat(self._fd)
        return not found.st_nlink or found.st_size != self.size

    def let_group_read(self) -> None:
        """Whatever the umask is."""
        os.fchmod(self._fd, 0o640)

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            os.close(self._fd)


def _cut(path: Path, size: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


class AuditFiles:
    """The one that writes. Nothing that counts is ever rewritten or cut off.

    What goes is only what was never finished: a torn record at the opening, and what a write that
    failed has left.
    """

    def __init__(self, directory: Path, file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self.head = Head()
        """The last record that is on disk."""
        self.is_open = False
        self._lock: int | None = None
        self._file: _File | None = None

    def open(self) -> Remnant | None:
        """Find the end; what was torn there, and is cut off. Raises `InUse` or `OSError`."""
        self._take_lock()
        end = end_of(self._directory)
        remnant = None
        if end.path is not None and end.torn_bytes:
            _cut(end.path, end.whole_bytes)
            remnant = Remnant(end.path.name, end.torn_bytes)
        if end.path is not None and (
            end.whole_bytes or end.path.name == file_name(end.head.seq + 1)
        ):  # else it was begun for another record than the one that comes
            self._file = _File(end.path, end.whole_bytes)
        self.head, self.is_open = end.head, True
        return remnant

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(self._directory, _AS_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InUse(f"{self._directory}: another agent writes this audit") from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    # --- writing ---------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> int:
        """Put as many as one file takes on disk: how many that were; raises `OSError` for none."""
        file = self._file_with_room()
        data, head, taken = self._packed(entries, file.size)
        if not taken:
            file = self._begin_file()
            data, head, taken = self._packed(entries, file.size)
        file.write(data)
        self.head = head
        return taken

    def _file_with_room(self) -> _File:
        file = self._file
        if file is None:
            return self._begin_file()
        file.take_back()
        if file.is_disturbed():  # it stays as it is, for whoever looks
            log.error("%s was changed by another hand; see `stoker audit verify`", file.path)
            return self._begin_file()
        return file

    def _packed(self, entries: Sequence[Entry], size: int) -> tuple[bytes, Head, int]:
        """The lines of as many entries as fit, behind so many bytes; a first one always does."""
        head, lines = self.head, list[bytes]()
        for entry in entries:
            line, after = (pack if size else pack_first)(entry, head)
            if size and size + len(line) > self._file_bytes:
                break
            lines.append(line)
            size += len(line)
            head = after
        return b"".join(lines), head, len(lines)

    def _begin_file(self) -> _File:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = _File(self._directory / file_name(self.head.seq + 1), 0)
        try:
            file.let_group_read()
            self._sync_names()
        except OSError:
            file.close()
            raise
        self._file = file
        return file

    def _sync_names(self) -> None:
        """Make the name of a new file last, and that of the directory, which may be as new."""
        for directory in (self._directory, self._directory.parent):
            fd = os.open(directory, _AS_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Close all, and let another agent write."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self.is_open = False
