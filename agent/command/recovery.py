"""Has devices put right that an earlier run, or an action that broke off, left half changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from agent.command import foreseen, shown
from agent.command.dispatcher import Dispatcher
from agent.command.orders import Job, Order
from agent.command.params import Params
from agent.command.verb import SETTING_S, Load, Verb
from agent.fleet.events import Event
from agent.fleet.inventory import Device, Inventory
from drivers.actions import Answer, Receipt
from drivers.api import Clock
from drivers.capabilities import Recovers
from drivers.errors import Unsupported

log = logging.getLogger("stoker.recovery")

ROUND_S = 1.0
RETRY_S = 60.0
WHO = "stoker"


async def _recover(driver: object, _params: Params) -> Receipt:
    if not isinstance(driver, Recovers):
        raise Unsupported(None, "this driver does not know how to finish what was begun")
    return await driver.recover() or Receipt(
        answer=Answer.ACCEPTED, words="nothing was left undone"
    )


RECOVER = Verb(
    name="action.recover",
    action="recover",
    call=_recover,
    load=lambda _params, _reading: Load.KEEPS,
    shown=shown.never,
    settles_s=None,
    foreseen=foreseen.unknown,
    expiry_s=SETTING_S,
)


class Recovery:
    """Finds devices with a note of something unfinished, and has their drivers end it."""

    def __init__(
        self,
        *,
        left: Iterable[str],
        unfinished: Callable[[str], bool],
        inventory: Inventory,
        dispatcher: Dispatcher,
        clock: Clock,
        tell: Callable[[Event], None],
    ) -> None:
        self._unfinished = unfinished
        self._inventory = inventory
        self._dispatcher = dispatcher
        self._clock = clock
        self._tell = tell
        self._due: dict[str, float] = {}
        for device_id in left:
            self._report(device_id, "action.unfinished", "an earlier run was killed in mid-change")
            self._due[device_id] = 0.0

    def __contains__(self, device_id: object) -> bool:
        """True for a device that has to be put right before anything else is done to it."""
        return device_id in self._due

    def check(self, device_id: str) -> None:
        """Look whether an action that has just ended left something undone."""
        if device_id not in self._due and self._unfinished(device_id):
            self._report(device_id, "action.unfinished", "a change broke off half done")
            self._due[device_id] = self._clock.monotonic()

    async def run(self) -> None:
        """Put right whoever answers, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = self._clock.monotonic()
                for device_id in [each for each, at in self._due.items() if at <= now]:
                    device = self._inventory.by_id(device_id)
                    if device is not None and device.last is not None:
                        self._due[device_id] = now + RETRY_S
                        group.create_task(self._put_right(device), name=f"recover-{device_id}")
                await asyncio.sleep(ROUND_S)

    async def _put_right(self, device: Device) -> None:
        order = Order(id=WHO, verb=RECOVER, params=Params(), who=WHO, target=device.id)
        job: Job = self._dispatcher.submit(order, [device])
        async for result in job.follow():
            if self._unfinished(device.id):
                log.warning(
                    "not put right yet: %s: %s",
                    result.verdict,
                    result.words,
                    extra={"device": device.id},
                )
                continue
            self._due.pop(device.id, None)
            seen = "" if result.verdict.good else " (not yet seen in a reading)"
            self._report(device.id, "action.recovered", f"{result.words}{seen}")

    def _report(self, device_id: str, name: str, message: str) -> None:
        log.warning("%s: %s", name, message, extra={"device": device_id})
        self._tell(
            Event(
                name=name,
                at=datetime.fromtimestamp(self._clock.now(), UTC),
                message=message,
                device_id=device_id,
            )
        )
