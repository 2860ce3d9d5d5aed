"""Carries one order to one device: the reading before, the order itself, its repeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from agent.command.effects import Verdict
from agent.command.orders import Held, Order
from agent.command.verb import Load
from agent.fleet.inventory import Device
from agent.fleet.poller import Poller
from agent.fleet.turn import Rank
from drivers.actions import Answer, Receipt
from drivers.api import Clock
from drivers.errors import (
    DriverError,
    DriverFault,
    IdentityMismatch,
    NoResources,
    Refused,
    Unreachable,
)
from drivers.model import MinerReading, Reading, State

log = logging.getLogger("stoker.actor")

LONGEST_S = 180.0
"""No driver's order takes longer: each has deadlines of its own, this one is for what they miss."""
PAUSES_S = (0.5, 2.0)
"""Before an order that could not be sent is sent once more."""
CONFIRMING_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How long a machine is waited for whose identity is being confirmed, look by look."""


class Sent(NamedTuple):
    """What came of sending an order."""

    receipt: Receipt | None
    """None where the order did not reach the device."""
    words: str
    before: Reading
    held: Held | None = None
    """It was held back, or refused by the driver, and not sent."""
    again: bool = False
    """Whether another try may reach the device."""


LastWord = Callable[[], Awaitable[Held | None]]
"""Asked in the device's turn, when nothing can come in between any more: why an order is not sent
after all, None where it is."""


class Actor:
    """Speaks to devices for the dispatcher."""

    def __init__(self, poller: Poller, clock: Clock) -> None:
        self._poller = poller
        self._clock = clock

    async def meet(self, device: Device) -> None:
        """Read a device that was not read since the agent started: only then it is known what it
        can do. Raises nothing; it may not answer.
        """  # noqa: D205
        await self._poller.look(device)

    async def send(self, device: Device, order: Order, load: Load, last_word: LastWord) -> Sent:
        """Send an order in the device's turn; an order that sheds takes it from a reading.

        An order that could not be sent is sent again where that is harmless: out of turn in
        between, so that something urgent can overtake it.
        """
        pauses_s = iter(PAUSES_S if order.verb.repeatable else ())
        while True:
            sent = await self._send_once(device, order, load, last_word)
            pause_s = next(pauses_s, None)
            if not sent.again or pause_s is None:
                return sent
            await asyncio.sleep(pause_s)

    async def _send_once(
        self, device: Device, order: Order, load: Load, last_word: LastWord
    ) -> Sent:
        if load is Load.SHEDS:
            async with device.turn.action(Rank.URGENT):
                return await self._call(device, order, self._last(device), last_word)
        for wait_s in CONFIRMING_S:
            async with device.turn.action(Rank.ACTION):
                try:
                    before = await self._before(device)
                except IdentityMismatch as error:
                    problem: DriverError = error
                except DriverError as error:
                    return _not_sent(error, self._last(device))
                else:
                    return await self._call(device, order, before, last_word)
            await asyncio.sleep(wait_s)  # out of turn: whoever confirms it has to speak to it
        return Sent(None, str(problem), self._last(device))

    async def _before(self, device: Device) -> Reading:
        """The reading that the effect is compared with.

        Raises where the device is not there, or may be another one.
        """
        try:
            return await self._poller.read_before(device)
        except (IdentityMismatch, Unreachable, NoResources):
            raise
        except DriverError as error:  # it may act all the same
            log.debug("not read before: %s", error, extra={"device": device.id})
            return self._last(device)

    def _last(self, device: Device) -> Reading:
        """What it showed last; shedding is content with that. Else a reading that shows nothing."""
        return device.last or MinerReading(
            device_id=device.id,
            kind=device.identity.kind,
            taken_at=datetime.fromtimestamp(self._clock.now(), UTC),
            state=State.UNKNOWN,
        )

    async def _call(
        self, device: Device, order: Order, before: Reading, last_word: LastWord
    ) -> Sent:
        held = await last_word()
        if held is not None:
            return Sent(None, held.words, before, held)
        device.acted_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(LONGEST_S):
                receipt = await order.verb.call(device.driver, order.params)
        except Refused as error:
            return Sent(None, str(error), before, Held(Verdict.REFUSED, str(error)))
        except DriverError as error:
            return _not_sent(error, before)
        except TimeoutError:
            return _unheard(before, f"no end within {LONGEST_S:g} s")
        except Exception:
            log.exception("an order failed unexpectedly", extra={"device": device.id})
            return _unheard(before, f"{DriverFault.__name__}: see the log")
        return Sent(receipt, receipt.words, before)


def _not_sent(error: DriverError, before: Reading) -> Sent:
    words = f"{type(error).__name__}: {error}"
    return Sent(None, words, before, again=error.transient)


def _unheard(before: Reading, words: str) -> Sent:
    """An order of which nobody knows how far it got."""
    return Sent(Receipt(answer=Answer.UNANSWERED, words=words), words, before)
