"""How fast history may go beside live data: a share of the uplink, as live round trips show it.

Where history fills the path, live messages wait behind it and their round trips grow. What was
acknowledged per second meanwhile is then what the uplink carries. Pure; the clock is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

START_BYTES_S = 256_000.0
SLOWEST_BYTES_S = 4_000.0
FLOOR = 0.1
"""History gets this part of the uplink even where live data would take all of it."""
DELAY_S = 0.25
REPEAT_LIMIT_S = 0.5
"""The path is full where round trips exceed the smallest seen by more than this and one round
trip: a lost packet, which is repeated after about that, must not be taken for a full path."""
STEP_S = 0.5
STEPS_JUDGED = 3
"""Some messages are delayed by lost packets and a busy host, all of them by a full path: the
quickest of several steps decides."""
GROWTH_UNKNOWN = 1.5
GROWTH_KNOWN = 1.08
"""Growth per second, before the uplink was ever full and after."""
HOLD_S = 60.0
"""How long the uplink is believed before it is probed again."""
SPARE = 0.1
"""Part of the uplink that history leaves free beside live data."""
BURST_S = 0.25
QUEUE_S = 0.3
"""History under way, beyond what a round trip takes anyway: nothing live waits for much more."""
BASE_KEPT_S = 300.0
BASE_LIMIT_S = 1.0
RELEARN_AFTER = 3
"""Where slowing down so often changed nothing, the path itself has become longer."""


class RoundTrips:
    """The quickest round trips: of the last steps, and of the last five to ten minutes."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=STEPS_JUDGED)
        self._step_low: float | None = None
        self._base: float | None = None
        self._former_base: float | None = None
        self._based_at = 0.0

    def add(self, round_trip_s: float) -> None:
        """Take a round trip of the present step."""
        if self._step_low is None or round_trip_s < self._step_low:
            self._step_low = round_trip_s

    def end_step(self, now: float, waiting_s: float) -> None:
        """Close a step; `waiting_s` is how long the oldest unanswered message waits by now."""
        low, self._step_low = self._step_low, None
        if now - self._based_at >= BASE_KEPT_S:
            self._former_base, self._base, self._based_at = self._base, None, now
        if low is not None and (self._base is None or low < self._base):
            self._base = low
        if low is None and waiting_s > STEP_S:
            low = waiting_s
        if low is not None:
            self._steps.append(low)

    @property
    def low_s(self) -> float | None:
        """The quickest of the last steps, once there are enough of them."""
        return min(self._steps) if len(self._steps) == STEPS_JUDGED else None

    @property
    def base_s(self) -> float:
        """What a round trip takes while nothing is in its way; 0 where that is not known."""
        return min(
            (base for base in (self._base, self._former_base) if base is not None), default=0
        )

    def believe(self, base_s: float) -> None:
        """The path has become longer."""
        self._base, self._former_base = base_s, None

    def forget_steps(self) -> None:
        """What was seen of late says nothing any more."""
        self._steps.clear()
        self._step_low = None


