"""Which of a VNish machine's presets holds a power, and what its settings look like then. Pure.

Sources: VNish's OpenAPI description (AutotunePresetDto, OverclockRaw, PresetSwitcherRaw) and a
recording of 1.2.7 on an S21 Pro: presets are called by their watts, each is tuned or not, and some
want another power supply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from drivers.asic.effects import among, within
from drivers.asic.fields import Row, text, truth
from drivers.asic.vnish.settings import as_object, preset_watts
from drivers.errors import Refused

PRESETS_LIMIT = 256
_LISTED = 12


class Preset(NamedTuple):
    """A preset that this machine's power supply may run."""

    name: str
    watts: float | None
    tuned: bool


def usable(page: Any, overclock: Row) -> tuple[Preset, ...]:
    """The presets of `autotune/presets`, without those that want another power supply."""
    found = page.get("presets") if isinstance(page, dict) else page
    rows = found[:PRESETS_LIMIT] if isinstance(found, list) else []
    modded = truth(overclock.get("modded_psu"))
    return tuple(
        Preset(name, preset_watts(row), row.get("status") == "tuned")
        for row in rows
        if isinstance(row, dict)
        and (name := text(row.get("name")))
        and (modded or not truth(row.get("modded_psu_required")))
    )


def by_name(presets: Sequence[Preset], name: str) -> Preset:
    """The preset of a name; raises `OutOfRange` naming those there are."""
    among(name, [preset.name for preset in presets], "the preset")
    return next(preset for preset in presets if preset.name == name)


def at_most(presets: Sequence[Preset], limit_w: float) -> Preset:
    """The highest tuned preset within a power; of presets none of which is tuned, the highest.

    A preset that is not tuned starts a tuning run of an hour or more. Raises `OutOfRange`.
    """
    rated = [(preset.watts, preset) for preset in presets if preset.watts is not None]
    if not rated:
        raise Refused(None, "the machine has no presets in watts")
    within(limit_w, min(watts for watts, _ in rated), max(watts for watts, _ in rated), "W")
    below = [(preset.tuned, watts, preset) for watts, preset in rated if watts <= limit_w]
    return max(below, key=lambda each: each[:2])[2]


def overclock_of(settings: Any) -> dict[str, Any]:
    """The block that holds the preset; raises `Refused` where it is not whole.

    It is written back as a whole: half of one would set the rest back.
    """
    overclock = as_object(as_object(as_object(settings).get("miner")).get("overclock"))
    if text(overclock.get("preset")) is None:
        raise Refused(None, "the machine does not show its settings yet: nothing was sent")
    return overclock


def with_preset(overclock: Row, name: str) -> dict[str, Any]:
    """The block with another preset, and everything else as it was."""
    return {**overclock, "preset": name}


def capped(overclock: Row, name: str) -> dict[str, Any]:
    """The block with another preset, above which the preset switcher does not go.

    The switcher climbs while the chips are cool, up to a preset of its own.
    """
    switcher = as_object(overclock.get("preset_switcher"))
    changed = with_preset(overclock, name)
    if truth(switcher.get("enabled")):
        lowest = text(switcher.get("min_preset"))
        bounds: dict[str, Any] = {"top_preset": name}
        if lowest and lowest.isdecimal() and name.isdecimal() and int(lowest) > int(name):
            bounds["min_preset"] = name
        changed["preset_switcher"] = {**switcher, **bounds}
    return changed


def is_switched(overclock: Row) -> bool:
    """True where the machine itself moves from preset to preset."""
    return truth(as_object(overclock.get("preset_switcher")).get("enabled")) is True
