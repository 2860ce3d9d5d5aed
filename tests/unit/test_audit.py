"""The audit on disk: what is noted is there, in order, whatever the agent or the disk does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.store import audit as audit_module
from agent.store.audit import AuditLog
from agent.store.audit_chain import Head
from agent.store.audit_files import InUse, end_of, paths, streams
from agent.store.audit_verify import Verdict, verify
from agent.store.memories import StoreError
from tests.fakes import FakeClock, kept

ME = "local:ana"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def opened(directory: Path, **values) -> AuditLog:
    return AuditLog(directory, FakeClock(), **values)


def judged(directory: Path, against: Head | None = None) -> Verdict:
    return verify(streams(paths(directory)), against)


def records(directory: Path) -> list[dict]:
    return [json.loads(line) for path in paths(directory) for line in path.read_text().splitlines()]


def said(directory: Path) -> list[str]:
    return [record["what"] for record in records(directory)]


class Lock(msgspec.Struct):
    scope: str


class Disk:
    """A disk that fails on demand, below everything of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        """Bytes that it still takes; all where None."""
        self.sync_fails = False
        self.syncs = 0
        self._moves = threading.Event()
        self._moves.set()
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def write(self, fd: int, data) -> int:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or self.room is None:
            return self._write(fd, data)
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(fd, bytes(data)[: self.room])
        self.room -= taken
        return taken

    @contextmanager
    def hanging(self) -> Iterator[None]:
        self._moves.clear()
        try:
            yield
        finally:
            self._moves.set()

    def fsync(self, fd: int) -> None:
        assert self._moves.wait(10)
        self.syncs += 1
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


# --- writing ----------------------------------------------------------------------------------


async def test_what_is_noted_is_on_disk_when_write_returns(directory):
    async with opened(directory) as audit:
        audit.note(ME, "lock.set", Lock("rack=b7"))
        audit.note("key:ops-1", "order.begun", {"order": "c1", "devices": 7})
        await audit.write()
        first, second = records(directory)
        assert judged(directory) == Verdict(first=1, head=audit.head)
    assert (first["seq"], first["who"], first["what"]) == (1, ME, "lock.set")
    assert first["at"] == "2027-01-15T08:16:40.000Z"
    assert first["content"] == {"scope": "rack=b7"}
    assert second["content"] == {"order": "c1", "devices": 7}


async def test_what_waits_is_written_each_second_and_at_the_end(directory, monkeypatch):
    monkeypatch.setattr(audit_module, "WRITE_S", 0.01)
    async with opened(directory) as audit:
        async with kept(audit.run()), asyncio.timeout(5):
            audit.note(ME, "a", {})
            while audit.head.seq < 1:
                await asyncio.sleep(0.005)
        audit.note(ME, "b", {})
    assert said(directory) == ["a", "b"]


async def test_those_who_wait_share_a_write(directory, disk):
    async with opened(directory) as audit:
        audit.note(ME, "0", {})
        await audit.write()
        disk.syncs = 0
        waiting = []
        for number in range(1, 201):
            audit.note(ME, str(number), {})
            waiting.append(asyncio.create_task(audit.write()))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert disk.syncs < 50
    assert said(directory) == [str(number) for number in range(201)]


