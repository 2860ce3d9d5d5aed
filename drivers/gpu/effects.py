"""How the effects of orders to GPUs show in later readings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.actions import Check, Expectation, Relation, is_denied
from drivers.model import Kind, State
from drivers.model_gpu import GpuReading

UNTIL_S = 60.0
"""What is set is read back in the same breath; a reading shows it as soon as one is taken."""
RESET_UNTIL_S = 120.0
"""After a reset the driver opens all GPUs anew."""
_WATT, _PERCENT = 1.0, 1.0
"""Limits and duties are rounded to whole ones."""
_STEP_MHZ = 15
"""Clocks come in steps, and a lock snaps to one."""
_ANYTHING = GpuReading(
    device_id="", kind=Kind.GPU, taken_at=datetime.fromtimestamp(0, UTC), state=State.UNKNOWN
)


def limited(limit_w: float) -> Expectation:
    """The limit that it shows is this one, to the watt."""
    return _expect(*_near("power_limit_w", limit_w, _WATT))


def clock_held(field: str, min_mhz: int, max_mhz: int) -> Expectation:
    """The clock is within its lock: that a lock is there NVML does not show."""
    return _expect(
        Check(field, Relation.AT_LEAST, min_mhz - _STEP_MHZ),
        Check(field, Relation.AT_MOST, max_mhz + _STEP_MHZ),
    )


def shows(field: str, value: bool | str) -> Expectation:
    """A field has this value."""
    return _expect(Check(field, Relation.EQUALS, value))


def cut_into(profiles: Sequence[str]) -> Expectation:
    """Its instances are these."""
    return _expect(Check("mig_layout", Relation.EQUALS, tuple(sorted(profiles))))


def fans_at(percent: float | None) -> Expectation | None:
    """The duty is this one; that the fans follow the heat no reading shows."""
    return None if percent is None else _expect(*_near("fan_duty_percent", percent, _PERCENT))


_WAITING: tuple[tuple[str, str], ...] = (
    ("ecc_enabled", "ecc_pending"),
    ("mig_enabled", "mig_pending"),
)
_PENDING = ("row_remap_pending", "page_retirement_pending", "repair_pending")
_COUNTERS = ("ecc_corrected", "ecc_uncorrected")


def was_reset(before: GpuReading) -> Expectation | None:
    """What waited for a reset is done; where nothing did, counters began anew or settings are gone.

    None where the reading before leaves nothing that a reset would change.
    """
    checks = _of_waiting(before)
    if checks:
        return _expect(*checks, until_s=RESET_UNTIL_S)
    checks = _of_forgotten(before)
    if not checks:
        return None
    groups = tuple((check,) for check in checks)
    return Expectation(any_of=groups, look_after_s=0.0, until_s=RESET_UNTIL_S)


def _of_waiting(before: GpuReading) -> list[Check]:
    checks = [
        Check(now, Relation.EQUALS, getattr(before, later))
        for now, later in _WAITING
        if getattr(before, later) not in (None, getattr(before, now))
    ]
    checks += [Check(name, Relation.EQUALS, False) for name in _PENDING if getattr(before, name)]
    if before.recovery_action not in (None, "none"):
        checks.append(Check("recovery_action", Relation.EQUALS, "none"))
    return checks


def _of_forgotten(before: GpuReading) -> list[Check]:
    checks = [Check(name, Relation.BELOW_BEFORE) for name in _COUNTERS if getattr(before, name)]
    default_w, limit_w = before.power_limit_default_w, before.power_limit_w
    if None not in (default_w, limit_w) and default_w != limit_w:
        checks.append(Check("power_limit_w", Relation.EQUALS, default_w))
    if before.compute_mode not in (None, "default"):
        checks.append(Check("compute_mode", Relation.EQUALS, "default"))
    return checks


def otherwise(wanted: Expectation | None, after: Mapping[str, Any]) -> str:
    """What a read-back shows instead of what was wanted, in words; empty where it fits."""
    if wanted is None:
        return ""
    shown = msgspec.convert({**msgspec.structs.asdict(_ANYTHING), **after}, GpuReading)
    if not is_denied(wanted, shown, shown):
        return ""
    fields = dict.fromkeys(check.field for group in wanted.any_of for check in group)
    values = ", ".join(f"{name} = {getattr(shown, name)}" for name in fields)
    return f"; read back: {values}"


def _near(field: str, value: float, within: float) -> tuple[Check, Check]:
    return (
        Check(field, Relation.AT_LEAST, value - within),
        Check(field, Relation.AT_MOST, value + within),
    )


def _expect(*checks: Check, until_s: float = UNTIL_S) -> Expectation:
    return Expectation(any_of=(checks,), look_after_s=0.0, until_s=until_s)
