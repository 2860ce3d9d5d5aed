"""Brings frames to the broker: live first, history beside it, and nothing forgotten too early.

A frame is offered when it is taken, and goes live at once. What cannot go live within seconds,
and what was not acknowledged when a connection ended, is history: it is read back from the
spool. The spool may forget a frame when the broker has acknowledged it, or, where a consumer
sets marks, when the consumer has stored it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from agent.mqtt.events import Events, Outcome
from agent.mqtt.failure import LinkLost
from agent.telemetry.cursor import Spool
from agent.telemetry.flight import Flight, Letter
from agent.telemetry.history import History, Teller
from agent.telemetry.live import Lanes
from agent.telemetry.losses import POISON, REFUSED, TOO_LARGE, Losses
from agent.telemetry.pace import Pace
from agent.telemetry.parcel import Head, Loss, Note, Parcel, Place, Write
from agent.telemetry.receipts import Receipts
from agent.telemetry.turns import Turns
from agent.telemetry.uplink import Link, Uplink

log = logging.getLogger("stoker.courier")

TICK_S = 0.05
MARKS_FIRST_S = 2.0
"""History waits so long for the marks that the broker keeps: they may spare much of it."""


class Courier:
    """Joins the spool to a session. The app sets `session`, runs `run()` and calls `offer`."""

    def __init__(
        self,
        spool: Spool,
        tellers: Mapping[str, Teller],
        receipts: Receipts,
        pace: Pace,
        *,
        boot_id: str,
        monotonic: Callable[[], float],
        on_new_chain: Callable[[], None],
        on_lost: Callable[[Loss], None],
    ) -> None:
        """`tellers` names the streams, the most important first."""
        self.session: Link  # set by the app: session and courier know each other
        self.held: Callable[[], bool] = lambda: False
        """While this says so nothing is handed over; live stays live meanwhile."""
        self._held_s = 0.0
        self._ticked_at = monotonic()
        self._receipts = receipts
        self._pace = pace
        self._boot_id = boot_id
        self._monotonic = monotonic
        self._on_new_chain = on_new_chain
        self._lanes = Lanes(list(tellers))
        self._flight = Flight(monotonic)
        self._history = History(spool, tellers, receipts.held, receipts.stored, self.pump)
        self._losses = Losses(on_lost)
        self._history.damaged = self._losses.damaged
        self._turns = Turns(
            self._lanes, self._history, self._flight, self._may_send_history, self._open
        )
        self._repeats = self._left_behind = 0
        self._pumping = self._draining = self._complained = False
        self._history_from: float | None = None
        self._broken_chains = 0
        self._progress = asyncio.Event()

    # What the app calls.

    def events(self) -> Events:
        """The callbacks for the session."""
        return Events(
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            on_puback=self._acknowledged,
            on_refused=self._refused,
            on_message=self._receipts.hear,
        )

    def offer(self, stream: str, place: Place, head: Head, write: Write, size: int) -> None:
        """A new frame, which the spool keeps at `place`, wants to go live.

        `write` makes its messages when its turn comes; `size` is what it weighs until then.
        """
        parcel = Parcel(
            stream=stream,
            boot_id=self._boot_id,
            place=(place.segment_id, place.index),
            head=head,
            size=size,
            write=write,
            history=False,
            since=self._monotonic() - self._held_s,
        )
        if not self.session.connected:
            self._lanes.bar(parcel)
        elif self._lanes.put(parcel):
            self._receipts.held.add(parcel.place)
            self.pump()
        else:
            self._leave_behind([parcel])

    async def run(self) -> None:
        """Deliver until cancelled."""
        reading = asyncio.create_task(self._history.run())
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self._tick_safely()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all that is live has arrived; false if time or connection ended before.

        History rests meanwhile, and for good: the agent is about to end.
        """
        self._draining = True
        self._history.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.session.connected and (len(self._lanes) or self._flight.live):
                    self._progress.clear()
                    await self._progress.wait()
        return not len(self._lanes) and not self._flight.live

    def uplink(self) -> Uplink:
        """How delivery fares."""
        pace, receipts = self._pace, self._receipts
        return Uplink(
            connected=self.session.connected,
            bytes_s=pace.acknowledged_bytes_s,
            full_bytes_s=pace.full_uplink_bytes_s,
            history_bytes_s=pace.rate_bytes_s,
            under_way=len(self._flight),
            waiting_live=len(self._lanes),
            waiting_for_marks=receipts.waiting,
            refused_marks=receipts.refused_marks,
            repeats=self._repeats,
            left_behind=self._left_behind,
            dropped=dict(self._losses.dropped),
        )

    def _tick_safely(self) -> None:
        try:
            self.tick()
        except Exception:  # a fault of ours must not end delivery
            level = logging.DEBUG if self._complained else logging.ERROR
            self._complained = True
            log.log(level, "delivery stumbled", exc_info=True)

    def tick(self) -> None:
        """Look at what only time changes; `run` does so several times a second."""
        now = self._monotonic()
        if self.held():
            self._held_s += now - self._ticked_at
        self._ticked_at = now
        flight = self._flight
        self._pace.step(flight.oldest_s(history=False), flight.oldest_s(history=True))
        if not self.session.connected:
            return
        if left := self._lanes.stale(now - self._held_s):
            self._leave_behind(left)
        if self._history_from is not None and now >= self._history_from:
            self._start_history()
        if overdue := self._receipts.overdue():
            self._repeats += overdue
            self._history.rewind(whole=True)
        self.pump()

    # Handing over.

    def pump(self) -> None:
        """Hand over what may go, until the window is full."""
        if self._pumping or self.held():
            return
        self._pumping = True
        try:
            while (room := self.session.window) > 0:
                parcel = self._turns.next(room)
                if parcel is None or not self._hand_over(parcel):
                    return
        finally:
            self._pumping = False

    def _may_send_history(self) -> bool:
        return not self._receipts.too_many_wait and self._pace.may_send()

    def _hand_over(self, parcel: Parcel) -> bool:
        """Hand over the next message of a frame; false if the session takes none now."""
        if not self._open(parcel):
            return True
        note = parcel.next_note
        token = self._flight.next_token()
        outcome = self.session.publish(note.topic, note.payload, token=token)
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

    def _depart(self, parcel: Parcel, note: Note) -> None:
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
                self._lanes.bar(parcel)
                self._leave_behind([parcel])
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
        self._finish(parcel)

    def _finish(self, parcel: Parcel) -> None:
        """Where the broker has all of a frame, it may be forgotten in time."""
        if not parcel.arrived:
            return
        if parcel.lost == parcel.handed_over:  # nobody will ever mark it
            self._receipts.settle(parcel.place)
        else:
            self._receipts.arrived(parcel)
        self._progress.set()

    def _leave_behind(self, parcels: Sequence[Parcel]) -> None:
        """These frames did not go live in time: the spool has them, and history sends them."""
        self._left_behind += len(parcels)
        self._receipts.held.difference_update(parcel.place for parcel in parcels)
        self._history.rewind()
        self._progress.set()
        if self._broken_chains != self._lanes.broken_chains:
            self._ask_for_chain()

    def _ask_for_chain(self) -> None:
        self._broken_chains = self._lanes.broken_chains
        self._on_new_chain()

    # What the session says.

    def _connected(self) -> None:
        self._pace.connected()
        self._ask_for_chain()
        if self._receipts.by_marks:
            self._history_from = self._monotonic() + MARKS_FIRST_S
        else:
            self._start_history()
        self.pump()

    def _start_history(self) -> None:
        self._history_from = None
        if not self._draining:
            self._history.start(whole=self._receipts.by_marks)

    def _disconnected(self, lost: LinkLost, _tokens: Sequence[int]) -> None:
        """Everything that was under way or waited to go live is history now."""
        under_way, poison = self._flight.crash(lost.cause)
        for letter in poison:
            self._losses.lose(letter.parcel, letter.note, POISON)
        self._lanes.clear()
        self._repeats += len({letter.parcel.place for letter in under_way})
        self._repeats += self._receipts.reconnected()
        self._history.stop()
        self._history_from = None
        self._progress.set()

    def _acknowledged(self, token: int) -> None:
        if letter := self._land(token):
            self._finish(letter.parcel)
            self.pump()

    def _refused(self, token: int, reason: int) -> None:
        if letter := self._land(token):
            self._losses.lose(letter.parcel, letter.note, REFUSED, f"(reason code {reason})")
            self._finish(letter.parcel)
            self.pump()

    def _land(self, token: int) -> Letter | None:
        letter = self._flight.land(token)
        if letter is None:
            return None
        parcel = letter.parcel
        parcel.unacknowledged -= 1
        round_trip_s = self._monotonic() - letter.sent_at
        self._pace.acknowledged(letter.size, round_trip_s, history=parcel.history)
        return letter
