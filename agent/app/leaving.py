"""The last two seconds of an agent: what is here is delivered, what was borrowed given back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from agent.fleet.inventory import Device
from agent.mqtt.session import Session
from agent.telemetry.outbox import Outbox
from agent.telemetry.publisher import Publisher

log = logging.getLogger("stoker")

DRAIN_S = 2.0
"""How long a stopping agent waits for the broker to take what is still here."""


async def deliver(publisher: Publisher, outbox: Outbox, session: Session) -> None:
    """Wait until the broker has what is here, or for as long as a stop may take."""
    publisher.pump_soon()
    try:
        async with asyncio.timeout(DRAIN_S):
            while session.connected and (len(outbox) or outbox.under_way):
                await publisher.progress()
    except TimeoutError:
        log.warning("stopped with %d statements undelivered", len(outbox))


async def give_back(devices: Iterable[Device]) -> None:
    """Give back the sessions that drivers hold at their devices, as far as time allows."""
    try:
        async with asyncio.timeout(DRAIN_S):
            await asyncio.gather(*(device.driver.close() for device in devices))
    except TimeoutError:
        log.warning("stopped with sessions still open at some devices")
