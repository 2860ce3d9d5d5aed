"""A GPU as a device like the others: read through `stoker-gpu`, whose socket all of them share."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from drivers.api import Clock
from drivers.errors import DriverError
from drivers.gpu.answers import DriverFacts, GpuFound, Inventoried
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import GpuUnknown
from drivers.gpu.orders import GpuOrders
from drivers.gpu.protocol import Tier
from drivers.gpu.reading import GpuState, assemble
from drivers.model import Fingerprint, Identity, Kind, Sample
from drivers.model_gpu import GpuFacts

MEDIUM_S, SLOW_S = 15.0, 60.0
INVENTORY_S = 30.0
"""For how long one inventory serves the GPUs that ask for one; shorter where one is sick."""
SICK_INVENTORY_S = 5.0


class GpuHost:
    """The GPUs behind one `stoker-gpu`."""

    def __init__(
        self, client: GpuClient, clock: Clock, *, medium_s: float = MEDIUM_S, slow_s: float = SLOW_S
    ) -> None:
        self._client = client
        self._clock = clock
        self.paces = {Tier.MEDIUM: medium_s, Tier.SLOW: slow_s}
        """How old values of these paces may be before they are read again."""
        self._inventory: Inventoried | None = None
        self._asked_at_s = 0.0
        self._one = asyncio.Lock()

    async def gpus(self) -> list[Gpu]:
        """A driver for each GPU that was ever seen, those among them that are gone."""
        found = await self.inventory()
        return [Gpu(self, self._client, self._clock, each.uuid) for each in found.gpus]

    async def inventory(self, *, fresh: bool = False) -> Inventoried:
        """What is there; one answer serves all who ask within a while."""
        async with self._one:
            now_s = self._clock.monotonic()
            if fresh or self._inventory is None or now_s - self._asked_at_s > INVENTORY_S:
                self._inventory = await self._client.inventory()
                self._asked_at_s = now_s
            return self._inventory

    async def find(self, uuid: str) -> tuple[Inventoried, GpuFound]:
        """One GPU; raises `GpuUnknown` or what is wrong with it."""
        inventory = await self.inventory()
        found = next((each for each in inventory.gpus if each.uuid == uuid), None)
        if found is None:
            raise GpuUnknown(f"{uuid}: there never was such a GPU here")
        if found.problem is not None:
            # asked again soon, and not by each of eight GPUs that are gone
            again_s = self._clock.monotonic() - INVENTORY_S + SICK_INVENTORY_S
            self._asked_at_s = min(self._asked_at_s, again_s)
            raise found.problem.error()
        return inventory, found


class Gpu(GpuOrders):
    """One GPU, known by its UUID: its number changes when another one falls off the bus."""

    def __init__(self, host: GpuHost, client: GpuClient, clock: Clock, uuid: str) -> None:
        self._host = host
        self._client = client
        self._clock = clock
        self.uuid = uuid
        self._due_s: dict[Tier, float] = {}
        self._state = GpuState(device_id=self.device_id)

    @property
    def device_id(self) -> str:
        """Its id, which no driver and no slot changes."""
        return f"gpu-{self.uuid.removeprefix('GPU-').lower()}"

    @property
    def facts(self) -> GpuFacts | None:
        """What it is and can, as `identify` found it."""
        return self._state.facts

    async def identify(self) -> Identity:
        """Who it is. The firmware is its VBIOS."""
        inventory, found = await self._host.find(self.uuid)
        return self.shown_as(found, inventory.driver)

    def shown_as(self, found: GpuFound, driver: DriverFacts) -> Identity:
        """Who it is by what an inventory says; what was known stays where that says nothing."""
        if found.facts is not None:
            self._state.facts = msgspec.structs.replace(
                found.facts,
                driver_version=driver.driver_version,
                library_version=driver.nvml_version,
                cuda_version=driver.cuda_version,
            )
        facts = self.facts
        return Identity(
            id=self.device_id,
            kind=Kind.GPU,
            make="NVIDIA",
            model=facts.name if facts else None,
            firmware="VBIOS" if facts and facts.vbios else None,
            firmware_version=facts.vbios if facts else None,
            serial=facts.serial if facts else None,
        )

    async def read(self) -> Sample:
        """Read what is due; the rest stands as it was read last."""
        if self.facts is None:
            await self.identify()
        now_s = self._clock.monotonic()
        paces = self._host.paces
        due = [Tier.FAST, *(tier for tier in paces if now_s >= self._due_s.get(tier, 0.0))]
        scanned = await self._client.scan(tuple(due), (self.uuid,))
        scan = scanned.gpus[0]
        if scan.problem is not None:
            raise scan.problem.error()
        self._state.take(scan, due)
        self._due_s.update({tier: now_s + paces[tier] for tier in due if tier in paces})
        return Sample(assemble(self._state), Fingerprint(traits=(self.uuid,)))

    async def close(self) -> None:
        """Nothing is held for it."""

    def refresh(self) -> None:
        """Read everything anew at the next time."""
        self._due_s.clear()

    async def examine(self) -> None:
        """Find out anew what it is and can; raises nothing."""
        with suppress(DriverError):
            await self._host.inventory(fresh=True)
            await self.identify()
