"""Hands frames to the session message by message, and sees how each of them ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.mqtt.events import Outcome
from agent.telemetry.flight import Flight, Letter
from agent.telemetry.forms import Message
from agent.telemetry.history import History
from agent.telemetry.live import Lanes
from agent.telemetry.losses import TOO_LARGE, Losses
from agent.telemetry.pace import Pace
from agent.telemetry.parcel import Parcel
from agent.telemetry.receipts import Receipts
from agent.telemetry.turns import Turns
from agent.telemetry.uplink import Link

log = logging.getLogger("stoker.courier")


class Handover:
    """Fills the window of a session with what has its turn."""

    def __init__(
        self,
        lanes: Lanes,
        history: History,
        flight: Flight,
        losses: Losses,
        receipts: Receipts,
        pace: Pace,
    ) -> None:
        self.on_unwritten: Callable[[Parcel], None] = lambda _parcel: None
        """Called with a live frame whose messages cannot be made."""
        self.on_end: Callable[[Parcel], None] = lambda _parcel: None
        """Called with a frame of which nothing waits, and everything has been answered."""
        self._lanes = lanes
        self._history = history
        self._flight = flight
        self._losses = losses
        self._receipts = receipts
        self._pace = pace
        self._turns = Turns(lanes, history, flight, self._may_send_history, self._open)
        self._pumping = False

    def pump(self, session: Link) -> None:
        """Hand over what may go, until the window is full."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while (room := session.window) > 0:
                parcel = self._turns.next(room)
                if parcel is None or not self._hand_over(parcel, session):
                    return
        finally:
            self._pumping = False

    def land(self, token: int, now: float) -> Letter | None:
        """The broker has answered for a message; None for one that nobody knows."""
        letter = self._flight.land(token)
        if letter is None:
            return None
        letter.parcel.unacknowledged -= 1
        history = letter.parcel.history
        self._pace.acknowledged(letter.size, now - letter.sent_at, history=history)
        return letter

    def end(self, parcel: Parcel) -> None:
        """Tell if a frame has come to its end."""
        if parcel.arrived:
            self.on_end(parcel)

    def _may_send_history(self) -> bool:
        return not self._receipts.too_many_wait and self._pace.may_send()

    def _hand_over(self, parcel: Parcel, session: Link) -> bool:
        """Hand over the next message of a frame; false if the session takes none now."""
        if not self._open(parcel):
            return True
        note = parcel.next_note
        token = self._flight.next_token()
        outcome = session.publish(note.topic, note.payload, token=token)
        if outcome is Outcome.TOO_LARGE:
            self._losses.lose(parcel, note, TOO_LARGE)
        elif outcome:
            self._depart(parcel, note)
        else:
            return False
        parcel.handed_over += 1
        if parcel.all_handed_over:
            self._dismiss(parcel)
        return True

    def _depart(self, parcel: Parcel, note: Message) -> None:
        if not parcel.begun:
            self._receipts.sent(parcel)
        size = self._flight.depart(parcel, note)
        parcel.unacknowledged += 1
        if parcel.history:
            self._pace.sent(size)

    def _open(self, parcel: Parcel) -> bool:
        """Make the messages of a frame whose turn has come; false if none of it is to go."""
        if parcel.opened:
            return not parcel.all_handed_over
        try:
            parcel.notes = self._losses.remain(parcel)
        except Exception:
            log.exception("%s %d: cannot be made into messages", *parcel.place)
            if not parcel.history:  # the spool may tell it yet
                self._lanes.pop(parcel)
                self.on_unwritten(parcel)
                return False
            self._losses.damaged(parcel, parcel.head.count)
        parcel.opened = True
        if not parcel.notes:
            self._dismiss(parcel)
        return bool(parcel.notes)

    def _dismiss(self, parcel: Parcel) -> None:
        """Nothing of a frame waits any more."""
        if parcel.history:
            self._history.pop()
        else:
            self._lanes.pop(parcel)
        self.end(parcel)
