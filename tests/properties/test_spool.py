"""Whatever happens to the spool, what was on disk is there, or settled, or told as lost."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from agent.store.shelf import THINNED_TO
from agent.store.spool import Head, Loss, Record, SegmentInfo, Spool, SpoolEvents
from tests.fakes import FakeClock

LIMIT = 16 * 700
STREAMS = ("telemetry", "event")
seeds = st.integers(0, 1 << 32)
"""What is drawn must not depend on what a thread has got done; what comes of it may."""
Key = tuple[str, str, int]
"""Stream, boot and first number of a frame."""


class Disk(RuleBasedStateMachine):
    """A spool and the model of it: what was appended, by what name it may be gone."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.room = Path(tempfile.mkdtemp(prefix="spool-"))
        self.epoch = 0
        self.frames: dict[Key, tuple[int, bytes]] = {}
        """What has to be there: how many readings, and the frame."""
        self.durable: set[Key] = set()
        self.maybe: set[Key] = set()
        """What was settled, and may come back with a crash."""
        self.all: dict[Key, bytes] = {}
        self.losses: list[Loss] = []
        self.sizes: dict[str, int] = {}
        self.seqs = dict.fromkeys(STREAMS, 1)
        self.open(self.room / "0")

    def run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, 20.0))

    def open(self, directory: Path) -> None:
        self.epoch += 1
        self.directory = directory
        self.seqs = dict.fromkeys(STREAMS, 1)
        self.spool = Spool(
            directory,
            limit_bytes=LIMIT,
            boot_id=f"boot-{self.epoch}",
            epoch=self.epoch,
            clock=FakeClock(),
            events=SpoolEvents(on_lost=self.losses.append),
        )
        self.run(self.spool.__aenter__())

    def segments(self) -> list[SegmentInfo]:
        return [segment for stream in STREAMS for segment in self.spool.segments(stream)]

    async def records(self, segment: SegmentInfo) -> list[Record]:
        found: list[Record] = []
        while more := await self.spool.read(segment.id, found[-1].index + 1 if found else 0, 300):
            found += more
        return found

    async def there(self) -> dict[Key, bytes]:
        """All frames that can be read and are not settled."""
        found = {}
        for segment in self.segments():
            unsettled = set(self.spool.unsettled(segment.id))
            for record in await self.records(segment):
                if record.index in unsettled:
                    found[segment.stream, segment.boot_id, record.seq] = record.payload
        return found

    def compare(self) -> None:
        """The spool has what the model has, but for what it told as lost."""
        found = self.run(self.there())
        told = [loss for loss in self.losses if loss.lost]
        gone = {key for key in self.frames if key not in found}
        for key in gone:
            assert any(_covers(loss, key) for loss in told), f"{key} is gone without a word"
        lost = sum(self.frames[key][0] for key in gone)
        assert sum(loss.lost for loss in told) == lost
        self.losses.clear()
        for key in gone:
            del self.frames[key]
        for key, payload in found.items():
            assert self.frames[key][1] == payload
        readings = sum(count for count, _ in self.frames.values())
        assert self.spool.stats().backlog_readings == readings

    @rule(
        stream=st.sampled_from(STREAMS),
        count=st.integers(1, 9),
        size=st.integers(0, 400),
        frames=st.integers(1, 4),
    )
    def append(self, stream: str, count: int, size: int, frames: int) -> None:
        for _ in range(frames):
            seq = self.seqs[stream]
            self.seqs[stream] += count
            key = (stream, f"boot-{self.epoch}", seq)
            payload = bytes([seq % 256]) * size
            self.frames[key], self.all[key] = (count, payload), payload
            self.spool_append(stream, Head(seq, seq + count - 1, count, 1.0, 2.0), payload)

    def spool_append(self, stream: str, head: Head, payload: bytes) -> None:
        async def append() -> None:
            self.spool.append(stream, head, payload)

        self.run(append())

    @rule(stream=st.sampled_from(STREAMS))
    def roll(self, stream: str) -> None:
        async def roll() -> None:
            self.spool.roll(stream)

        self.run(roll())

    @rule(seed=seeds)
    def settle(self, seed: int) -> None:
        chance = random.Random(seed)
        if not (segments := self.segments()):
            return
        segment = chance.choice(segments)
        records = self.run(self.records(segment))
        part = chance.choice((0.3, 1.0))
        chosen = {at for at in self.spool.unsettled(segment.id) if chance.random() < part}

        async def settle() -> None:
            for index in chosen:
                self.spool.settle(segment.id, index)

        self.run(settle())
        for record in records:
            if record.index in chosen:
                key = (segment.stream, segment.boot_id, record.seq)
                self.frames.pop(key, None)
                self.maybe.add(key)

    @rule(seed=seeds, any_segment=st.booleans())
    def thin(self, seed: int, any_segment: bool) -> None:
        chance = random.Random(seed)
        self.flush()
        closed = [each for each in self.spool.segments("telemetry") if each.closed]
        segment = self.spool.next_to_thin()
        if any_segment and closed:
            segment = chance.choice(closed)
        if segment is None or segment.tier not in THINNED_TO:
            return
        unsettled = set(self.spool.unsettled(segment.id))
        records = [each for each in self.run(self.records(segment)) if each.index in unsettled]
        kept = [each for each in records if chance.random() < 0.5]
        frames = [
            (Head(each.seq, each.last_seq, each.count, 1.0, 2.0), each.payload) for each in kept
        ]
        if not self.run(self.spool.replace(segment.id, THINNED_TO[segment.tier], frames)):
            return
        for record in records:
            if record not in kept:
                del self.frames[segment.stream, segment.boot_id, record.seq]
        self.flush()

    @rule()
    def flush(self) -> None:
        self.run(self.spool.flush())
        self.compare()
        self.durable = set(self.frames)
        self.sizes = {path.name: path.stat().st_size for path in self.directory.iterdir()}
        assert sum(self.sizes.values()) == self.spool.stats().bytes <= LIMIT

    @rule(seed=seeds, stop=st.booleans())
    def begin_anew(self, seed: int, stop: bool) -> None:
        if stop:
            self.close()
            self.durable = set(self.frames)
        told = self._copy()
        if not stop:
            self._tear(random.Random(seed))
            self.close()
        del self.losses[told:]  # what the dead one would have said later
        self._known_losses()
        self.open(self.copy)
        if not stop:
            self._look_back()
        self.flush()

    def _copy(self) -> int:
        self.copy = self.room / str(self.epoch)
        self.copy.mkdir()
        for path in self.directory.iterdir():
            with suppress(FileNotFoundError):  # the writer goes on meanwhile
                shutil.copyfile(path, self.copy / path.name)
        return len(self.losses)

    def _tear(self, chance: random.Random) -> None:
        """Power is lost: of what was written since the last look, any part may be there."""
        for path in self.copy.glob("*.seg"):
            known = self.sizes.get(path.name, 0)
            size = path.stat().st_size
            if size > known and chance.random() < 0.7:
                whole = path.read_bytes()[: chance.randint(known, size)]
                path.write_bytes(whole + bytes(chance.choice((0, 10, 80))))

    def _known_losses(self) -> None:
        """What was told as lost before the end is not expected afterwards."""
        for loss in self.losses:
            for key in [key for key in self.frames if _covers(loss, key)]:
                del self.frames[key]
        self.losses.clear()

    def _look_back(self) -> None:
        """After a crash: what was durable is there, what else is there was appended once."""
        found = self.run(self.there())
        told = [loss for loss in self.losses if loss.lost]
        for key in self.durable & set(self.frames):
            assert key in found or any(_covers(loss, key) for loss in told), f"{key} is gone"
        for key, payload in found.items():
            assert self.all[key] == payload
        self.losses.clear()
        counts = self._counts()
        self.frames = {key: (counts[key], payload) for key, payload in found.items()}

    def _counts(self) -> dict[Key, int]:
        counts = {}
        for segment in self.segments():
            for record in self.run(self.records(segment)):
                counts[segment.stream, segment.boot_id, record.seq] = record.count
        return counts

    def close(self) -> None:
        self.run(self.spool.__aexit__(None, None, None))

    def teardown(self) -> None:
        self.flush()
        self.close()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        shutil.rmtree(self.room)


def _covers(loss: Loss, key: Key) -> bool:
    stream, boot_id, seq = key
    return (loss.stream, loss.boot_id) == (stream, boot_id) and (
        loss.first_seq <= seq <= loss.last_seq
    )


Disk.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestDisk = Disk.TestCase
