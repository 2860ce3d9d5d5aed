"""Keeps devices ready to be shed: tokens that take a while to get are there beforehand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.fleet.inventory import Device, Inventory
from agent.fleet.lane import Lane
from agent.fleet.pacer import Pacer
from agent.fleet.turn import Preempted
from drivers.api import Clock, Driver
from drivers.capabilities import KeepsReady
from drivers.errors import DriverError

log = logging.getLogger("stoker.keeper")

WORKERS = 16
PER_SECOND = 100.0
ROUND_S = 5.0
RETRY_S = 300.0


class Keeper:
    """Asks drivers to keep ready what an order to shed would otherwise have to wait for."""

    def __init__(
        self, inventory: Inventory, clock: Clock, may_shed: Callable[[Device], bool]
    ) -> None:
        self._inventory = inventory
        self._clock = clock
        self._may_shed = may_shed
        self._pacer = Pacer(PER_SECOND, clock)
        self._due: dict[str, tuple[Driver, float]] = {}
        """By address: which driver is ready, and when it has to be asked again."""
        self._keeps: dict[type, bool] = {}

    async def run(self) -> None:
        """Go round until cancelled."""
        async with asyncio.TaskGroup() as group:
            lane = Lane("keep-ready", WORKERS, self._renew, group)
            while True:
                now = self._clock.monotonic()
                for device in list(self._inventory):
                    if self._is_due(device, now):
                        self._due[device.address] = device.driver, now + RETRY_S
                        lane.put(device)
                await asyncio.sleep(ROUND_S)

    def _is_due(self, device: Device, now: float) -> bool:
        driver, kind = device.driver, type(device.driver)
        keeps = self._keeps.get(kind)
        if keeps is None:  # once for each class: there are 30,000 devices
            keeps = self._keeps[kind] = isinstance(driver, KeepsReady)
        if not keeps or device.last is None:
            return False
        known, again_at = self._due.get(device.address, (None, 0.0))
        return (known is not driver or now >= again_at) and self._may_shed(device)

    async def _renew(self, device: Device) -> None:
        await self._pacer.turn()
        driver = device.driver
        if not isinstance(driver, KeepsReady):
            return
        try:
            async with device.turn:
                again_s = await driver.keep_ready()
        except Preempted:
            self._due[device.address] = driver, self._clock.monotonic() + ROUND_S
        except DriverError as error:
            log.debug("not kept ready: %s", error, extra={"device": device.id})
        except Exception:
            log.exception("keeping ready failed", extra={"device": device.id})
        else:
            self._due[device.address] = driver, self._clock.monotonic() + again_s
