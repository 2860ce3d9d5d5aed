"""The spool from outside: frames in, frames back, a bound that holds, losses that are told."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from agent.store import disk as disk_module
from agent.store.contents import Contents
from agent.store.ledger import Settled
from agent.store.segment import Record, SegmentHead, pack_head, pack_record
from agent.store.shelf import Segment, SegmentInfo, Shelf
from agent.store.spool import (
    Head,
    Loss,
    Place,
    Reason,
    Spool,
    SpoolError,
    SpoolEvents,
    Tier,
)
from tests.fakes import FakeClock

LIMIT = 16 * 4096
"""Segments are a sixteenth of the bound: 4 KiB here."""


class Owner:
    """Keeps what the spool tells."""

    def __init__(self) -> None:
        self.lost: list[Loss] = []
        self.troubles: list[str] = []
        self.recoveries = 0

    def events(self) -> SpoolEvents:
        return SpoolEvents(
            on_lost=self.lost.append, on_trouble=self.troubles.append, on_recovered=self._recovered
        )

    def _recovered(self) -> None:
        self.recoveries += 1


class Frames:
    """Makes frames of ten readings with rising numbers."""

    def __init__(self, spool: Spool, stream: str = "telemetry") -> None:
        self.spool = spool
        self.stream = stream
        self.seq = 1

    def append(self, size: int = 1000) -> Place:
        head = Head(self.seq, self.seq + 9, 10, 100.0 + self.seq, 109.0 + self.seq)
        self.seq += 10
        return self.spool.append(self.stream, head, b"%d" % head.seq + bytes(size))


def opened(directory: Path, owner: Owner | None = None, epoch: int = 1, **options) -> Spool:
    return Spool(
        directory,
        limit_bytes=options.pop("limit_bytes", LIMIT),
        boot_id=f"boot-{epoch}",
        epoch=epoch,
        clock=FakeClock(),
        events=(owner or Owner()).events(),
        **options,
    )


def bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


async def seqs(spool: Spool, stream: str = "telemetry") -> list[int]:
    found = []
    for segment in spool.segments(stream):
        index = 0
        while records := await spool.read(segment.id, index, 1 << 20):
            index = records[-1].index + 1
            wanted = set(spool.unsettled(segment.id))
            found.extend(record.seq for record in records if record.index in wanted)
            assert all(record.payload.startswith(b"%d" % record.seq) for record in records)
    return found


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "spool"


async def test_what_was_appended_can_be_read_before_and_after_it_is_on_disk(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        places = [frames.append() for _ in range(3)]
        assert await seqs(spool) == [1, 11, 21]
        await spool.flush()
        frames.append()
        assert await seqs(spool) == [1, 11, 21, 31]
        assert places == [Place(spool.segments("telemetry")[0].id, at) for at in range(3)]


async def test_a_frame_is_on_disk_soon(path):
    async with opened(path) as spool:
        began = time.monotonic()
        Frames(spool).append()
        await spool.flush()
        assert time.monotonic() - began < 0.3
        assert spool.stats().waiting_bytes == 0
        assert bytes_in(path) == spool.stats().bytes > 1000


async def test_reading_stops_at_its_limit_and_goes_on_from_an_index(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        place, *_ = [frames.append() for _ in range(3)]
        await spool.flush()
        assert [r.seq for r in await spool.read(place.segment_id, 0, 1)] == [1]
        assert [r.seq for r in await spool.read(place.segment_id, 1, 2500)] == [11, 21]
        assert await spool.read(place.segment_id, 3, 2500) == []
        assert await spool.read("telemetry.raw.0000000009.000000000009", 0, 1) == []


async def test_a_short_read_leaves_nothing_out_in_front_of_what_waits(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        place, *_ = [frames.append(400) for _ in range(3)]
        await spool.flush()
        frames.append(400)
        assert [r.seq for r in await spool.read(place.segment_id, 0, 1200)] == [1, 11]
        assert [r.seq for r in await spool.read(place.segment_id, 2, 1200)] == [21, 31]


async def test_a_full_segment_is_followed_by_another(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        assert spool.wants_roll("telemetry")
        begun = []
        for at in range(9):
            if spool.wants_roll("telemetry"):
                begun.append(at)
            frames.append()
        assert begun == [0, 4, 8]
        assert [each.frames for each in spool.segments("telemetry")] == [4, 4, 1]
        assert [each.closed for each in spool.segments("telemetry")] == [True, True, False]


async def test_a_roll_begins_a_segment(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        frames.append()
        assert not spool.wants_roll("telemetry")
        spool.roll("telemetry")
        assert spool.wants_roll("telemetry")
        spool.roll("telemetry")  # nothing is open: no harm
        frames.append()
        assert [each.first_seq for each in spool.segments("telemetry")] == [1, 11]


async def test_a_closed_segment_goes_with_its_last_frame(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        places = [frames.append() for _ in range(3)]
        spool.settle(places[1].segment_id, 1)
        spool.settle(places[0].segment_id, 0)
        assert spool.unsettled(places[0].segment_id) == [2]
        spool.settle(places[2].segment_id, 2)
        spool.settle(places[2].segment_id, 2)
        assert len(spool.segments("telemetry")) == 1  # open: it goes on
        spool.roll("telemetry")
        assert spool.segments("telemetry") == []
        await spool.flush()
        assert list(path.iterdir()) == []


async def test_a_stop_keeps_what_is_not_settled(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        places = [frames.append() for _ in range(6)]
        for place in (places[0], places[2], places[3], places[5]):
            spool.settle(place.segment_id, place.index)
    async with opened(path, epoch=2) as spool:
        assert await seqs(spool) == [11, 41]
        (ended,) = spool.recovered
        assert (ended.boot_id, ended.epoch, ended.last_seq, ended.torn_bytes) == (
            "boot-1",
            1,
            60,
            0,
        )
        assert spool.stats().backlog_readings == 20
        assert spool.stats().oldest_at == {"telemetry": pytest.approx(111.0, abs=1.0)}
        Frames(spool).append()
        assert [each.boot_id for each in spool.segments("telemetry")][-1] == "boot-2"


async def test_an_epoch_that_fell_back_is_corrected(path):
    async with opened(path, epoch=7) as spool:
        Frames(spool).append()
    async with opened(path, epoch=1) as spool:
        assert spool.epoch == 8
        frames = Frames(spool)
        frames.append()
        assert [each.epoch for each in spool.segments("telemetry")] == [7, 8]


async def test_a_half_written_tail_is_cut_and_told(path):
    owner = Owner()
    async with opened(path) as spool:
        Frames(spool).append()
    (segment,) = path.glob("*.seg")
    whole = segment.read_bytes()[:-68]  # without its contents: a segment that was not closed
    (head, record) = (whole[:-1057], whole[-1057:])
    segment.write_bytes(head + record + record[:-5])
    async with opened(path, owner, epoch=2) as spool:
        assert await seqs(spool) == [1]
        assert spool.recovered[0].torn_bytes == 1052
        assert spool.recovered[0].last_seq == 10
    assert owner.lost == []  # the same numbers again: nothing that is not there


async def test_a_half_written_frame_is_told_by_its_numbers(path):
    owner = Owner()
    async with opened(path) as spool:
        frames = Frames(spool)
        frames.append()
        frames.append()
    (segment,) = path.glob("*.seg")
    os.truncate(segment, segment.stat().st_size - 100)
    async with opened(path, owner, epoch=2) as spool:
        assert await seqs(spool) == [1]
    (loss,) = owner.lost
    assert (loss.reason, loss.boot_id) == (Reason.TORN, "boot-1")
    assert (loss.first_seq, loss.last_seq, loss.lost) == (11, 20, 10)


@pytest.mark.parametrize("closed", [True, False])
async def test_a_damaged_frame_is_left_out_and_told_once(path, closed):
    owner = Owner()
    async with opened(path) as spool:
        frames = Frames(spool)
        for _ in range(3):
            frames.append()
    (segment,) = path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"11\0") + 500] ^= 1
    segment.write_bytes(data if closed else data[:-50])
    async with opened(path, owner, epoch=2) as spool:
        assert await seqs(spool) == [1, 21]
        assert await seqs(spool) == [1, 21]
        assert spool.unsettled(segment.stem) == [0, 2]
    (loss,) = owner.lost
    assert (loss.reason, loss.first_seq, loss.last_seq, loss.lost) == (Reason.DAMAGED, 11, 20, 10)
    async with opened(path, owner, epoch=3) as spool:
        assert await seqs(spool) == [1, 21]
    assert len(owner.lost) == 1


async def test_a_read_passes_by_a_piece_that_is_damaged_all_through(path):
    async with opened(path) as spool:
        place = Frames(spool).append()
        frames = Frames(spool)
        frames.seq = 11
        frames.append()
        await spool.flush()
        (segment,) = path.glob("*.seg")
        data = bytearray(segment.read_bytes())
        data[data.index(b"1\0") + 500] ^= 1
        segment.write_bytes(data)
        assert [r.seq for r in await spool.read(place.segment_id, 0, 1)] == [11]


async def test_a_file_that_somebody_deleted_is_told(path):
    owner = Owner()
    async with opened(path, owner) as spool:
        place = Frames(spool).append()
        await spool.flush()
        next(path.glob("*.seg")).unlink()
        assert await spool.read(place.segment_id, 0, 1) == []
        assert spool.segments("telemetry") == []
    assert [loss.lost for loss in owner.lost] == [10]


async def test_a_disk_that_cannot_be_read_is_an_error(path, monkeypatch):
    async with opened(path) as spool:
        place = Frames(spool).append()
        await spool.flush()

        def fails(*_: object) -> int:
            raise PermissionError(13, "no")

        monkeypatch.setattr(os, "pread", fails)
        with pytest.raises(SpoolError):
            await spool.read(place.segment_id, 0, 1)


async def test_the_bound_holds_and_telemetry_goes_before_events(path):
    owner = Owner()
    async with opened(path, owner) as spool:
        events, frames = Frames(spool, "event"), Frames(spool)
        for _ in range(20):
            events.append()
        for _ in range(200):
            frames.append()
            await spool.flush()
            assert bytes_in(path) <= LIMIT
        assert len(await seqs(spool, "event")) == 20
        kept = await seqs(spool)
        assert kept[-1] == 1991
    assert {loss.reason for loss in owner.lost} == {Reason.OVER_BOUND}
    assert {loss.stream for loss in owner.lost} == {"telemetry"}
    assert sum(loss.lost for loss in owner.lost) == 2000 - 10 * len(kept)
    assert spool.stats().lost == {Reason.OVER_BOUND: 2000 - 10 * len(kept)}
    gone = [at for loss in owner.lost for at in range(loss.first_seq, loss.last_seq + 1)]
    assert gone == list(range(1, kept[0]))


async def test_settled_frames_cost_nothing_when_room_is_needed(path):
    owner = Owner()
    async with opened(path, owner) as spool:
        events, frames = Frames(spool, "event"), Frames(spool)
        events.append(3000)  # an open segment, all of it settled
        spool.settle(spool.segments("event")[0].id, 0)
        for _ in range(15):
            frames.append(4050)
            spool.roll("telemetry")
        await spool.flush()
        assert bytes_in(path) <= LIMIT
        assert spool.segments("event") == []
        assert spool.wants_roll("event")
    assert owner.lost == []


async def test_events_go_when_no_telemetry_is_left(path):
    owner = Owner()
    async with opened(path, owner) as spool:
        events = Frames(spool, "event")
        Frames(spool).append()
        for _ in range(70):
            events.append()
            await spool.flush()
        assert bytes_in(path) <= LIMIT
    assert [loss.stream for loss in owner.lost][:2] == ["telemetry", "event"]


async def test_a_frame_that_fits_nowhere_is_told(path, monkeypatch):
    owner = Owner()
    async with opened(path, owner) as spool:
        frames = Frames(spool)
        frames.append(2 * LIMIT)
        await spool.flush()
        monkeypatch.setattr("agent.store.spool.MAX_FRAME_BYTES", 100)
        assert await spool.read(frames.append(200).segment_id, 0, 1) == []
        monkeypatch.undo()
        frames.append()
        assert await seqs(spool) == [21]
    assert [loss.lost for loss in owner.lost] == [10, 10]


async def closed_segment(spool: Spool) -> SegmentInfo:
    """A segment that is on disk as a whole, and may be replaced."""
    await fill(spool, 1)
    spool.roll("telemetry")
    await spool.flush()
    (segment,) = spool.segments("telemetry")
    return segment


async def fill(spool: Spool, segments: int) -> None:
    frames = Frames(spool)
    for _ in range(4 * segments):
        frames.append()
        await spool.flush()


async def test_nothing_is_thinned_while_there_is_room(path):
    async with opened(path) as spool:
        await fill(spool, 13)
        assert spool.next_to_thin() is None


async def test_the_oldest_is_thinned_when_room_gets_short(path):
    async with opened(path) as spool:
        await fill(spool, 14)
        spool.settle(spool.segments("telemetry")[-1].id, 0)
        oldest = spool.next_to_thin()
        assert oldest is not None
        assert (oldest.tier, oldest.first_seq) == (Tier.RAW, 1)
        crowd = [(Head(1, 40, 4, 1.0, 2.0), bytes(LIMIT // 10))]
        assert not await spool.replace(oldest.id, Tier.FIVE_MINUTES, crowd)
        assert await spool.replace(oldest.id, Tier.FIVE_MINUTES, [(Head(1, 40, 4, 1.0, 2.0), b"")])
        assert spool.segments("telemetry")[0].tier == Tier.FIVE_MINUTES
        assert bytes_in(path) == spool.stats().bytes


@pytest.mark.parametrize(
    ("used", "thinned"),
    [
        ({Tier.RAW: 95}, Tier.RAW),
        ({Tier.RAW: 50, Tier.FIVE_MINUTES: 45}, Tier.FIVE_MINUTES),
        ({Tier.RAW: 65, Tier.FIVE_MINUTES: 30}, Tier.RAW),
        ({Tier.RAW: 10, Tier.FIVE_MINUTES: 5, Tier.HOURLY: 80}, Tier.FIVE_MINUTES),
        ({Tier.HOURLY: 95}, None),
    ],
)
def test_the_tier_most_over_its_share_is_thinned(used, thinned):
    shelf = Shelf()
    for tier, part in used.items():
        for epoch in (3, 2):
            segment = Segment(SegmentHead("telemetry", tier, "b", epoch, 1), Contents(), Settled())
            segment.closed = segment.sealed = True
            segment.file_bytes = part // 2
            shelf.put(segment)
    chosen = shelf.to_thin(100)
    assert (None if chosen is None else (chosen.head.tier, chosen.head.epoch)) == (
        thinned and (thinned, 2)
    )


async def test_a_replacement_survives_and_the_old_one_is_gone(path):
    async with opened(path) as spool:
        await fill(spool, 2)
        first, second = spool.segments("telemetry")
        head = Head(4, 38, 7, 1.0, 2.0)
        assert await spool.replace(first.id, Tier.FIVE_MINUTES, [(head, b"4 thin")])
        assert await spool.read(first.id, 0, 1) == []
        assert await seqs(spool) == [4, 41, 51, 61, 71]
        assert not await spool.replace(first.id, Tier.FIVE_MINUTES, [(head, b"4 thin")])
        with pytest.raises(ValueError, match="cannot become raw"):
            await spool.replace(spool.segments("telemetry")[0].id, Tier.RAW, [])
    async with opened(path, epoch=2) as spool:
        assert await seqs(spool) == [4, 41, 51, 61, 71]
        thin = spool.segments("telemetry")[0]
        assert (thin.tier, thin.boot_id, thin.readings) == (Tier.FIVE_MINUTES, "boot-1", 7)
        assert await spool.replace(thin.id, Tier.HOURLY, [])
        assert await seqs(spool) == [41, 51, 61, 71]
        assert second.first_seq == 41


async def test_what_is_just_being_written_takes_room_from_a_replacement(path, monkeypatch):
    async with opened(path) as spool:
        old = await closed_segment(spool)
        writing, go_on, real = threading.Event(), threading.Event(), os.fdatasync

        def slow(fd: int) -> None:
            writing.set()
            assert go_on.wait(10)
            real(fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", slow)
            size = (LIMIT - spool.stats().bytes) // 2
            later = Frames(spool)
            later.seq = 41
            later.append(size)
            assert await asyncio.to_thread(writing.wait, 10)
            thin = [(Head(4, 38, 7, 1.0, 2.0), bytes(size))]
            replacing = asyncio.create_task(spool.replace(old.id, Tier.FIVE_MINUTES, thin))
            await asyncio.sleep(0)
            go_on.set()
            assert not await replacing
        await spool.flush()
        assert spool.stats().bytes <= LIMIT


async def test_an_old_one_beside_its_replacement_is_deleted_at_the_start(path):
    async with opened(path) as spool:
        await fill(spool, 1)
        spool.roll("telemetry")
        await spool.flush()
        (old,) = path.glob("*.seg")
        saved = old.read_bytes()
        left = [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
        assert await spool.replace(old.stem, Tier.FIVE_MINUTES, left)
    old.write_bytes(saved)
    (path / "telemetry.hourly.0000000001.000000000001.new").write_bytes(b"half made")
    async with opened(path, epoch=2) as spool:
        assert await seqs(spool) == [4]
        assert len(list(path.iterdir())) == 1


async def test_a_crash_at_any_step_of_a_replacement_leaves_one_of_the_two(path, monkeypatch):
    images: list[Path] = []

    def watched(call):
        def step(*arguments, **options):
            for when in range(2):
                images.append(path.parent / f"image-{len(images)}")
                shutil.copytree(path, images[-1])
                if when == 0:
                    result = call(*arguments, **options)
            return result

        return step

    async with opened(path) as spool:
        old = await closed_segment(spool)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", watched(os.open))
            patch.setattr(os, "pwrite", watched(os.pwrite))
            patch.setattr(os, "fsync", watched(os.fsync))
            patch.setattr(Path, "rename", watched(Path.rename))
            patch.setattr(Path, "unlink", watched(Path.unlink))
            assert await spool.replace(
                old.id, Tier.FIVE_MINUTES, [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
            )
    assert len(images) > 8
    seen = set()
    for image in images:
        async with opened(image, epoch=2) as spool:
            seen.add(tuple(await seqs(spool)))
            assert bytes_in(image) == spool.stats().bytes
    assert seen == {(1, 11, 21, 31), (4,)}


@pytest.mark.parametrize("call", ["fsync", "pwrite"])
async def test_a_replacement_that_fails_changes_nothing(path, monkeypatch, call):
    async with opened(path) as spool:
        old = await closed_segment(spool)

        def fails(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            left = [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
            assert not await spool.replace(old.id, Tier.FIVE_MINUTES, left)
        assert await seqs(spool) == [1, 11, 21, 31]
        assert bytes_in(path) == spool.stats().bytes
        assert [each.name for each in path.iterdir()] == [old.id + ".seg"]


async def test_what_is_settled_while_it_is_replaced_waits_for_that(path):
    async with opened(path) as spool:
        old = await closed_segment(spool)
        left = [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
        replacing = asyncio.ensure_future(spool.replace(old.id, Tier.FIVE_MINUTES, left))
        await asyncio.sleep(0)
        for index in range(4):
            spool.settle(old.id, index)
        assert await replacing
        assert await seqs(spool) == [4]


async def test_what_is_read_while_it_is_replaced_is_not_taken_for_lost(path, monkeypatch):
    owner, loop = Owner(), asyncio.get_running_loop()
    async with opened(path, owner) as spool:
        old = await closed_segment(spool)
        removed, go_on = asyncio.Event(), threading.Event()
        real = disk_module.Disk.replace

        def replace(*arguments):
            contents = real(*arguments)
            loop.call_soon_threadsafe(removed.set)
            assert go_on.wait(5.0)
            return contents

        monkeypatch.setattr(disk_module.Disk, "replace", replace)
        left = [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
        replacing = asyncio.ensure_future(spool.replace(old.id, Tier.FIVE_MINUTES, left))
        await removed.wait()
        with pytest.raises(SpoolError):
            await spool.read(old.id, 0, 1)
        go_on.set()
        assert await replacing
        assert await seqs(spool) == [4]
    assert owner.lost == []


async def test_a_replacement_that_nobody_waits_for_is_still_counted(path):
    async with opened(path) as spool:
        old = await closed_segment(spool)
        left = [(Head(4, 38, 7, 1.0, 2.0), b"4 thin")]
        replacing = asyncio.ensure_future(spool.replace(old.id, Tier.FIVE_MINUTES, left))
        await asyncio.sleep(0)
        replacing.cancel()
        await asyncio.gather(replacing, return_exceptions=True)
        await spool.flush()
        assert await seqs(spool) == [4]


@pytest.mark.parametrize("head", [(0, 5, 1), (5, 4, 1), (1, 1 << 63, 1), (1, 2, -1)])
async def test_impossible_numbers_are_refused(path, head):
    async with opened(path) as spool:
        with pytest.raises(ValueError, match="telemetry"):
            spool.append("telemetry", Head(*head, 1.0, 2.0), b"")


async def test_files_of_others_are_left_alone(path):
    path.mkdir(parents=True)
    name = "telemetry.raw.0000000001.000000000001.seg"
    others = {
        "notes.txt": b"mine",
        "telemetry.raw.1.1.seg": b"no name of ours",
        "telemetry.raw.0000000002.000000000001.seg": b"STOKSEG9 and what it may mean",
    }
    for other, body in others.items():
        (path / other).write_bytes(body)
    (path / "event.raw.0000000001.000000000001.seg").mkdir()
    (path / "event.raw.0000000001.000000000002.seg").symlink_to("/etc/passwd")
    os.mkfifo(path / "event.raw.0000000001.000000000003.seg")
    async with opened(path) as spool:
        Frames(spool).append()
        assert len(spool.segments("telemetry")) == 1
        assert spool.segments("event") == []
    assert {other: (path / other).read_bytes() for other in others} == others
    assert (path / name).exists()


@pytest.mark.parametrize("body", [b"", b"\0" * 5000, b"STOKSEG1" + b"\xff" * 100, pack_head])
async def test_hostile_segments_do_no_harm(path, body):
    path.mkdir(parents=True)
    name = "telemetry.raw.0000000001.000000000001"
    if callable(body):
        head = SegmentHead("telemetry", Tier.RAW, "b", 1, 1)
        wild = Record(4_000_000_000, 5, 4, 9, float("nan"), float("inf"), b"x")
        body = pack_head(head) + pack_record(wild) + b"\xf5SR\n" * 1000
    (path / (name + ".seg")).write_bytes(body)
    (path / (name + ".done")).write_bytes(b"STOKDON1\0\0\0\0" + b"\xff" * 12)
    async with opened(path, epoch=2) as spool:
        assert await seqs(spool) == []
        Frames(spool).append()
        assert await seqs(spool) == [1]


async def test_a_segment_without_its_head_is_told(path):
    owner = Owner()
    async with opened(path) as spool:
        Frames(spool).append()
    (segment,) = path.glob("*.seg")
    segment.write_bytes(b"\0" * 30 + segment.read_bytes()[30:])
    async with opened(path, owner, epoch=2) as spool:
        assert await seqs(spool) == []
    (loss,) = owner.lost
    assert (loss.reason, loss.boot_id, loss.lost) == (Reason.DAMAGED, "", 10)


async def test_damaged_notes_only_repeat(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        places = [frames.append() for _ in range(3)]
        spool.settle(places[0].segment_id, 0)
    (note,) = path.glob("*.done")
    note.write_bytes(note.read_bytes()[:-1] + b"\x07")
    async with opened(path, epoch=2) as spool:
        assert await seqs(spool) == [1, 11, 21]


async def test_nobody_else_may_look(path):
    async with opened(path) as spool:
        frames = Frames(spool)
        frames.append()
        spool.settle(frames.append().segment_id, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.iterdir()} == {0o600}
    assert len(list(path.iterdir())) == 2


async def test_frames_that_come_together_share_a_sync(path, monkeypatch):
    synced = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), real(fd)))
    async with opened(path, limit_bytes=16 << 20) as spool:
        frames = Frames(spool)
        for _ in range(500):
            frames.append()
        await spool.flush()
    assert len(synced) <= 2


async def test_two_callers_of_flush_both_return(path):
    async with opened(path) as spool:
        Frames(spool).append()
        await asyncio.wait_for(asyncio.gather(spool.flush(), spool.flush()), 5.0)
