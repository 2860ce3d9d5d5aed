"""Looks at devices that may have been sent an order just before the agent ended. Sends nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from agent.command.admission import Admission
from agent.command.effects import Verdict
from agent.command.orders import Result, evidence
from agent.command.prover import Eyes
from agent.command.verb import Verb
from agent.fleet.inventory import Device
from drivers.api import Clock

LOOKS_AT_ONCE = 32
"""After a crash in the middle of a site there are thousands, and polls go on beside them."""
FIRST_GAP_S = 2.0
LONGEST_GAP_S = 30.0
GROWTH = 2.0
SILENCE_S = 60.0
"""So long a device may stay silent after the start, even where the time of its order is over."""
SEEN = "seen after a restart of the agent; what the device answered nobody knows"
LOST = "the agent ended when it may just have been sent"


class ReadBack:
    """Any number of devices at once."""

    def __init__(self, eyes: Eyes, clock: Clock) -> None:
        self._eyes = eyes
        self._clock = clock
        self._room = Admission(LOOKS_AT_ONCE)

    async def settle(self, device: Device, verb: Verb, params: Any, marked_at: float) -> Result:
        """What came of an order that was marked as being sent, in seconds since the epoch.

        Waits for a reading that shows the state ordered, for as long as its effect may take.
        """
        if verb.settles_s is None:
            return _result(device, verb, Verdict.INTERRUPTED, f"{LOST}; no reading can show it")
        case = _Case(device, verb, params, marked_at, self._clock)
        gap_s = FIRST_GAP_S
        while (result := case.judge()) is None:
            async with self._room.place():
                await self._eyes.look(device)
            if (result := case.judge()) is not None:
                break
            await asyncio.sleep(gap_s)  # a poll may show it meanwhile
            gap_s = min(gap_s * GROWTH, LONGEST_GAP_S)
        return result


class _Case:
    """One device, and until when it is looked at."""

    def __init__(
        self, device: Device, verb: Verb, params: Any, marked_at: float, clock: Clock
    ) -> None:
        settles_s = verb.settles_s or 0.0
        self._device = device
        self._verb = verb
        self._params = params
        self._clock = clock
        self._marked_at = datetime.fromtimestamp(marked_at, UTC)
        self._began_at = datetime.fromtimestamp(clock.now(), UTC)
        left_s = marked_at + settles_s - clock.now()
        self._over_at = clock.monotonic() + min(left_s, settles_s)
        self._give_up_at = max(self._over_at, clock.monotonic() + SILENCE_S)

    def judge(self) -> Result | None:
        """By what the device showed last; None where another look is worth its cost."""
        told = self._told()
        if told:
            return self._result(Verdict.VERIFIED_UNANSWERED, SEEN)
        reading, now = self._device.last, self._clock.monotonic()
        fresh = reading is not None and reading.taken_at >= self._began_at
        if now < (self._over_at if fresh else self._give_up_at):
            return None
        why = "its readings show another state" if told is False else "its readings do not show it"
        if not fresh:
            why = "it has not answered since"
        return self._result(Verdict.INTERRUPTED, f"{LOST}; {why}")

    def _told(self) -> bool | None:
        reading = self._device.last
        if reading is None or reading.taken_at <= self._marked_at:
            return None
        since_s = (reading.taken_at - self._marked_at).total_seconds()
        return self._verb.shown(self._params, reading, since_s)

    def _result(self, verdict: Verdict, words: str) -> Result:
        return _result(self._device, self._verb, verdict, words)


def _result(device: Device, verb: Verb, verdict: Verdict, words: str) -> Result:
    return Result(
        device_id=device.id,
        address=device.address,
        verdict=verdict,
        words=words,
        after=evidence(device.last, verb.aspect),
    )