class Pace:
    """Told of every message handed over and acknowledged; says whether history may go on."""

    def __init__(self, monotonic: Callable[[], float], share: float = 0.5) -> None:
        self.rate_bytes_s = START_BYTES_S
        """What history may send."""
        self.full_uplink_bytes_s: float | None = None
        """What the uplink carried when it was last full; None before that was ever seen."""
        self.acknowledged_bytes_s = 0.0
        """What the broker acknowledged of late, live and history together."""
        self._monotonic = monotonic
        self._share = share
        self._hold_until = 0.0
        self.connected()

    def connected(self) -> None:
        """A new path: nothing is under way, and its round trips are not known."""
        self._live, self._history = RoundTrips(), RoundTrips()
        self._rates: deque[tuple[float, float]] = deque(maxlen=STEPS_JUDGED)  # live, history
        self._live_bytes = self._history_bytes = self._in_flight = 0
        self._credit = 0.0
        self._held_back = False
        self._full_in_a_row = 0
        self._stepped_at = self._filled_at = self._monotonic()

    def sent(self, size: int) -> None:
        """So many bytes of history were handed over."""
        self._in_flight += size
        self._credit -= size

    def acknowledged(self, size: int, round_trip_s: float, *, history: bool) -> None:
        """The broker has taken a message."""
        if history:
            self._history_bytes += size
            self._in_flight = max(0, self._in_flight - size)
            self._history.add(round_trip_s)
        else:
            self._live_bytes += size
            self._live.add(round_trip_s)

    def may_send(self) -> bool:
        """Whether history may hand over a message now; it may overdraw by that one message."""
        self._fill()
        if self._credit <= 0:
            self._held_back = True
            return False
        if self._in_flight == 0:
            return True
        usual_s = min(self._live.base_s, BASE_LIMIT_S)
        return self._in_flight < self.rate_bytes_s * (QUEUE_S + usual_s)

    def _fill(self) -> None:
        now = self._monotonic()
        earned = self.rate_bytes_s * (now - self._filled_at)
        self._credit = min(self.rate_bytes_s * BURST_S, self._credit + earned)
        self._filled_at = now

    def step(self, live_waiting_s: float = 0.0, history_waiting_s: float = 0.0) -> None:
        """Judge the path; to be called several times a second.

        The arguments say how long the oldest unacknowledged message of each kind waits by now.
        """
        now = self._monotonic()
        elapsed_s = now - self._stepped_at
        if elapsed_s < STEP_S:
            return
        self._fill()
        self._stepped_at = now
        self._measure(elapsed_s)
        self._live.end_step(now, live_waiting_s)
        self._history.end_step(now, history_waiting_s)
        if self._is_full():
            self._slow_down(now)
        elif self._held_back and now >= self._hold_until:
            known = self.full_uplink_bytes_s is not None
            self.rate_bytes_s *= (GROWTH_KNOWN if known else GROWTH_UNKNOWN) ** elapsed_s
        self._held_back = False

    def _measure(self, elapsed_s: float) -> None:
        self._rates.append((self._live_bytes / elapsed_s, self._history_bytes / elapsed_s))
        self._live_bytes = self._history_bytes = 0
        self.acknowledged_bytes_s = sum(map(sum, self._rates)) / len(self._rates)

    def _is_full(self) -> bool:
        low_s = self._live.low_s
        if low_s is not None:
            full = low_s > self._live.base_s + self._tolerated_s(self._live)
            if not full:
                self._full_in_a_row = 0
            return full
        # Nothing live to judge by; history waits behind itself as far as it is allowed to.
        low_s = self._history.low_s
        if low_s is None:
            return False
        return low_s > self._history.base_s + QUEUE_S + self._tolerated_s(self._history)

    def _tolerated_s(self, trips: RoundTrips) -> float:
        return DELAY_S + min(trips.base_s, REPEAT_LIMIT_S)

    def _slow_down(self, now: float) -> None:
        """Give history its share of what came through, unless it had no part in it."""
        if not self._in_flight and not any(history for _, history in self._rates):
            return
        uplink = self.acknowledged_bytes_s
        live = sum(live for live, _ in self._rates) / len(self._rates)
        share = max(FLOOR * uplink, min(self._share * uplink, (1 - SPARE) * uplink - live))
        self.full_uplink_bytes_s = uplink
        self.rate_bytes_s = max(SLOWEST_BYTES_S, min(self.rate_bytes_s, share))
        self._credit = min(self._credit, 0.0)
        self._hold_until = now + HOLD_S
        self._relearn()

    def _relearn(self) -> None:
        """Where slowing down changes nothing, the path has become longer."""
        self._full_in_a_row += 1
        if self._full_in_a_row >= RELEARN_AFTER and self._live.low_s is not None:
            self._live.believe(min(self._live.low_s, BASE_LIMIT_S))
            self._full_in_a_row = 0
        self._live.forget_steps()
        self._history.forget_steps()
