"""What the broker refuses for a reason of its own: kept, and tried again later.

Only a few reason codes are a message's own fault. The others (an access rule, a quota) pass or
are mended, so the frame becomes history again. Where nothing else is accepted meanwhile the whole
stream rests, longer from time to time: history, and live data apart from it.

A consumer cannot use a frame of a chain without those before it. So what comes behind a refused
frame in its chain goes once more, after it, even where the broker has taken it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from agent.store.shelf import EVENT
from agent.telemetry.flight import Flight
from agent.telemetry.history import History, Teller
from agent.telemetry.live import Lanes
from agent.telemetry.marks import PlaceKey
from agent.telemetry.parcel import Parcel

log = logging.getLogger("stoker.courier")

HISTORY_REST_S = (30.0, 600.0)
LIVE_REST_S = (2.0, 128.0)
"""The first rest and the longest. Live data rest less: they are what is wanted, and each try
costs them a new chain."""
QUIET_S = 60.0
"""Without a refusal for so long what arrives is the end of an outage."""


class Patience:
    """When one kind of message is tried again, and when to complain. Pure."""

    def __init__(self, rest_s: tuple[float, float], monotonic: Callable[[], float]) -> None:
        self.outage = False
        self._first_s, self._longest_s = rest_s
        self._monotonic = monotonic
        self._refused_at = 0.0
        self.begin()

    def begin(self) -> None:
        """Nothing is known of this connection yet."""
        self._rest_s = self._first_s
        self._retry_at: float | None = None
        self._accepted = False

    def accepted(self) -> None:
        """The broker has taken a message."""
        self._accepted = True

    def refused(self) -> bool:
        """The broker has refused a message; true if it accepted none since the last time."""
        in_a_row, self._accepted = not self._accepted, False
        self._refused_at = self._monotonic()
        return in_a_row

    def rest(self) -> None:
        """Plan the next try, unless one is planned."""
        if self._retry_at is None:
            self._retry_at = self._monotonic() + self._rest_s
            self._rest_s = min(2 * self._rest_s, self._longest_s)

    def due(self) -> bool:
        """Whether the time has come for the planned try; true once."""
        if self._retry_at is None or self._monotonic() < self._retry_at:
            return False
        self._retry_at = None
        return True

    def arrived(self) -> bool:
        """All of a frame was accepted; true if this ends an outage."""
        if self._retry_at is None:
            self._rest_s = self._first_s
        if not self.outage or self._monotonic() - self._refused_at < QUIET_S:
            return False
        self.outage = False
        return True


class Refusals:
    """Takes what was refused back into the spool's care.

    `held` are the frames that history must not send now. `leave_behind` is called with frames
    that will not go live, `on_new_chain` when live data are tried again.
    """

    def __init__(
        self,
        tellers: Mapping[str, Teller],
        lanes: Lanes,
        history: History,
        flight: Flight,
        held: set[PlaceKey],
        *,
        monotonic: Callable[[], float],
        leave_behind: Callable[[Sequence[Parcel]], None],
        on_new_chain: Callable[[], None],
    ) -> None:
        self.count = 0
        """Messages refused, and not given up."""
        self._lanes = lanes
        self._history = history
        self._flight = flight
        self._held = held
        self._leave_behind = leave_behind
        self._on_new_chain = on_new_chain
        # A frame that is told as it is stored is part of a chain also for the consumer.
        self._chained = {
            stream: teller.frame_by_frame and stream != EVENT for stream, teller in tellers.items()
        }
        self._of_live = {stream: Patience(LIVE_REST_S, monotonic) for stream in tellers}
        self._of_history = {stream: Patience(HISTORY_REST_S, monotonic) for stream in tellers}
        self._aside: dict[str, set[PlaceKey]] = {stream: set() for stream in tellers}

    # What the broker says.

    def refused(self, parcel: Parcel, topic: str, reason: int) -> None:
        """The broker refuses a message of a frame, and it is not the message's fault."""
        self.count += 1
        parcel.refused = True
        patience = self._patience(parcel)
        if not patience.outage:
            patience.outage = True
            log.error("%s: refused (reason code %d): kept, and tried again later", topic, reason)
        in_a_row = patience.refused()
        if self._chained[parcel.stream]:
            self._take_back_chain(parcel)
        if parcel.history:
            self._rest_history(parcel, in_a_row=in_a_row)
        elif parcel.stream != EVENT and (in_a_row or self._chained[parcel.stream]):
            patience.rest()
            self._leave_behind(self._lanes.bar_refused(parcel))

    def accepted(self, parcel: Parcel) -> None:
        """The broker has taken a message."""
        self._patience(parcel).accepted()

    def arrived(self, parcel: Parcel) -> None:
        """The broker has taken all of a frame."""
        if self._patience(parcel).arrived():
            log.warning("%s is accepted again", parcel.stream)

    def take_back(self, parcel: Parcel) -> None:
        """Everything of a frame was answered, and not all of it accepted: it is history again."""
        if self._chained[parcel.stream]:
            return  # since the first refusal
        if parcel.history:
            self._aside[parcel.stream].add(parcel.place)  # and stays held until the next try
        else:
            self._held.discard(parcel.place)
            self._history.rewind()

    # What time does.

    def tick(self) -> None:
        """Try again what has rested long enough."""
        for stream, patience in self._of_history.items():
            if patience.due():
                self._held.difference_update(self._aside[stream])
                self._aside[stream].clear()
                self._history.resume(stream)
        due = [patience.due() for patience in self._of_live.values()]
        if True in due:
            self._on_new_chain()

    def connected(self) -> None:
        """A new connection: everything is tried."""
        for patience in (*self._of_live.values(), *self._of_history.values()):
            patience.begin()
        for aside in self._aside.values():
            aside.clear()

    def _patience(self, parcel: Parcel) -> Patience:
        kind = self._of_history if parcel.history else self._of_live
        return kind[parcel.stream]

    def _take_back_chain(self, parcel: Parcel) -> None:
        """From the refused frame on a chain is history again, in order."""
        behind = self._flight.behind(parcel)
        for each in behind:
            each.refused = True
        self._held.difference_update(each.place for each in (parcel, *behind))
        self._history.start_over()

    def _rest_history(self, parcel: Parcel, *, in_a_row: bool) -> None:
        """Go on with other frames while some are accepted."""
        self._of_history[parcel.stream].rest()
        if in_a_row:
            self._history.rest(parcel.stream)
        elif self._chained[parcel.stream]:
            self._history.pass_by(parcel)
