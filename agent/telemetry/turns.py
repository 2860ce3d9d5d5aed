"""Whose message goes next: events, then live readings, then history within its rate. Pure."""

from __future__ import annotations

from collections.abc import Callable

from agent.telemetry.flight import Flight
from agent.telemetry.history import History
from agent.telemetry.live import Lanes
from agent.telemetry.parcel import Parcel

FREE_SLOTS = 4
"""History leaves one in so many places of the window to live data."""


class Turns:
    """Chooses among what waits.

    `may_send` says whether history may go on at all, `opened` makes the messages of a frame and
    says whether any of them is to go.
    """

    def __init__(
        self,
        lanes: Lanes,
        history: History,
        flight: Flight,
        may_send: Callable[[], bool],
        opened: Callable[[Parcel], bool],
    ) -> None:
        self._lanes = lanes
        self._history = history
        self._flight = flight
        self._may_send = may_send
        self._opened = opened
        self._live_first = False

    def next(self, room: int) -> Parcel | None:
        """Whose message goes, where the window has room for so many; None if none may go now."""
        flight, live, history = self._flight, self._lanes.head, self._history.head
        if flight.suspect_under_way:
            return None
        if live is None:
            self._live_first = False
        if history is not None and flight.has_suspects and self._is_suspect(history):
            return live if self._live_first else self._alone(history)
        if live is not None:
            return live
        if history is None or not self._may_send():
            return None
        under_way = len(flight)
        return history if room > (room + under_way) // FREE_SLOTS or not under_way else None

    def _is_suspect(self, parcel: Parcel) -> bool:
        return self._opened(parcel) and self._flight.is_suspect(parcel, parcel.next_note)

    def _alone(self, suspect: Parcel) -> Parcel | None:
        """Let everything under way land first, and live data go before the next such message."""
        if len(self._flight):
            return None
        self._live_first = True
        return suspect
