"""A courier between a spool in memory and a session in memory; tests turn the clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from agent.mqtt.events import Message as Arrived
from agent.mqtt.events import Outcome
from agent.mqtt.failure import Cause, LinkLost
from agent.store.ledger import Loss
from agent.store.segment import Head, Place, Record, Tier
from agent.store.shelf import SegmentInfo
from agent.telemetry.courier import Courier
from agent.telemetry.forms import Message
from agent.telemetry.history import Teller
from agent.telemetry.pace import Pace
from agent.telemetry.receipts import Receipts
from tests.fakes import FakeClock

BOOT = "boot-2"
TELEMETRY, EVENT = "telemetry", "event"
MARK_TOPIC = "ack/node/telemetry"
QUOTA, BAD_PAYLOAD = 0x97, 0x99
"""Reason codes: one that passes, and one that is the message's own fault."""


@dataclass
class Shelved:
    """A segment in memory."""

    id: str
    stream: str
    boot_id: str
    epoch: int
    records: list[Record] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)

    def info(self) -> SegmentInfo:
        records = self.records
        return SegmentInfo(
            id=self.id,
            stream=self.stream,
            tier=Tier.RAW,
            boot_id=self.boot_id,
            epoch=self.epoch,
            first_seq=records[0].seq,
            last_seq=records[-1].last_seq,
            frames=len(records),
            readings=sum(record.count for record in records),
            unsettled=len(records) - len(self.settled),
            bytes=sum(record.size for record in records),
            first_at=0.0,
            last_at=0.0,
            closed=False,
        )


class MemorySpool:
    """Keeps frames as the spool does; `broken` reads fail."""

    def __init__(self) -> None:
        self.shelf: dict[str, Shelved] = {}
        self.broken = False
        self.reads = 0
        self._open: dict[str, Shelved] = {}

    def append(
        self, stream: str, head: Head, payload: bytes, *, boot_id: str = BOOT, epoch: int = 2
    ) -> Place:
        shelved = self._open.get(stream)
        if shelved is None:
            name = f"{stream}.{epoch}.{head.seq:06}"
            shelved = self.shelf[name] = self._open[stream] = Shelved(name, stream, boot_id, epoch)
        index = len(shelved.records)
        shelved.records.append(
            Record(index, head.seq, head.last_seq, head.count, head.first_at, head.last_at, payload)
        )
        return Place(shelved.id, index)

    def roll(self, stream: str) -> None:
        self._open.pop(stream, None)

    def segments(self, stream: str) -> list[SegmentInfo]:
        return [shelved.info() for shelved in self.shelf.values() if shelved.stream == stream]

    def unsettled(self, segment_id: str, start: int = 0) -> list[int]:
        shelved = self.shelf.get(segment_id)
        if shelved is None:
            return []
        return [at for at in range(start, len(shelved.records)) if at not in shelved.settled]

    def settle(self, segment_id: str, index: int) -> None:
        if segment_id in self.shelf:
            self.shelf[segment_id].settled.add(index)

    async def read(self, segment_id: str, index: int, limit_bytes: int) -> list[Record]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("cannot be read")
        shelved = self.shelf.get(segment_id)
        taken: list[Record] = []
        for record in [] if shelved is None else shelved.records[index:]:
            if taken and limit_bytes < record.size:
                break
            taken.append(record)
            limit_bytes -= record.size
        return taken

    @property
    def backlog(self) -> list[tuple[str, int]]:
        """The frames that are not settled: stream and first number."""
        return [
            (shelved.stream, shelved.records[at].seq)
            for shelved in self.shelf.values()
            for at in self.unsettled(shelved.id)
        ]


@dataclass(frozen=True)
class Sent:
    """A message that the courier handed over."""

    token: int
    topic: str
    payload: bytes


class MemorySession:
    """Takes messages as far as its window goes."""

    def __init__(self, size: int = 8) -> None:
        self.size = size
        self.connected = False
        self.under_way: dict[int, Sent] = {}
        self.sent: list[Sent] = []
        self.limit_bytes = 1 << 20

    @property
    def window(self) -> int:
        return self.size - len(self.under_way) if self.connected else 0

    def publish(self, topic: str, payload: bytes, *, token: int) -> Outcome:
        if not self.connected:
            return Outcome.OFFLINE
        if self.window <= 0:
            return Outcome.FULL
        if len(payload) > self.limit_bytes:
            return Outcome.TOO_LARGE
        assert token not in self.under_way
        sent = self.under_way[token] = Sent(token, topic, payload)
        self.sent.append(sent)
        return Outcome.SENT


