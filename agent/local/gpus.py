"""What the agent last saw of its host's GPUs, for a person on this host. Asks no GPU anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec

from agent.fleet.inventory import Device, Inventory
from agent.local.gpu_views import GONE, GpuView, GpuViews, in_order
from drivers.api import Clock
from drivers.api_gpu import HasFacts
from drivers.model import Kind
from drivers.model_gpu import GpuFacts, GpuReading

SOURCE = "the agent"


class GpuShow:
    """Answers `gpus` requests."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self._inventory = inventory
        self._clock = clock

    async def show(self) -> AsyncIterator[bytes]:
        """All of them, as JSON."""
        yield msgspec.json.encode(self.views())

    def views(self) -> GpuViews:
        """All of them, those included that are gone."""
        found = (device for device in self._inventory if device.identity.kind is Kind.GPU)
        return GpuViews(
            at=datetime.fromtimestamp(self._clock.now(), UTC),
            source=SOURCE,
            gpus=in_order(tuple(map(view, found))),
        )


def view(device: Device) -> GpuView:
    """One of them."""
    faults = device.last.faults if device.last else ()
    return GpuView(
        identity=device.identity,
        address=device.address,
        facts=facts(device),
        reading=device.last if isinstance(device.last, GpuReading) else None,
        slot=device.location.slot,
        gone=any(fault.code in GONE for fault in faults),
    )


def facts(device: Device) -> GpuFacts | None:
    """What its driver knows of a GPU beside readings; None for all that are no GPU."""
    return device.driver.facts if isinstance(device.driver, HasFacts) else None
