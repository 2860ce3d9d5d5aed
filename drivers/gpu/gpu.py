"""A GPU as a device like the others: read through `stoker-gpu`, whose socket all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Clock
from drivers.errors import Refused
from drivers.gpu import wants
from drivers.gpu.answers import DriverFacts, GpuFound, Inventoried, WasSet
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import GpuUnknown
from drivers.gpu.protocol import Tier
from drivers.gpu.reading import GpuState, assemble
from drivers.model import Fingerprint, Identity, Kind, Sample
from drivers.model_gpu import GpuFacts

MEDIUM_S, SLOW_S = 15.0, 60.0
INVENTORY_S = 30.0
"""For how long one inventory serves the GPUs that ask for one; shorter where one is sick."""
SICK_INVENTORY_S = 5.0
_LIMIT_SLACK_W = 1.0
_SEEN_UNTIL_S = 60.0


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


class Gpu:
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

    # --- what can be done to it --------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What this GPU can do; with its facts unknown, nothing."""
        facts = self.facts
        if facts is None:
            return {}
        able = {
            "limit_power": facts.power_limit_max_w is not None,
            "lock_clocks": facts.sm_clock_max_mhz is not None,
            "set_persistence": True,
            "set_compute_mode": True,
            "set_ecc": True,
            "set_fan_duty": bool(facts.fans),
            "set_mig": facts.mig_profiles is not None,
            "reset_gpu": True,
        }
        return {name: _LATENCY.get(name, Latency.SECONDS) for name, can in able.items() if can}

    async def limit_power(self, limit_w: float) -> Receipt:
        """Hold it at or below a power; lost when the driver is reloaded."""
        return await self._set(
            wants.PowerLimit(limit_w),
            (
                Check("power_limit_w", Relation.AT_LEAST, limit_w - _LIMIT_SLACK_W),
                Check("power_limit_w", Relation.AT_MOST, limit_w + _LIMIT_SLACK_W),
            ),
        )

    async def lock_clocks(self, min_mhz: int | None, max_mhz: int | None) -> Receipt:
        """Hold the clock of its processors between two values; None for both lets it go."""
        setting = wants.LockedClocks(min_mhz, max_mhz)
        checks = () if max_mhz is None else (Check("sm_clock_mhz", Relation.AT_MOST, max_mhz),)
        return await self._set(setting, checks)

    async def set_persistence(self, *, on: bool) -> Receipt:
        """Keep the driver's state of it, limits among it, while nobody uses it."""
        return await self._set(wants.Persistence(on), (Check("persistence", Relation.EQUALS, on),))

    async def set_compute_mode(self, mode: str) -> Receipt:
        """Who may use it: `default`, `exclusive_process`, `prohibited`."""
        setting = _MODES.get(mode)
        if setting is None:
            raise Refused(None, f"there is no compute mode {mode}; there are {', '.join(_MODES)}")
        return await self._set(setting, (Check("compute_mode", Relation.EQUALS, mode),))

    async def set_ecc(self, *, on: bool) -> Receipt:
        """Error correction, from the next reset on."""
        return await self._set(wants.Ecc(on), (Check("ecc_pending", Relation.EQUALS, on),))

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Run its fans at a fixed duty, whatever the heat; None hands them back."""
        return await self._set(wants.FanDuty(percent), ())

    async def set_mig(self, profiles: tuple[str, ...] | None) -> Receipt:
        """Cut it into these instances; None makes it whole."""
        if profiles is None:
            await self._client.set(self.uuid, wants.MigLayout(()))
        mode = Check("mig_enabled", Relation.EQUALS, profiles is not None)
        receipt = await self._set(wants.MigMode(profiles is not None), (mode,))
        if profiles is None:
            return receipt
        return await self._set(wants.MigLayout(profiles), (mode,))

    async def reset_gpu(self) -> Receipt:
        """Reset it. Nobody may use it; all GPUs of this host are let go meanwhile."""
        done = await self._client.reset(self.uuid)
        self.refresh()
        check = Check("recovery_action", Relation.EQUALS, "none")
        return _receipt(done.words or "it was reset", (check,), 2 * _SEEN_UNTIL_S)

    async def _set(self, setting: wants.Setting, checks: tuple[Check, ...]) -> Receipt:
        done: WasSet = await self._client.set(self.uuid, setting)
        self.refresh()
        return _receipt(done.words, checks)


def _receipt(words: str, checks: tuple[Check, ...], until_s: float = _SEEN_UNTIL_S) -> Receipt:
    if not checks:
        return Receipt(answer=Answer.ACCEPTED, words=words)
    seen = Expectation(any_of=(checks,), look_after_s=0.0, until_s=until_s)
    return Receipt(answer=Answer.ACCEPTED, words=words, expectation=seen)


_MODES = {
    "default": wants.ComputeMode("default"),
    "exclusive_process": wants.ComputeMode("exclusive_process"),
    "prohibited": wants.ComputeMode("prohibited"),
}
_LATENCY = {"reset_gpu": Latency.MINUTE, "set_mig": Latency.MINUTE}
