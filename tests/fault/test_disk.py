"""A disk that fills up, fails, or loses its power; a writer that is killed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.store.spool import Head, Loss, Reason, Spool, SpoolEvents
from tests.fakes import FakeClock
from tests.fault.mounts import small_file_system

MIB = 1 << 20
WRITER = """
import asyncio, sys, time
from pathlib import Path
from agent.clock import SystemClock
from agent.store.spool import Head, Spool

async def main():
    spool = Spool(Path(sys.argv[1]), limit_bytes=1 << 30, boot_id="b", epoch=1, clock=SystemClock())
    async with spool:
        seq = 1
        while True:
            spool.append("telemetry", Head(seq, seq + 9, 10, 1.0, 2.0), b"%d" % seq + bytes(5000))
            print(seq, time.monotonic(), flush=True)
            seq += 10
            if seq % 1000 == 1:
                spool.roll("telemetry")
            await asyncio.sleep(0.002)

asyncio.run(main())
"""


class Owner:
    """Keeps what the spool tells, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.lost: list[Loss] = []
        self.troubles: list[str] = []
        self.recoveries = 0
        self._news = asyncio.Event()

    def events(self) -> SpoolEvents:
        return SpoolEvents(
            on_lost=self.lost.append, on_trouble=self._trouble, on_recovered=self._recovered
        )

    def _trouble(self, words: str) -> None:
        self.troubles.append(words)
        self._news.set()

    def _recovered(self) -> None:
        self.recoveries += 1
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Frames:
    """Appends frames of ten readings."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.seq = 1

    def append(self, size: int = 60_000) -> int:
        seq = self.seq
        head = Head(seq, seq + 9, 10, float(seq), seq + 9.0)
        self.seq += 10
        self.spool.append("telemetry", head, b"%d" % head.seq + os.urandom(size))
        return seq


def opened(directory: Path, owner: Owner, epoch: int = 1, **options) -> Spool:
    return Spool(
        directory,
        limit_bytes=options.pop("limit_bytes", 64 * MIB),
        boot_id=f"boot-{epoch}",
        epoch=epoch,
        clock=FakeClock(),
        events=owner.events(),
        retry_s=0.02,
        **options,
    )


async def seqs(spool: Spool) -> list[int]:
    found = []
    for segment in spool.segments("telemetry"):
        index = 0
        while records := await spool.read(segment.id, index, MIB):
            index = records[-1].index + 1
            found += [record.seq for record in records]
    return found


def settle_all(spool: Spool) -> None:
    for segment in spool.segments("telemetry"):
        for index in spool.unsettled(segment.id):
            spool.settle(segment.id, index)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB."""
    with small_file_system(tmp_path / "small", "2m") as point:
        yield point


async def test_a_full_disk_is_told_once_and_loses_nothing_that_memory_holds(small_disk):
    owner = Owner()
    async with opened(small_disk / "spool", owner) as spool:
        (small_disk / "somebody's").write_bytes(bytes(MIB))
        frames = Frames(spool)
        appended = [frames.append() for _ in range(25)]
        await owner.until(lambda: bool(owner.troubles))
        assert "No space left" in owner.troubles[0]
        assert spool.wants_roll("telemetry")
        assert spool.stats().trouble is not None
        assert await seqs(spool) == appended
        appended.append(frames.append())
        assert not spool.wants_roll("telemetry")
        await asyncio.sleep(0.1)  # some attempts fail, and are not told
        assert (len(owner.troubles), owner.recoveries) == (1, 0)
        (small_disk / "somebody's").unlink()
        settle_all_but(spool, appended[-5:])
        await owner.until(lambda: owner.recoveries == 1)
        await spool.flush()
        assert spool.stats().waiting_bytes == 0
        assert set(appended[-5:]) <= set(await seqs(spool))
    assert owner.lost == []
    async with opened(small_disk / "spool", owner, epoch=2) as spool:
        assert set(appended[-5:]) <= set(await seqs(spool))
    assert owner.lost == []


def settle_all_but(spool: Spool, keep: list[int]) -> None:
    for segment in spool.segments("telemetry"):
        for index in spool.unsettled(segment.id):
            if segment.first_seq + 10 * index not in keep:
                spool.settle(segment.id, index)


async def test_memory_is_bounded_while_the_disk_is_full(small_disk):
    owner = Owner()
    limit = 10 * 61_000
    async with opened(small_disk / "spool", owner, memory_bytes=limit) as spool:
        (small_disk / "somebody's").write_bytes(bytes(2 * MIB - 100_000))
        frames = Frames(spool)
        frames.append()
        await spool.flush()
        appended = [frames.append() for _ in range(5)]
        await owner.until(lambda: bool(owner.troubles))
        for _ in range(60):
            appended.append(frames.append())
            assert spool.stats().waiting_bytes <= limit
            await asyncio.sleep(0)
        kept = await seqs(spool)
        assert kept[0] == 1  # was on disk
        assert kept[1:] == appended[-len(kept) + 1 :]
        assert len(kept) >= 6
        (small_disk / "somebody's").unlink()
        await owner.until(lambda: owner.recoveries == 1)
        await spool.flush()
        assert await seqs(spool) == kept
    assert {loss.reason for loss in owner.lost} == {Reason.DISK}
    lost = {seq for seq in appended if seq not in kept}
    told = {seq for loss in owner.lost for seq in range(loss.first_seq, loss.last_seq, 10)}
    assert told == lost
    assert sum(loss.lost for loss in owner.lost) == 10 * len(lost)


