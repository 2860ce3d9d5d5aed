"""Waits for the readings that prove actions, and has devices looked at when that is due."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from agent.command.admission import Admission
from agent.command.effects import Proof, Verdict
from agent.fleet.inventory import Device
from agent.fleet.lane import Lane
from agent.fleet.turn import Preempted
from drivers.actions import Receipt, Seen, Watched
from drivers.api import Clock
from drivers.errors import DriverError
from drivers.model import Identity, Reading

log = logging.getLogger("stoker.prover")

TICK_S = 0.05
FIRST_LOOK_S = 2.0
LONGEST_GAP_S = 15.0
GROWTH = 2.0
"""Looks begin before the effect usually shows, for some are quick, and come further and further
apart: what did not show in ten seconds may take minutes."""
LOOKERS = 4096
"""Devices that are looked at and do not answer must not keep others from being looked at."""
LOOKS_AT_ONCE = 64
"""Of those that answer soon: orders go out before what they came to is looked at."""
IDENTIFIERS = 16


class Eyes(Protocol):
    """Reads devices out of turn; what is read comes to `Prover.observe`. Raises nothing."""

    async def glance(self, device: Device) -> None:
        """Read what a poll reads."""

    async def look(self, device: Device) -> None:
        """Read everything anew."""


class Shown(NamedTuple):
    """The verdict, and the reading that settled it or came last."""

    verdict: Verdict
    reading: Reading | None


class _Pending:
    __slots__ = ("acted_at", "device", "gap_s", "last", "looks", "outcome", "proof", "unanswered")

    def __init__(
        self, device: Device, proof: Proof, acted_at: float, outcome: asyncio.Future[Shown]
    ) -> None:
        self.device = device
        self.proof = proof
        self.acted_at = acted_at
        self.gap_s = FIRST_LOOK_S
        self.outcome = outcome
        self.last: Reading | None = None
        self.looks = 0
        self.unanswered = proof.unanswered


class Prover:
    """Any number of proofs at once, one for each device and verb."""

    def __init__(
        self,
        clock: Clock,
        eyes: Eyes,
        reidentify: Callable[[Device], Awaitable[Identity]],
    ) -> None:
        self._clock = clock
        self._eyes = eyes
        self._reidentify = reidentify
        self._pending: dict[str, dict[str, _Pending]] = {}
        self._due: list[tuple[float, int, _Pending]] = []
        self._numbers = itertools.count()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._room = Admission(LOOKS_AT_ONCE)
        self._doubtful = Admission(LOOKS_AT_ONCE)
        """For those that said nothing, or showed nothing at the last look: they may hang."""

    def __len__(self) -> int:
        return sum(map(len, self._pending.values()))

    async def prove(self, device: Device, verb: str, receipt: Receipt, before: Seen) -> Shown:
        """Wait for the proof of an action that was just ordered; a receipt without one has none."""
        if receipt.expectation is None:
            return Shown(Verdict.NOT_VERIFIED, None)
        now = self._clock.monotonic()
        proof = Proof(receipt, before, now)
        outcome: asyncio.Future[Shown] = self._loop.create_future()
        pending = _Pending(device, proof, now, outcome)
        self.supersede(device.id, verb)
        self._pending.setdefault(device.id, {})[verb] = pending
        self._plan(pending, min(proof.look_at, now + FIRST_LOOK_S))
        try:
            return await outcome
        finally:
            self._forget(device.id, verb, pending)

    def _forget(self, device_id: str, verb: str, pending: _Pending) -> None:
        waiting = self._pending.get(device_id, {})
        if waiting.get(verb) is pending:
            del waiting[verb]
            if not waiting:
                del self._pending[device_id]

    def supersede(self, device_id: str, verb: str) -> None:
        """End the proof that a verb waits for: something else is done to the device."""
        pending = self._pending.get(device_id, {}).get(verb)
        if pending is not None:
            self._settle(pending, Verdict.SUPERSEDED)

    def observe(self, device: Device, reading: Reading, at: float) -> None:
        """Take a reading of a device whose identity is certain, taken `at` (monotonic)."""
        for pending in list(self._pending.get(device.id, {}).values()):
            # Taken, not begun: readings and actions never overlap, a device has one turn.
            if pending.proof.wanted.watched is Watched.READING and at >= pending.acted_at:
                pending.last = reading
                self._judge(pending, reading)

    async def run(self) -> None:
        """Have devices looked at, and end what is not proved in time, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._identify = Lane("reidentify", IDENTIFIERS, self._watch_identity, group)
            self._lookers = Lane("look", LOOKERS, self._watch_readings, group)
            while True:
                if not self._due:
                    self._news.clear()
                    await self._news.wait()
                now = self._clock.monotonic()
                while self._due and self._due[0][0] <= now:
                    self._attend(heapq.heappop(self._due)[2], now)
                await asyncio.sleep(TICK_S)

    def _attend(self, pending: _Pending, now: float) -> None:
        if pending.outcome.done():
            return
        if now >= pending.proof.until:
            self._settle(pending, pending.proof.end())
        elif pending.proof.wanted.watched is Watched.IDENTITY:
            self._identify.put(pending)
        else:
            self._lookers.put(pending)

    def _plan_next(self, pending: _Pending) -> None:
        """Plan the next look, once one is over: a queue of looks must not grow by itself."""
        if pending.outcome.done():
            return
        now = self._clock.monotonic()
        usual_at = pending.proof.look_at if now < pending.proof.look_at else math.inf
        self._plan(pending, min(now + pending.gap_s, usual_at, pending.proof.until))
        pending.gap_s = min(pending.gap_s * GROWTH, LONGEST_GAP_S)

    async def _watch_readings(self, pending: _Pending) -> None:
        if pending.outcome.done():
            return
        # A glance costs half of a look, and many effects show in it. What is kept from before an
        # action can prove nothing that was not so before it; from `look_at` on it might refute.
        first = not pending.looks and self._clock.monotonic() < pending.proof.look_at
        pending.looks += 1
        see = self._eyes.glance if first else self._eyes.look
        silent = pending.unanswered or (not first and pending.last is None)
        room = self._doubtful if silent else self._room
        async with room.place():
            await see(pending.device)
        self._plan_next(pending)

    async def _watch_identity(self, pending: _Pending) -> None:
        if pending.outcome.done():
            return
        try:
            identity = await self._reidentify(pending.device)
        except (DriverError, Preempted) as error:
            log.debug("not identified: %s", error, extra={"device": pending.device.id})
        except Exception:
            log.exception("identifying failed", extra={"device": pending.device.id})
        else:
            if identity.id == pending.device.id:
                self._judge(pending, identity)
        self._plan_next(pending)

    def _judge(self, pending: _Pending, seen: Seen) -> None:
        verdict = pending.proof.see(seen, self._clock.monotonic())
        if verdict is not None:
            self._settle(pending, verdict)

    def _settle(self, pending: _Pending, verdict: Verdict) -> None:
        if not pending.outcome.done():
            pending.outcome.set_result(Shown(verdict, pending.last))

    def _plan(self, pending: _Pending, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), pending))
        self._news.set()
