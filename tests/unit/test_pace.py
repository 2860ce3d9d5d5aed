"""History takes its share of the uplink, and live data never wait behind it for long."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.pace import DELAY_S, FLOOR, SLOWEST_BYTES_S, Pace
from tests.fakes import FakeClock

STEP_S = 0.01
SEGMENT_BYTES = 1448


class Pipe:
    """A link of a certain width: what is sent waits its turn, then travels.

    Of `loss` of the segments the next copy arrives, with all behind it.
    """

    def __init__(
        self, bytes_s: float, round_trip_s: float, *, share: float = 0.5, loss: float = 0.0
    ) -> None:
        self.clock = FakeClock()
        self.pace = Pace(self.clock.monotonic, share)
        self.bytes_s = bytes_s
        self.round_trip_s = round_trip_s
        self._free_at = self._in_order_at = 0.0
        self._loss = loss
        self._rng = random.Random(1)
        self._under_way: deque[tuple[float, float, int, bool]] = deque()
        self.live_waits: list[float] = []
        self.history_bytes = 0

    def _send(self, size: int, *, history: bool) -> None:
        now = self.clock.monotonic()
        self._free_at = max(self._free_at, now) + size / self.bytes_s
        at = self._free_at + self.round_trip_s
        if any(self._rng.random() < self._loss for _ in range(0, size, SEGMENT_BYTES)):
            at += self._rng.uniform(0.2, 0.4)
        self._in_order_at = max(self._in_order_at, at)
        self._under_way.append((self._in_order_at, now, size, history))

    def run(
        self, seconds: float, *, live_bytes_s: float = 50_000, frame_bytes: int = 20_000
    ) -> None:
        """Live data twice a second, and as much history as the pace allows."""
        for step in range(round(seconds / STEP_S)):
            if live_bytes_s and step % 50 == 0:
                self._send(int(live_bytes_s / 2), history=False)
            while self.pace.may_send():
                self._send(frame_bytes, history=True)
                self.pace.sent(frame_bytes)
            self.clock.advance(STEP_S)
            self._answer()
            self.pace.step(self._oldest_s(history=False), self._oldest_s(history=True))

    def _answer(self) -> None:
        now = self.clock.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, sent_at, size, history = self._under_way.popleft()
            self.pace.acknowledged(size, now - sent_at, history=history)
            if history:
                self.history_bytes += size
            else:
                self.live_waits.append(now - sent_at)

    def _oldest_s(self, *, history: bool) -> float:
        sent = [sent_at for _, sent_at, _, kind in self._under_way if kind is history]
        return self.clock.monotonic() - min(sent) if sent else 0.0


def test_a_wide_link_is_found_out_within_seconds() -> None:
    pipe = Pipe(100e6, 0.001)
    pipe.run(10)
    assert pipe.pace.rate_bytes_s > 2e6
    assert max(pipe.live_waits) < 0.1


def test_a_narrow_link_is_shared_and_live_data_stay_quick() -> None:
    pipe = Pipe(625_000, 0.2)  # 5 Mbit/s
    pipe.run(20)
    pipe.history_bytes = 0
    pipe.live_waits.clear()
    pipe.run(120)
    assert pipe.history_bytes / 120 > 0.3 * 625_000
    waits = sorted(pipe.live_waits)
    assert waits[int(0.99 * len(waits))] < 0.2 + 0.6
    assert waits[len(waits) // 2] < 0.2 + DELAY_S


def test_lost_packets_are_not_taken_for_a_full_link() -> None:
    pipe = Pipe(625_000, 0.2, loss=0.02)
    pipe.run(20)
    pipe.history_bytes = 0
    pipe.live_waits.clear()
    pipe.run(300, live_bytes_s=27_000, frame_bytes=13_000)
    assert pipe.history_bytes / 300 > 0.45 * 625_000
    waits = sorted(pipe.live_waits)
    assert waits[int(0.99 * len(waits))] < 0.2 + 1.3


def test_the_share_is_kept_but_for_looking_whether_the_link_has_become_wider() -> None:
    pipe = Pipe(625_000, 0.05)
    pipe.run(60)
    pipe.history_bytes = 0
    pipe.run(600)
    assert 0.4 < pipe.history_bytes / 600 / 625_000 < 0.6


def test_what_the_full_link_carried_is_measured() -> None:
    pipe = Pipe(625_000, 0.05)
    pipe.run(30)
    assert pipe.pace.full_uplink_bytes_s == pytest.approx(625_000, rel=0.2)


def test_live_data_that_fill_the_link_leave_history_its_floor() -> None:
    pipe = Pipe(625_000, 0.05)
    pipe.run(60, live_bytes_s=650_000)
    assert pipe.pace.full_uplink_bytes_s is not None
    assert SLOWEST_BYTES_S <= pipe.pace.rate_bytes_s <= 2 * FLOOR * 625_000


def test_a_link_that_gets_wider_is_found_out_in_time() -> None:
    pipe = Pipe(300_000, 0.05)
    pipe.run(20)
    pipe.bytes_s = 3_000_000
    pipe.run(120)
    assert pipe.pace.rate_bytes_s > 500_000


def test_a_path_that_gets_longer_is_not_taken_for_a_full_one_for_ever() -> None:
    pipe = Pipe(10e6, 0.02)
    pipe.run(10)
    pipe.round_trip_s = 0.5
    pipe.run(60)
    assert pipe.pace.rate_bytes_s > 20_000
    pipe.history_bytes = 0
    pipe.run(120)
    assert pipe.history_bytes / 120 > 20_000


def test_history_alone_does_not_flood_the_link() -> None:
    pipe = Pipe(625_000, 0.2)
    pipe.run(60, live_bytes_s=0)
    assert pipe.history_bytes / 60 > 150_000
    assert pipe._free_at - pipe.clock.monotonic() < 1.0


def test_one_message_may_go_whatever_its_size() -> None:
    pipe = Pipe(10_000, 0.05)
    pipe.run(120, live_bytes_s=1000, frame_bytes=50_000)
    assert pipe.history_bytes > 0


def test_nothing_is_known_of_a_new_path() -> None:
    pipe = Pipe(625_000, 0.2)
    pipe.run(30)
    rate = pipe.pace.rate_bytes_s
    pipe.pace.connected()
    assert pipe.pace.rate_bytes_s == rate  # but what the uplink carries is
    assert not pipe.pace.may_send()
    pipe.clock.advance(0.1)
    assert pipe.pace.may_send()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "live", "history", "wait", "step", "connected"]),
            st.floats(0, 10),
            st.integers(0, 10_000_000),
        ),
        max_size=60,
    )
)
def test_the_rate_stays_sane_whatever_is_reported(
    happenings: list[tuple[str, float, int]],
) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    for what, seconds, size in happenings:
        if what == "sent":
            pace.sent(size)
        elif what == "wait":
            clock.advance(seconds)
        elif what == "step":
            pace.step(seconds, seconds)
        elif what == "connected":
            pace.connected()
        else:
            pace.acknowledged(size, seconds, history=what == "history")
        pace.may_send()
        assert pace.rate_bytes_s >= SLOWEST_BYTES_S
        assert pace.acknowledged_bytes_s >= 0
