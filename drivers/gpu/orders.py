"""What can be ordered of a GPU: held against what it is and does, sent, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from drivers.actions import Answer, Expectation, Latency, Receipt
from drivers.api import Clock
from drivers.errors import DeviceTimeout, DriverError, OutOfRange, Refused, Unreachable
from drivers.gpu import effects, wants
from drivers.gpu.answers import WasSet
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause, InUse, Restarting
from drivers.gpu.protocol import Tier
from drivers.gpu.reading import GpuState, assemble
from drivers.model_gpu import GpuFacts, GpuReading

BEGUN_S = 1.0
"""A call that hangs is given up after ten seconds. What fails sooner than this was not begun: the
GPU hangs already, or its turn did not come."""
SHOWN = 8
"""Processes that are named where some are in the way."""
_FOR_GOOD = (Cause.NOT_SUPPORTED, Cause.OLD_DRIVER)
_SLOWLY = ("set_mig_mode", "set_mig_layout", "reset_gpu")
_MODES = {
    "default": wants.ComputeMode("default"),
    "exclusive_process": wants.ComputeMode("exclusive_process"),
    "prohibited": wants.ComputeMode("prohibited"),
}


class GpuOrders:
    """The part of a GPU's driver that acts. The driver itself gives what it stands on."""

    uuid: str
    _client: GpuClient
    _clock: Clock
    _state: GpuState

    def refresh(self) -> None:
        """Read everything anew at the next time."""
        raise NotImplementedError

    async def examine(self) -> None:
        """Find out anew what it is and can; raises nothing."""
        raise NotImplementedError

    # --- what it can do ----------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What this GPU can do; with its facts unknown, nothing."""
        facts = self._state.facts
        if facts is None:
            return {}
        return {
            name: Latency.MINUTE if name in _SLOWLY else Latency.SECONDS
            for name, can in self._able(facts).items()
            if can
        }

    def _able(self, facts: GpuFacts) -> dict[str, bool]:
        clocks, memory = facts.sm_clock_max_mhz is not None, facts.memory_clock_max_mhz is not None
        return {
            "limit_power": facts.power_limit_max_w is not None,
            "lock_clocks": clocks,
            "free_clocks": clocks,
            "lock_memory_clocks": memory,
            "free_memory_clocks": memory,
            "set_persistence": self._has("persistence"),
            "set_compute_mode": self._has("compute_mode"),
            "set_ecc": self._has("ecc_pending"),
            "set_mig_mode": self._has("mig_pending"),
            "set_mig_layout": self._has("mig_pending"),
            "reset_gpu": True,
            "override_fans": bool(facts.fans),
        }

    def _has(self, name: str) -> bool:
        """Whether it may show this value: it has not said that it never will."""
        return self._state.absent.get(name) not in _FOR_GOOD

    # --- settings ----------------------------------------------------------------------------

    async def limit_power(self, limit_w: float) -> Receipt:
        """Hold it at or below a power; lost when the driver is reloaded."""
        return await self._set(wants.PowerLimit(limit_w), effects.limited(limit_w))

    async def lock_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Hold the clock of its processors between two values."""
        wanted = effects.clock_held("sm_clock_mhz", min_mhz, max_mhz)
        return await self._set(wants.LockedClocks(min_mhz, max_mhz), wanted)

    async def free_clocks(self) -> Receipt:
        """Let it follow the load again; no reading shows that."""
        return await self._set(wants.LockedClocks(None, None), None)

    async def lock_memory_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Hold the clock of its memory between two values."""
        wanted = effects.clock_held("memory_clock_mhz", min_mhz, max_mhz)
        return await self._set(wants.LockedMemoryClocks(min_mhz, max_mhz), wanted)

    async def free_memory_clocks(self) -> Receipt:
        """Let it follow the load again; no reading shows that."""
        return await self._set(wants.LockedMemoryClocks(None, None), None)

    async def set_persistence(self, *, on: bool) -> Receipt:
        """Keep the driver's state of it, limits among it, while nobody uses it."""
        return await self._set(wants.Persistence(on), effects.shows("persistence", on))

    async def set_compute_mode(self, mode: str) -> Receipt:
        """Who may use it."""
        setting = _MODES.get(mode)
        if setting is None:
            raise OutOfRange(f"compute mode {mode}", ", ".join(_MODES))
        return await self._set(setting, effects.shows("compute_mode", mode))

    async def set_ecc(self, *, on: bool) -> Receipt:
        """Error correction, from the next reset on."""
        return await self._set(wants.Ecc(on), effects.shows("ecc_pending", on))

    async def override_fans(self, percent: float | None) -> Receipt:
        """Run its fans at a fixed duty, whatever the heat; None hands them back."""
        return await self._set(wants.FanDuty(percent), effects.fans_at(percent))

    # --- instances ---------------------------------------------------------------------------

    async def set_mig_mode(self, *, on: bool) -> Receipt:
        """Have it cut into instances, or whole; what was cut is gone then."""
        now = await self._look()
        self._unheld(now, "its mode can be changed")
        former = _cut(now)
        if former and not on:
            await self._send(wants.MigLayout(()))
        try:
            return await self._set(wants.MigMode(on), effects.shows("mig_pending", on))
        except InUse as error:
            # the driver keeps the mode for the next reset all the same, which nobody expects
            undone = await self._put_back(wants.MigMode(not on), *former)
            return Receipt(answer=Answer.REFUSED, words=f"{error}{undone}")
        finally:
            await self.examine()

    async def set_mig_layout(self, profiles: Sequence[str]) -> Receipt:
        """Cut it into these; where that breaks off, what was there is put back."""
        now = await self._look()
        self._fits(profiles, now)
        try:
            return await self._set(wants.MigLayout(tuple(profiles)), effects.cut_into(profiles))
        except Refused as error:
            if (await self._look()).mig_layout == now.mig_layout:
                raise
            undone = await self._put_back(*_cut(now))
            return Receipt(answer=Answer.REFUSED, words=f"{error}{undone}")

    def _fits(self, profiles: Sequence[str], now: GpuReading) -> None:
        if not now.mig_enabled:
            raise Refused(None, "the GPU is not in MIG mode")
        facts = self._state.facts
        known = {each.name: each for each in (facts.mig_profiles if facts else None) or ()}
        for name, count in Counter(profiles).items():
            if known and name not in known:
                raise OutOfRange(name, ", ".join(known))
            if known and count > known[name].most:
                raise OutOfRange(f"{count} of {name}", f"up to {known[name].most}")
        slices = sum(known[name].slices for name in profiles) if known else 0
        most = max((each.slices for each in known.values()), default=0)
        if slices > most:
            raise OutOfRange(f"a layout of {slices} slices", f"up to {most}")
        surplus = Counter(now.mig_layout) - Counter(profiles)
        cuts = now.mig_instances or ()
        kept = {each.gpu_instance for each in cuts if not surplus[each.cut or ""]}
        self._unheld(now, "its instances can be removed", beside=kept)

    # --- reset -------------------------------------------------------------------------------

    async def reset_gpu(self) -> Receipt:
        """Reset it. Nobody may use it; all GPUs of this host are let go meanwhile."""
        before = await self._look(Tier.FAST, Tier.MEDIUM, Tier.SLOW)
        self._unheld(before, "it can be reset")
        wanted = effects.was_reset(before)
        try:
            done = await self._client.reset(self.uuid)
        except (DeviceTimeout, Unreachable) as error:
            return _unheard(error, wanted)
        finally:
            self.refresh()
        await self.examine()
        return Receipt(
            answer=Answer.ACCEPTED, words=done.words or "it was reset", expectation=wanted
        )

    # --- the ways to it ----------------------------------------------------------------------

    async def let_go(self, for_s: float, reason: str) -> str:
        """Have all GPUs of this host let go."""
        return (await self._client.release(for_s, reason)).words

    async def take_up(self) -> str:
        """Have them taken up again."""
        return (await self._client.resume()).words or "the GPUs are taken up again"

    async def _set(self, setting: wants.Setting, wanted: Expectation | None) -> Receipt:
        asked_s = self._clock.monotonic()
        try:
            done = await self._send(setting)
        except (DeviceTimeout, Unreachable, Restarting) as error:
            if self._clock.monotonic() - asked_s < BEGUN_S:
                raise
            return _unheard(error, wanted)
        return _receipt(done, wanted)

    async def _send(self, setting: wants.Setting) -> WasSet:
        try:
            return await self._client.set(self.uuid, setting)
        finally:
            self.refresh()

    async def _look(self, *tiers: Tier) -> GpuReading:
        """What it shows now, read for an order that it depends on."""
        paces = tiers or (Tier.FAST, Tier.MEDIUM)
        (scan,) = (await self._client.scan(paces, (self.uuid,))).gpus
        if scan.problem is not None:
            raise scan.problem.error()
        self._state.take(scan, paces)
        return assemble(self._state)

    def _unheld(
        self, now: GpuReading, what: str, beside: Iterable[int | None] | None = None
    ) -> None:
        """Raises where processes are in the way, save in the instances that are not touched."""
        spared = frozenset(beside or ())
        found = [
            f"{each.pid} ({each.kind})"
            for each in now.processes or ()
            if beside is None or each.gpu_instance not in spared
        ]
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            names = ", ".join(found[:SHOWN])
            raise InUse(None, f"{what} when nobody uses it; processes: {names}{more}")

    async def _put_back(self, *settings: wants.Setting) -> str:
        """Undo what was half done; what came of that, in words."""
        try:
            for setting in settings:
                await self._send(setting)
        except DriverError as error:
            return f"; what was there before could not be put back: {error}"
        return "; it is as it was before"


def _cut(now: GpuReading) -> tuple[wants.Setting, ...]:
    """The order that would give it the instances that it has."""
    return (wants.MigLayout(now.mig_layout),) if now.mig_layout else ()


def _receipt(done: WasSet, wanted: Expectation | None) -> Receipt:
    words = f"{done.words}{effects.otherwise(wanted, done.after)}"
    return Receipt(answer=Answer.ACCEPTED, words=words, expectation=wanted)


def _unheard(error: DriverError, wanted: Expectation | None) -> Receipt:
    """It may have been done, or may be done yet."""
    words = f"{type(error).__name__}: {error}"
    return Receipt(answer=Answer.UNANSWERED, words=words, expectation=wanted)