async def test_what_went_live_meanwhile_is_not_lost(small_disk):
    owner = Owner()
    async with opened(small_disk / "spool", owner, memory_bytes=10 * 61_000) as spool:
        (small_disk / "somebody's").write_bytes(bytes(2 * MIB - 4096))
        frames = Frames(spool)
        for _ in range(50):
            frames.append()
            settle_all(spool)
            await spool.flush()
        await owner.until(lambda: bool(owner.troubles))
        assert spool.stats().backlog_readings == 0
    assert owner.lost == []


async def test_a_stop_while_the_disk_is_full_is_quick_and_honest(small_disk):
    owner = Owner()
    async with opened(small_disk / "spool", owner) as spool:
        (small_disk / "somebody's").write_bytes(bytes(2 * MIB - 4096))
        Frames(spool).append()
        await owner.until(lambda: bool(owner.troubles))
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    assert [(loss.reason, loss.lost) for loss in owner.lost] == [(Reason.DISK, 10)]


async def test_a_file_system_that_turned_read_only(small_disk):
    owner = Owner()
    async with opened(small_disk / "spool", owner) as spool:
        frames = Frames(spool)
        appended = [frames.append(), frames.append()]
        await spool.flush()
        spool.roll("telemetry")
        await spool.flush()  # nothing is open: else it cannot be made read-only
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        appended.append(frames.append())
        await owner.until(lambda: bool(owner.troubles))
        assert "Read-only" in owner.troubles[0]
        assert await seqs(spool) == appended
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        await owner.until(lambda: owner.recoveries == 1)
        await spool.flush()
    async with opened(small_disk / "spool", owner, epoch=2) as spool:
        assert await seqs(spool) == appended
    assert owner.lost == []


async def test_a_start_on_a_disk_that_cannot_be_used(tmp_path):
    owner = Owner()
    (tmp_path / "state").write_text("a file where the directory should be")
    async with opened(tmp_path / "state" / "spool", owner) as spool:
        assert owner.troubles
        assert spool.recovered == []
        seq = Frames(spool).append()
        assert await seqs(spool) == [seq]
        (tmp_path / "state").unlink()
        await owner.until(lambda: owner.recoveries == 1)
        await spool.flush()
    async with opened(tmp_path / "state" / "spool", owner, epoch=2) as spool:
        assert await seqs(spool) == [seq]


async def test_a_failed_sync_is_not_believed_later(tmp_path, monkeypatch):
    """What a failed sync left in the cache counts as clean, so the same has to be written again."""
    owner = Owner()
    synced: list[int] = []
    real = os.fdatasync

    def fails_once(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        if len(synced) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    async with opened(tmp_path / "spool", owner) as spool:
        frames = Frames(spool)
        appended = [frames.append()]
        await spool.flush()
        (file,) = (tmp_path / "spool").iterdir()
        good_bytes = file.stat().st_size
        appended.append(frames.append())
        await owner.until(lambda: bool(owner.troubles))
        assert file.stat().st_size == good_bytes
        await owner.until(lambda: owner.recoveries == 1)
        assert await seqs(spool) == appended
    async with opened(tmp_path / "spool", owner, epoch=2) as spool:
        assert await seqs(spool) == appended
    assert owner.lost == []


async def test_a_sector_that_cannot_be_read_costs_its_frame(tmp_path, monkeypatch):
    owner = Owner()
    async with opened(tmp_path / "spool", owner) as spool:
        frames = Frames(spool)
        appended = [frames.append() for _ in range(3)]
        await spool.flush()
        real, bad = os.pread, 70_000

        def pread(fd: int, size: int, offset: int) -> bytes:
            if offset <= bad < offset + size:
                raise OSError(errno.EIO, "Input/output error")
            return real(fd, size, offset)

        monkeypatch.setattr(os, "pread", pread)
        assert await seqs(spool) == [appended[0], appended[2]]
    assert [(loss.reason, loss.first_seq) for loss in owner.lost] == [(Reason.DAMAGED, appended[1])]


@pytest.mark.parametrize("seconds", [1.2, 1.7])
async def test_a_killed_writer_loses_nothing_older_than_a_second(tmp_path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "spool")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    appended = [line.split() for line in (first, *process.stdout)]
    process.wait(10)
    process.stdout.close()
    owner = Owner()
    async with opened(tmp_path / "spool", owner, epoch=2, limit_bytes=1 << 30) as spool:
        found = await seqs(spool)
        (ended,) = spool.recovered
    old = [int(seq) for seq, at in appended if float(at) < killed_at - 1.0]
    assert len(old) > 20
    assert found[: len(old)] == old
    assert found == list(range(1, found[-1] + 1, 10))  # and no hole in what is newer
    assert ended.last_seq == found[-1] + 9
    assert len(found) >= len(appended) - 50  # the disk is faster than a second by far