async def test_who_waits_with_nothing_new_waits_for_what_is_under_way(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
        first = asyncio.create_task(audit.write())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await audit.write()
        assert audit.head.seq == 1
        await first


async def test_the_chain_goes_on_after_a_restart_and_across_files(directory):
    heads = []
    for run in range(4):
        async with opened(directory, file_bytes=1000) as audit:
            assert audit.head == (heads[-1] if heads else Head())
            for number in range(7):
                audit.note(ME, f"{run}.{number}", {"words": "x" * 50})
                await audit.write()
            heads.append(audit.head)
    assert len(paths(directory)) > 5
    assert max(path.stat().st_size for path in paths(directory)) <= 1000
    assert said(directory) == [f"{run}.{number}" for run in range(4) for number in range(7)]
    for head in heads:
        assert judged(directory, head) == Verdict(first=1, head=heads[-1])


async def test_a_record_that_is_larger_than_a_file_has_one_of_its_own(directory):
    async with opened(directory, file_bytes=1000) as audit:
        for size in (10, 5000, 10):
            audit.note(ME, "a", {"words": "x" * size})
    assert len(paths(directory)) == 3
    assert judged(directory).intact


async def test_many_records_at_once_are_spread_over_files(directory):
    async with opened(directory, file_bytes=10_000) as audit:
        for number in range(1000):
            audit.note(ME, "a", {"number": number})
    assert [record["content"]["number"] for record in records(directory)] == list(range(1000))
    assert judged(directory).intact


async def test_of_a_huge_content_only_size_and_hash_are_kept(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {"words": "x" * 5_000_000})
    (record,) = records(directory)
    assert record["content"]["omitted_bytes"] == 5_000_012
    assert len(record["content"]["sha256"]) == 64


async def test_the_group_may_read_it_and_others_not(directory):
    before = os.umask(0o077)
    try:
        async with opened(directory) as audit:
            audit.note(ME, "a", {})
    finally:
        os.umask(before)
    (path,) = paths(directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_two_agents_never_write_the_same_audit(directory):
    async with opened(directory) as audit:
        with pytest.raises(InUse, match="another agent"):
            await opened(directory).__aenter__()
        audit.note(ME, "a", {})
    async with opened(directory):
        pass
    assert judged(directory).intact


# --- opening ----------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b'{"seq":3,"at":', b"\0" * 5000, b'{"seq":3\0\0\0'])
async def test_a_torn_record_is_cut_off_and_that_is_the_first_word(directory, piece):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
        audit.note(ME, "b", {})
    (path,) = paths(directory)
    with path.open("ab") as stream:
        stream.write(piece)
    assert judged(directory).torn is not None
    async with opened(directory) as audit:
        audit.note(ME, "c", {})
    assert said(directory) == ["a", "b", "audit.torn", "c"]
    assert records(directory)[2]["content"] == {"file": path.name, "bytes": len(piece)}
    assert records(directory)[2]["who"] == "stoker"
    assert judged(directory) == Verdict(first=1, head=end_of(directory).head)


@pytest.mark.parametrize("piece", [b"", b"{"])
async def test_a_file_without_a_whole_record_is_taken_on(directory, piece):
    """The agent went down just after it had begun a file."""
    async with opened(directory, file_bytes=300) as audit:
        audit.note(ME, "a", {"words": "x" * 300})
        head = audit.head
    (path,) = paths(directory)
    begun = path.with_name("audit-000000000002.log")
    begun.write_bytes(piece)
    async with opened(directory) as audit:
        assert audit.head.seq == 1
        assert audit.head != head
        audit.note(ME, "b", {})
    assert said(directory) == ["a", *(["audit.torn"] if piece else []), "b"]
    assert paths(directory) == [path, begun]
    assert judged(directory).intact


async def test_an_empty_file_of_another_record_is_left_alone(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
    (path,) = paths(directory)
    path.with_name("audit-000000000007.log").touch()
    async with opened(directory) as audit:
        audit.note(ME, "b", {})
    assert [each.name[-7:-4] for each in paths(directory)] == ["001", "002", "007"]
    assert judged(directory).intact
    async with opened(directory) as audit:
        audit.note(ME, "c", {})
    assert said(directory) == ["a", "b", "c"]


async def test_a_long_last_record_is_found(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {"words": "x" * 1_000_000})
    async with opened(directory) as audit:
        assert audit.head.seq == 1
        audit.note(ME, "b", {})
    assert judged(directory).intact


async def test_only_the_end_of_the_last_file_is_read(directory, monkeypatch):
    async with opened(directory, file_bytes=200_000) as audit:
        for number in range(3000):
            audit.note(ME, "a", {"number": number})
    size = sum(path.stat().st_size for path in paths(directory))
    read = 0
    path_open = Path.open

    class Counting:
        def __init__(self, stream):
            self._stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._stream.close()

        def seek(self, at):
            self._stream.seek(at)

        def read(self, most):
            nonlocal read
            read += most
            return self._stream.read(most)

    monkeypatch.setattr(Path, "open", lambda path, mode: Counting(path_open(path, mode)))
    assert end_of(directory).head.seq == 3000
    assert read < 100_000 < size


async def test_what_is_no_record_at_the_end_stays_and_is_gone_around(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
    (path,) = paths(directory)
    with path.open("ab") as stream:
        stream.write(b"who was here\n")
    async with opened(directory) as audit:
        audit.note(ME, "b", {})
    assert [line[:5] for line in path.read_bytes().splitlines()] == [b'{"seq', b"who w", b'{"seq']
    finding = judged(directory).finding
    assert finding is not None
    assert (finding.fault, finding.line) == ("foreign", 2)


# --- another hand -------------------------------------------------------------------------------


async def test_what_another_hand_added_is_left_for_whoever_looks(directory, caplog):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
        await audit.write()
        (path,) = paths(directory)
        with path.open("ab") as stream:
            stream.write(b"{")
        audit.note(ME, "b", {})
        await audit.write()
        audit.note(ME, "c", {})
    assert caplog.text.count("changed by another hand") == 1
    assert path.read_bytes().endswith(b"\n{")
    finding = judged(directory).finding
    assert finding is not None
    assert (finding.fault, finding.file, finding.line) == ("altered", path.name, 2)
    second = paths(directory)[1].read_text().splitlines()
    assert [json.loads(line)["what"] for line in second] == ["b", "c"]


async def test_what_another_hand_cut_off_is_not_covered_up(directory):
    async with opened(directory) as audit:
        for what in "abc":
            audit.note(ME, what, {})
        await audit.write()
        (path,) = paths(directory)
        os.truncate(path, len(path.read_bytes().splitlines(keepends=True)[0]))
        audit.note(ME, "d", {})
    finding = judged(directory).finding
    assert finding is not None
    assert (finding.fault, finding.seq) == ("missing", 2)


async def test_files_that_are_deleted_are_missed(directory):
    async with opened(directory) as audit:
        audit.note(ME, "a", {})
        await audit.write()
        head = audit.head
        (path,) = paths(directory)
        path.unlink()
        directory.rmdir()
        audit.note(ME, "b", {})
    assert said(directory) == ["b"]
    assert judged(directory) == Verdict(first=2, head=audit.head)
    assert judged(directory, head).intact  # the record before the first one is known by its hash


# --- a disk that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 300, 1000])
async def test_a_full_disk_delays_and_loses_nothing(directory, disk, caplog, room):
    async with opened(directory) as audit:
        audit.note(ME, "first", {})
        await audit.write()
        disk.room = room
        for number in range(10):
            audit.note(ME, str(number), {})
        for _ in range(3):
            with pytest.raises(StoreError, match="No space left"):
                await audit.write()
        assert audit.head.seq == 1
        disk.room = None
        audit.note(ME, "last", {})
        await audit.write()
    assert said(directory) == ["first", *map(str, range(10)), "last"]
    assert judged(directory).intact
    assert caplog.text.count("the audit is not written") == 1
    assert caplog.text.count("the audit is written again") == 1


@pytest.mark.parametrize("words", [10, 300])
async def test_a_sync_that_fails_counts_for_nothing(directory, disk, words):
    """What it left is written again, be it in this file or in the next."""
    async with opened(directory, file_bytes=600) as audit:
        audit.note(ME, "a", {})
        await audit.write()
        disk.sync_fails = True
        audit.note(ME, "b", {"words": "x" * words})
        with pytest.raises(StoreError, match="Input/output"):
            await audit.write()
        assert audit.head.seq == 1
        disk.sync_fails = False
    assert said(directory) == ["a", "b"]
    assert judged(directory).intact


async def test_a_file_that_cannot_be_begun_is_begun_later(directory, disk):
    async with opened(directory) as audit:
        disk.sync_fails = True
        audit.note(ME, "a", {})
        for _ in range(2):
            with pytest.raises(StoreError):
                await audit.write()
        disk.sync_fails = False
    assert said(directory) == ["a"]
    assert judged(directory).intact


async def test_what_memory_has_no_room_for_is_counted_and_said(directory, disk, monkeypatch):
    monkeypatch.setattr(audit_module, "WAITING_RECORDS", 10)
    async with opened(directory) as audit:
        audit.note(ME, "first", {})
        await audit.write()
        disk.room = 0
        for number in range(25):
            audit.note(ME, str(number), {})
            with pytest.raises(StoreError):
                await audit.write()
        disk.room = None
    assert said(directory) == ["first", "audit.lost", *map(str, range(15, 25))]
    lost = records(directory)[1]
    assert lost["who"] == "stoker"
    assert lost["content"]["records"] == 15
    assert judged(directory).intact


async def test_memory_is_bounded_in_bytes_too(directory, disk, monkeypatch):
    monkeypatch.setattr(audit_module, "WAITING_BYTES", 1000)
    async with opened(directory) as audit:
        disk.room = 0
        for number in range(50):
            audit.note(ME, str(number), {"words": "x" * 200})
            with pytest.raises(StoreError):
                await audit.write()
        disk.room = None
    assert said(directory) == ["audit.lost", "46", "47", "48", "49"]


async def test_a_loss_that_cannot_be_said_yet_is_said_whole(directory, disk, monkeypatch):
    monkeypatch.setattr(audit_module, "WAITING_RECORDS", 2)
    async with opened(directory) as audit:
        for room in (0, 0, 50):  # then enough for a piece of the loss, and not for all of it
            disk.room = room
            for number in range(4):
                audit.note(ME, str(number), {})
            with pytest.raises(StoreError):
                await audit.write()
        disk.room = None
    assert said(directory) == ["audit.lost", "2", "3"]
    assert records(directory)[0]["content"]["records"] == 10


async def test_it_begins_where_the_directory_cannot_be_used_yet(tmp_path, caplog):
    blocking = tmp_path / "audit"
    blocking.write_text("a file")
    async with opened(blocking) as audit:
        audit.note(ME, "a", {})
        with pytest.raises(StoreError):
            await audit.write()
        assert audit.head == Head()
        blocking.unlink()
        await audit.write()
        assert audit.head.seq == 1
    assert caplog.text.count("the audit is not written") == 1
    assert said(blocking) == ["a"]


async def test_nobody_hangs_with_the_disk(directory, disk, monkeypatch, caplog):
    monkeypatch.setattr(audit_module, "PATIENCE_S", 0.05)
    async with opened(directory) as audit:
        with disk.hanging():
            audit.note(ME, "a", {})
            for _ in range(2):
                with pytest.raises(StoreError, match="not on disk within"):
                    await audit.write()
            audit.note(ME, "b", {})
        async with asyncio.timeout(5):
            while audit.head.seq < 1:
                await asyncio.sleep(0.005)
        await audit.write()
    assert said(directory) == ["a", "b"]
    assert caplog.text.count("the audit is not written") == 1
    assert caplog.text.count("the audit is written again") == 1


async def test_an_end_that_cannot_be_written_is_said(directory, disk, caplog):
    async with opened(directory) as audit:
        disk.room = 0
        audit.note(ME, "a", {})
    assert "the end of the audit is lost" in caplog.text
