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

from agent.mqtt.events import Events
from agent.mqtt.failure import LinkLost
from agent.store.ledger import Loss
from agent.store.segment import Head, Place
from agent.telemetry.cursor import Spool
from agent.telemetry.flight import Flight
from agent.telemetry.handover import Handover
from agent.telemetry.history import History, Teller
from agent.telemetry.live import Lanes
from agent.telemetry.losses import OWN_FAULT, POISON, REFUSED, Losses
from agent.telemetry.pace import Pace
from agent.telemetry.parcel import Parcel, Write
from agent.telemetry.receipts import Receipts
from agent.telemetry.refusals import Refusals
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
        self._handover = Handover(
            self._lanes, self._history, self._flight, self._losses, receipts, pace
        )
        self._handover.on_unwritten = self._unwritten
        self._handover.on_end = self._ended
        self._refusals = Refusals(
            tellers,
            self._lanes,
            self._history,
            self._flight,
            receipts.held,
            monotonic=monotonic,
            leave_behind=self._leave_behind,
            on_new_chain=self._ask_for_chain,
        )
        self._repeats = self._left_behind = 0
        self._draining = self._complained = False
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
            refused=self._refusals.count,
            dropped=dict(self._losses.dropped),
        )

    def pump(self) -> None:
        """Hand over what may go."""
        if not self.held():
            self._handover.pump(self.session)

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
        self._refusals.tick()
        if left := self._lanes.stale(now - self._held_s):
            self._leave_behind(left)
        if self._history_from is not None and now >= self._history_from:
            self._start_history()
        if overdue := self._receipts.overdue():
            self._repeats += overdue
            self._history.rewind(whole=True)
        self.pump()

    # What becomes of frames.

    def _unwritten(self, parcel: Parcel) -> None:
        """A frame whose messages cannot be made does not go live."""
        self._lanes.bar(parcel)
        self._leave_behind([parcel])

    def _ended(self, parcel: Parcel) -> None:
        """The broker has answered for all of a frame: what it has may be forgotten in time."""
        if parcel.refused:
            self._refusals.take_back(parcel)
        elif parcel.lost == parcel.handed_over:  # nobody will ever mark it
            self._receipts.settle(parcel.place)
        else:
            self._receipts.arrived(parcel)
            self._refusals.arrived(parcel)
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
        self._refusals.connected()
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
        if letter := self._handover.land(token, self._monotonic()):
            self._refusals.accepted(letter.parcel)
            self._handover.end(letter.parcel)
            self.pump()

    def _refused(self, token: int, reason: int) -> None:
        letter = self._handover.land(token, self._monotonic())
        if letter is None:
            return
        parcel, note = letter.parcel, letter.note
        if reason in OWN_FAULT:
            self._losses.lose(parcel, note, REFUSED, f"(reason code {reason})")
        else:
            self._refusals.refused(parcel, note.topic, reason)
        self._handover.end(parcel)
        self.pump()