class PlainTeller:
    """A frame is one message, or, where it holds `parts`, one for each of its numbers."""

    def __init__(self, topic: str, *, frame_by_frame: bool = True, parts: bool = False) -> None:
        self.frame_by_frame = frame_by_frame
        self.parts = parts
        self.topic = topic
        self.payload_bytes = 0
        """What a message has at least; the number comes first."""
        self.chains: list[list[int]] = []
        """What was told, chain by chain."""

    def begin(self) -> Callable[[Record], Sequence[Message]]:
        told: list[int] = []
        self.chains.append(told)

        def tell(record: Record) -> Sequence[Message]:
            told.append(record.index)
            return self.messages(record, f"{self.topic}/hist")

        return tell

    def messages(self, head: Head | Record, topic: str) -> list[Message]:
        if not self.parts:
            payload = (b"%d" % head.seq).ljust(self.payload_bytes)
            return [Message(topic, payload, head.seq, head.count)]
        numbers = range(head.seq, head.last_seq + 1)
        return [Message(topic, b"%d" % number, number, 1) for number in numbers]


class Post:
    """Everything joined; the test plays the poller, the broker and the consumer."""

    def __init__(
        self,
        window: int = 8,
        *,
        marks: bool = False,
        frame_by_frame: bool = True,
        parts: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.spool = MemorySpool()
        self.session = MemorySession(window)
        self.losses: list[Loss] = []
        self.new_chains = 0
        self.tellers = {
            EVENT: PlainTeller(EVENT),
            TELEMETRY: PlainTeller(TELEMETRY, frame_by_frame=frame_by_frame, parts=parts),
        }
        self.pace = Pace(self.clock.monotonic)
        self.receipts = Receipts(
            self.spool, BOOT, {TELEMETRY: MARK_TOPIC} if marks else {}, self.clock.monotonic
        )
        tellers: dict[str, Teller] = dict(self.tellers)
        self.courier = Courier(
            self.spool,
            tellers,
            self.receipts,
            self.pace,
            boot_id=BOOT,
            monotonic=self.clock.monotonic,
            on_new_chain=self._new_chain,
            on_lost=self.losses.append,
        )
        self.courier.session = self.session
        self.events = self.courier.events()
        self._seq = {EVENT: 0, TELEMETRY: 0}
        self._roll = False

    def _new_chain(self) -> None:
        self.new_chains += 1
        self._roll = True

    def offer(
        self, count: int = 1, *, stream: str = TELEMETRY, size: int = 100, late: bool = False
    ) -> int:
        """Take readings, spool and offer them; the number of the first.

        `late`: the encoder has not heard yet that it is to begin a chain.
        """
        if self._roll and stream == TELEMETRY and not late:
            self.spool.roll(stream)
            self._roll = False
        seq = self._seq[stream] + 1
        self._seq[stream] += count
        head = Head(seq, self._seq[stream], count, self.clock.now(), self.clock.now())
        place = self.spool.append(stream, head, bytes(size))
        teller = self.tellers[stream]
        self.courier.offer(stream, place, head, lambda: teller.messages(head, stream), size)
        return seq

    def connect(self) -> None:
        self.session.connected = True
        self.events.on_connect()

    def hang_up(self, cause: Cause = Cause.CLOSED) -> None:
        tokens = sorted(self.session.under_way)
        self.session.under_way.clear()
        self.session.connected = False
        self.events.on_disconnect(LinkLost(cause, "test"), tokens)

    def acknowledge(self, *topics: str) -> None:
        """Acknowledge what is under way by now, or what goes to these topics."""
        for token, sent in list(self.session.under_way.items()):
            if not topics or sent.topic in topics:
                del self.session.under_way[token]
                self.events.on_puback(token)

    def refuse(self, *tokens: int, reason: int = QUOTA) -> None:
        """Refuse these messages, or all that are under way by now."""
        for token in tokens or list(self.session.under_way):
            del self.session.under_way[token]
            self.events.on_refused(token, reason)

    def mark(self, payload: bytes) -> None:
        self.events.on_message(Arrived(MARK_TOPIC, payload, 1, True))

    def tick(self, seconds: float = 0.05) -> None:
        self.clock.advance(seconds)
        self.courier.tick()

    def sent(self, topic: str) -> list[int]:
        """The numbers that were sent to a topic, in order."""
        return [int(sent.payload) for sent in self.session.sent if sent.topic == topic]

    @property
    def live(self) -> list[int]:
        return self.sent(TELEMETRY)

    @property
    def history(self) -> list[int]:
        return self.sent(f"{TELEMETRY}/hist")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The part that reads from the spool runs; time is still the test's."""
        task = asyncio.create_task(self.courier._history.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settle_down(self, turns: int = 30) -> None:
        """Let the reading task do what it can, and time pass a little for the rate."""
        for _ in range(turns):
            await asyncio.sleep(0)
        self.tick()
        await asyncio.sleep(0)

    async def finish(self, rounds: int = 400) -> None:
        """Acknowledge and wait until the spool is empty."""
        for _ in range(rounds):
            if not self.spool.backlog:
                return
            await self.settle_down(10)
            self.acknowledge()
            self.clock.advance(0.3)
