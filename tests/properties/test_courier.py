"""Whatever happens on the way: all that was offered arrives, or is told as lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agent.mqtt.failure import Cause
from agent.telemetry import history
from agent.telemetry.courier import MARKS_FIRST_S
from agent.telemetry.live import LIVE_S
from agent.telemetry.marks import FIRST_TIMEOUT_S
from agent.telemetry.refusals import HISTORY_REST_S
from tests.delivery import BAD_PAYLOAD, EVENT, QUOTA, TELEMETRY, Post

CAUSES = st.sampled_from([Cause.CLOSED, Cause.FROZEN, Cause.STALLED, Cause.TAKEN_OVER])


class Delivery(RuleBasedStateMachine):
    """A courier, and a broker, a disk and a clock that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.offered: dict[int, tuple[str, int]] = {}
        """Where each frame of readings lies, by its first number."""
        self.events: set[int] = set()
        self.arrived: set[int] = set()
        self.arrived_events: set[int] = set()
        self.broken: dict[str, int] = {}
        """Chains of which something was left behind, and how much was sent by then."""

    @initialize(window=st.integers(1, 6), marks=st.booleans(), parts=st.booleans())
    def begin(self, window: int, marks: bool, parts: bool) -> None:
        self.marks = marks
        self.post = self.runner.run(self._new_post(window, marks, parts))
        self.reading = self.runner.get_loop().create_task(self.post.courier._history.run())

    async def _new_post(self, window: int, marks: bool, parts: bool) -> Post:
        return Post(window, marks=marks, parts=parts)

    def _spin(self, turns: int = 8) -> None:
        async def spin() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.runner.run(spin())

    @rule(count=st.integers(1, 3), size=st.sampled_from([10, 100_000, 700_000]), late=st.booleans())
    def offer(self, count: int, size: int, late: bool) -> None:
        seq = self._run(lambda: self.post.offer(count, size=size, late=late))
        for shelved in self.post.spool.shelf.values():
            for record in shelved.records[-1:]:
                if shelved.stream == TELEMETRY and record.seq == seq:
                    self.offered[seq] = (shelved.id, record.index)

    @rule()
    def tell(self) -> None:
        self.events.add(self._run(lambda: self.post.offer(stream=EVENT)))

    @precondition(lambda self: not self.post.session.connected)
    @rule()
    def connect(self) -> None:
        self._run(self.post.connect)

    @precondition(lambda self: self.post.session.connected)
    @rule(cause=CAUSES)
    def hang_up(self, cause: Cause) -> None:
        for seq, (segment, _) in self.offered.items():
            if seq not in self.arrived:
                self.broken.setdefault(segment, len(self.post.session.sent))
        self._run(lambda: self.post.hang_up(cause))

    @precondition(lambda self: self.post.session.under_way)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        under_way = self.post.session.under_way
        token = data.draw(st.sampled_from(sorted(under_way)))
        self._arrive(token)
        self._run(lambda: self.post.events.on_puback(token))

    @precondition(lambda self: self.post.session.under_way)
    @rule(data=st.data(), reason=st.sampled_from([QUOTA, BAD_PAYLOAD]))
    def refuse(self, data: st.DataObject, reason: int) -> None:
        under_way = self.post.session.under_way
        token = data.draw(st.sampled_from(sorted(under_way)))
        if under_way[token].topic.startswith(EVENT) and reason == BAD_PAYLOAD:
            # Counted, and not told by an event.
            self.arrived_events.add(int(under_way[token].payload))
        self._run(lambda: self.post.refuse(token, reason=reason))

    @rule(seconds=st.sampled_from([0.05, 0.6, LIVE_S + 1, HISTORY_REST_S[0], FIRST_TIMEOUT_S + 1]))
    def wait(self, seconds: float) -> None:
        self._run(lambda: self.post.tick(seconds))
        self._run(self.post.courier._history.rewind)
        self._spin()

    @rule(broken=st.booleans())
    def disk(self, broken: bool) -> None:
        self.post.spool.broken = broken

    @precondition(lambda self: self.marks)
    @rule(rubbish=st.sampled_from([b"", b"{", b'{"stored":{"boot-2":1e9}}']))
    def bad_mark(self, rubbish: bytes) -> None:
        self._run(lambda: self.post.mark(rubbish))

    @precondition(lambda self: self.marks)
    @rule()
    def mark(self) -> None:
        self._run(lambda: self.post.mark(b'{"stored":{"boot-2":%d}}' % self._stored()))

    def _run(self, action):  # type: ignore[no-untyped-def]
        async def act():  # type: ignore[no-untyped-def]
            return action()

        return self.runner.run(act())

    def _arrive(self, token: int) -> None:
        sent = self.post.session.under_way.pop(token)
        arrived = self.arrived_events if sent.topic.startswith(EVENT) else self.arrived
        arrived.add(int(sent.payload))

    def _told_lost(self, stream: str) -> set[int]:
        return {
            number
            for loss in self.post.losses
            if loss.stream == stream
            for number in range(loss.first_seq, loss.last_seq + 1)
        }

    def _stored(self) -> int:
        """How far the consumer has everything, or was told that it is lost."""
        lost, seq = self._told_lost(TELEMETRY), 1
        while seq in self.arrived or seq in lost or self._covered(seq):
            seq += 1
        return seq - 1

    def _covered(self, seq: int) -> bool:
        """Whether a number lies inside a frame that arrived as one message."""
        if self.post.tellers[TELEMETRY].parts:
            return False
        first = max((first for first in self.offered if first <= seq), default=0)
        return first in self.arrived and seq < self.post._seq[TELEMETRY] + 1

    @invariant()
    def the_window_holds(self) -> None:
        session = self.post.session
        assert len(session.under_way) <= session.size

    @invariant()
    def live_data_keep_their_order_and_no_chain_has_a_hole(self) -> None:
        sent = [int(s.payload) for s in self.post.session.sent if s.topic == TELEMETRY]
        assert sent == sorted(set(sent))
        live_of: dict[str, list[int]] = {}
        for seq in sent:
            if seq in self.offered:
                segment, index = self.offered[seq]
                live_of.setdefault(segment, []).append(index)
        for indices in live_of.values():
            assert indices == list(range(len(indices)))
        for place, sent_by_then in self.broken.items():
            later = self.post.session.sent[sent_by_then:]
            seqs = [int(sent.payload) for sent in later if sent.topic == TELEMETRY]
            assert all(self.offered[seq][0] != place for seq in seqs if seq in self.offered)

    @invariant()
    def nothing_is_forgotten_that_did_not_arrive(self) -> None:
        kept = {seq for stream, seq in self.post.spool.backlog if stream == TELEMETRY}
        lost = self._told_lost(TELEMETRY)
        assert all(seq in kept or seq in self.arrived or seq in lost for seq in self.offered)
        if self.marks:
            marked = {seq for seq in self.offered if seq <= self._stored()}
            assert all(seq in kept or seq in marked or seq in lost for seq in self.offered)

    def teardown(self) -> None:
        if not hasattr(self, "post"):
            self.runner.close()
            return
        self.post.spool.broken = False
        if self.post.session.connected:  # what was refused need not wait then
            self._run(lambda: self.post.hang_up(Cause.FROZEN))
        self._run(self.post.connect)
        for _ in range(600):
            if not self.post.spool.backlog:
                break
            self._spin(4)
            self._run(lambda: self.post.tick(0.3))
            for token in list(self.post.session.under_way):
                self._arrive(token)
                self._run(lambda token=token: self.post.events.on_puback(token))
            if self.marks:
                self.mark()
            self._run(lambda: self.post.tick(MARKS_FIRST_S / 20))
            self._run(self.post.courier._history.rewind)
        self.reading.cancel()
        self._spin()
        self.runner.close()
        assert not self.post.spool.backlog
        assert self.events <= self.arrived_events | self._told_lost(EVENT)


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> object:
    patch = pytest.MonkeyPatch()
    # Nothing may depend on how fast this runs; `wait` looks through the spool instead.
    patch.setattr(history, "RETRY_S", 0)
    patch.setattr(history, "RESCAN_S", 1000)
    yield
    patch.undo()


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
