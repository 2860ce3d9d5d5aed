"""A `GpuReading` out of what was read at different paces, and what is wrong with the GPU. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.errors import BadReply
from drivers.gpu.answers import GpuScan
from drivers.gpu.energy import EnergyCounter
from drivers.gpu.errors import Cause
from drivers.gpu.protocol import Tier
from drivers.model import Fault, Kind, PowerSource, State
from drivers.model_gpu import GpuFacts, GpuReading

_NOT_MISSED = frozenset({Cause.NOT_SUPPORTED, Cause.OLD_DRIVER, "not_yet"})
_ALARMING = frozenset({"hw_slowdown", "hw_thermal", "power_brake"})
"""Reasons for low clocks that nobody asked for; a power cap or a lock is asked for."""


class GpuState(msgspec.Struct, kw_only=True):
    """What a GPU showed, each value as it was read last, and when each pace was read."""

    device_id: str
    facts: GpuFacts | None = None
    values: dict[str, Any] = {}
    absent: dict[str, str] = {}
    read_at: dict[Tier, float] = {}
    energy: EnergyCounter = msgspec.field(default_factory=EnergyCounter)

    def take(self, scan: GpuScan, tiers: Iterable[Tier]) -> None:
        """Take in a scan of these paces. What it misses is forgotten: nothing old stands for it."""
        self.read_at.update(dict.fromkeys(tiers, scan.at))
        self.values.update(scan.values)
        for name in scan.absent:
            self.values.pop(name, None)
        for name in scan.values:
            self.absent.pop(name, None)
        self.absent.update(scan.absent)
        if "energy_j" in scan.values:
            self.values["energy_j"] = self.energy.read(scan.values["energy_j"])
            self.values["energy_restarts"] = self.energy.restarts
        elif "energy_j" in scan.absent:
            self.values.pop("energy_restarts", None)


def assemble(state: GpuState) -> GpuReading:
    """The reading; raises `BadReply` where a value is not of its kind."""
    faults = faults_of(state.values, state.facts)
    missing = sorted(name for name, why in state.absent.items() if why not in _NOT_MISSED)
    values = state.values | {
        "device_id": state.device_id,
        "kind": Kind.GPU,
        "taken_at": datetime.fromtimestamp(state.read_at[Tier.FAST], UTC),
        "state": State.FAULT if any(fault.code in _DISABLING for fault in faults) else State.OK,
        "faults": faults,
        "missing": tuple(missing),
        "power_source": PowerSource.REPORTED if "power_w" in state.values else None,
        "medium_age_s": _age_s(state, Tier.MEDIUM),
        "slow_age_s": _age_s(state, Tier.SLOW),
    }
    try:
        return msgspec.convert(values, GpuReading)
    except msgspec.ValidationError as error:
        raise BadReply(f"a value of the GPU: {error}") from None


def _age_s(state: GpuState, tier: Tier) -> float | None:
    at = state.read_at.get(tier)
    return None if at is None else max(0.0, round(state.read_at[Tier.FAST] - at, 1))


_DISABLING = frozenset({"recovery_action", "row_remap_failed", "sram_threshold_exceeded", "fabric"})
"""Faults with which a GPU must not be given work."""


def faults_of(values: Mapping[str, Any], facts: GpuFacts | None) -> tuple[Fault, ...]:
    """What is wrong by these values, in plain words."""
    found: list[Fault] = []

    def add(code: str, message: str) -> None:
        found.append(Fault(code, message))

    action = values.get("recovery_action")
    if action not in (None, "none"):
        add("recovery_action", f"the driver wants: {action}")
    if values.get("row_remap_failed"):
        add("row_remap_failed", "a faulty row of memory has no spare: exchange the GPU")
    if values.get("sram_threshold_exceeded"):
        add("sram_threshold_exceeded", "too many errors in SRAM: exchange the GPU")
    if values.get("row_remap_pending") or values.get("page_retirement_pending"):
        add("memory_repair_pending", "a reset takes faulty memory out of use")
    if values.get("repair_pending"):
        add("repair_pending", "a reset repairs a part of the GPU")
    if values.get("fabric_state") == "in_progress" or values.get("fabric_health") == "unhealthy":
        state, health = values.get("fabric_state"), values.get("fabric_health")
        add("fabric", f"NVSwitch fabric: {state}, {health}")
    reasons = _ALARMING.intersection(values.get("throttle_reasons") or ())
    if reasons:
        add("throttled", f"clocks are held down by the hardware: {', '.join(sorted(reasons))}")
    width, most = values.get("pcie_width"), facts.pcie_width_max if facts else None
    if width and most and width < most:
        add("pcie_width", f"{width} of {most} PCIe lanes: look at slot and riser")
    return tuple(found)
