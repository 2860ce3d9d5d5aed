"""A GPU in memory that does what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Clock
from drivers.mock import Script
from drivers.model import Fan, Fingerprint, Identity, Kind, PowerSource, Sample, State
from drivers.model_gpu import GpuReading, MigInstance

_ACTIONS = (
    *("limit_power", "lock_clocks", "free_clocks", "lock_memory_clocks", "free_memory_clocks"),
    *("set_persistence", "set_compute_mode", "set_ecc", "set_mig_mode", "set_mig_layout"),
    *("reset_gpu", "override_fans"),
)
_DEFAULT_W = 700.0


class MockGpu:
    """A GPU of 700 W under load. Accepted actions show at once, save with `lazy = True`: never."""

    latencies: dict[str, Latency] = dict.fromkeys(_ACTIONS, Latency.SECONDS)

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.identity = identity
        self.script = Script()
        self.lazy = False
        self._clock = clock
        self.now = GpuReading(
            device_id=identity.id,
            kind=Kind.GPU,
            taken_at=datetime.fromtimestamp(clock.now(), UTC),
            state=State.OK,
            power_w=650.0,
            power_source=PowerSource.REPORTED,
            power_limit_w=_DEFAULT_W,
            power_limit_enforced_w=_DEFAULT_W,
            power_limit_default_w=_DEFAULT_W,
            sm_clock_mhz=1980,
            memory_clock_mhz=2619,
            energy_restarts=0,
            persistence=True,
            compute_mode="default",
            ecc_enabled=True,
            ecc_pending=True,
            mig_enabled=False,
            mig_pending=False,
            mig_instances=(),
        )

    def show(self, **values: Any) -> None:
        """Change values of the next readings."""
        self.now = msgspec.structs.replace(self.now, **values)

    def forget(self) -> None:
        """What a reload of the driver does to what was set."""
        self.show(
            energy_restarts=(self.now.energy_restarts or 0) + 1,
            power_limit_w=_DEFAULT_W,
            sm_clock_mhz=1980,
            persistence=False,
            compute_mode="default",
        )

    async def identify(self) -> Identity:
        """The identity, or what the script says."""
        await self.script.called("identify")
        return self.identity

    async def read(self) -> Sample:
        """What it shows now, or what the script says."""
        await self.script.called("read")
        self.show(taken_at=datetime.fromtimestamp(self._clock.now(), UTC))
        return Sample(self.now, Fingerprint(traits=(self.identity.id,)))

    async def close(self) -> None:
        """Nothing is held."""

    # --- what can be done to it --------------------------------------------------------------

    async def limit_power(self, limit_w: float) -> Receipt:
        """Show this limit."""
        return await self._shows("limit_power", (limit_w,), power_limit_w=limit_w)

    async def lock_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Run at the upper end."""
        return await self._shows("lock_clocks", (min_mhz, max_mhz), sm_clock_mhz=max_mhz)

    async def free_clocks(self) -> Receipt:
        """Run as before."""
        return await self._act("free_clocks", (), lambda: self.show(sm_clock_mhz=1980))

    async def lock_memory_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Run at the upper end."""
        arguments = (min_mhz, max_mhz)
        return await self._shows("lock_memory_clocks", arguments, memory_clock_mhz=max_mhz)

    async def free_memory_clocks(self) -> Receipt:
        """Run as before."""
        return await self._act("free_memory_clocks", (), lambda: self.show(memory_clock_mhz=2619))

    async def set_persistence(self, *, on: bool) -> Receipt:
        """Show it."""
        return await self._shows("set_persistence", (on,), persistence=on)

    async def set_compute_mode(self, mode: str) -> Receipt:
        """Show it."""
        return await self._shows("set_compute_mode", (mode,), compute_mode=mode)

    async def set_ecc(self, *, on: bool) -> Receipt:
        """Show it as pending."""
        return await self._shows("set_ecc", (on,), ecc_pending=on)

    async def set_mig_mode(self, *, on: bool) -> Receipt:
        """Be so at once."""
        effect = lambda: self.show(mig_enabled=on, mig_instances=())  # noqa: E731
        return await self._shows("set_mig_mode", (on,), effect, mig_pending=on)

    async def set_mig_layout(self, profiles: Sequence[str]) -> Receipt:
        """Show these instances."""
        cuts = tuple(
            MigInstance(uuid=f"MIG-{number}", gpu_instance=number, profile=profile)
            for number, profile in enumerate(profiles)
        )
        wanted = Check("mig_layout", Relation.EQUALS, tuple(sorted(profiles)))
        return await self._act(
            "set_mig_layout", (tuple(profiles),), lambda: self.show(mig_instances=cuts), wanted
        )

    async def reset_gpu(self) -> Receipt:
        """Lose what was set."""
        return await self._act("reset_gpu", (), self.forget)

    async def override_fans(self, percent: float | None) -> Receipt:
        """Show this duty."""
        fans = None if percent is None else (Fan(0, duty_percent=percent),)
        return await self._act("override_fans", (percent,), lambda: self.show(fans=fans))

    async def _shows(
        self,
        method: str,
        arguments: tuple[Any, ...],
        effect: Callable[[], None] = lambda: None,
        **values: Any,
    ) -> Receipt:
        def act() -> None:
            effect()
            self.show(**values)

        checks = (Check(name, Relation.EQUALS, value) for name, value in values.items())
        return await self._act(method, arguments, act, *checks)

    async def _act(
        self, method: str, arguments: tuple[Any, ...], effect: Callable[[], None], *checks: Check
    ) -> Receipt:
        await self.script.called(method, *arguments)
        answer, words = self.script.answer(method)
        if answer is Answer.REFUSED:
            return Receipt(answer=answer, words=words)
        if not self.lazy:
            effect()
        seen = Expectation(any_of=(checks,), look_after_s=0.0, until_s=60.0) if checks else None
        return Receipt(answer=answer, words=words, expectation=seen)


def mock_gpu_identity(number: int = 1) -> Identity:
    """A plausible identity for each number."""
    return Identity(
        id=f"gpu-00000000-0000-0000-0000-{number:012x}", kind=Kind.GPU, make="Mock", model="G1"
    )
