"""Who a VNish machine is and how it is set: `version`, and the slow pages of its web API. Pure.

Sources: VNish's OpenAPI description of `/api/v1` (schemas InfoJson, StatusPane, PerfSummary,
AutotunePresetDto, FactoryInfoReply) and a recording of 1.2.7 on an S21 Pro; for 3.x on an S9 a
description of its CGI pages.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from drivers.asic.fields import Row, common, first, integer, mac, miner_id, positive, text, truth
from drivers.model import Identity, Kind
from drivers.wire.cgminer import rows

BOARDS_LIMIT = 64
_SUFFIX = re.compile(r"\s*\([^()]{0,60}\bvnish\b[^()]{0,60}\)", re.IGNORECASE)
_VERSION = re.compile(r"vnish[^()\d]{0,40}(\d[\w.-]{0,30})", re.IGNORECASE)


class Settings(msgspec.Struct, frozen=True):
    """What changes seldom: units, preset, limits, light, serials."""

    unit_ths: float | None = None
    preset: str | None = None
    """The one in force."""
    chosen: str | None = None
    """The one that is set; the preset switcher moves away from it."""
    temp_target_c: float | None = None
    limit_w: float | None = None
    limit_min_w: float | None = None
    limit_max_w: float | None = None
    locating: bool | None = None
    serials: dict[int, str] = {}


NO_SETTINGS = Settings()


# --- identity ----------------------------------------------------------------------------------


def bare_model(name: str | None) -> str | None:
    """The maker's name of a model, without `(Vnish 1.2.7)`."""
    return common(_SUFFIX.sub("", name)) if name else None


def parse_identity(
    version: dict[str, Any], info: dict[str, Any], page: dict[str, Any], provisional_id: str
) -> Identity:
    """Put together `version` (or the head of `stats`), `info`, and the CGI page of old builds."""
    row = (rows(version, "VERSION") or [{}])[0]
    kind = text(first(row, ("Type",))) or text(page.get("minertype"))
    system = as_object(info.get("system"))
    network = as_object(system.get("network_status"))
    address = mac(network.get("mac")) or mac(page.get("macaddr"))
    serial = _known(info.get("serial")) or _known(first(page, ("serinum", "serial_no")))
    algorithm = text(info.get("algorithm"))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make="Bitmain",  # VNish is made for Antminers alone
        model=bare_model(text(info.get("miner")) or kind),
        firmware="vnish",
        firmware_version=common(info.get("fw_version")) or _version_in(kind),
        serial=serial,
        mac=address,
        hostname=text(network.get("hostname")) or text(page.get("hostname")),
        algorithm={"sha256d": "sha256"}.get(algorithm, algorithm) if algorithm else None,
    )


def _version_in(kind: str | None) -> str | None:
    found = _VERSION.search(kind) if kind else None
    return common(found.group(1)) if found else None


def _known(value: Any) -> str | None:
    found = text(value)
    return None if found is None or found.lower() in ("n/a", "none", "unknown", "null") else found


# --- settings ----------------------------------------------------------------------------------

_WATTS = re.compile(r"(\d{2,6})\s*w(?:att)?s?\b", re.IGNORECASE)
_UNITS = {"GH/S": 1e-3, "MH/S": 1e-6, "TH/S": 1.0, "KH/S": 1e-9}


def parse_settings(pages: dict[str, Any], before: Settings = NO_SETTINGS) -> Settings:
    """Read any of the pages `info`, `status`, `perf-summary`, `settings`, `autotune/presets`
    and `chains/factory-info`; what they lack is kept from `before`.
    """  # noqa: D205
    unit = as_object(pages.get("info")).get("hr_measure")
    overclock = as_object(as_object(as_object(pages.get("settings")).get("miner")).get("overclock"))
    current = as_object(as_object(pages.get("perf-summary")).get("current_preset"))
    # The preset switcher moves away from the preset that is set: the one in force counts.
    preset = current or _by_name(pages.get("autotune/presets"), overclock.get("preset"))
    limits = _limits(pages.get("autotune/presets"), modded=truth(overclock.get("modded_psu")))
    locating = truth(as_object(pages.get("status")).get("find_miner"))
    return Settings(
        unit_ths=_UNITS.get(unit.upper()) if isinstance(unit, str) else before.unit_ths,
        preset=text(preset.get("name")) if preset else before.preset,
        chosen=text(overclock.get("preset")) or before.chosen,
        temp_target_c=_temp_target(pages["settings"])
        if "settings" in pages
        else before.temp_target_c,
        limit_w=preset_watts(preset) if preset else before.limit_w,
        limit_min_w=min(limits) if limits else before.limit_min_w,
        limit_max_w=max(limits) if limits else before.limit_max_w,
        locating=before.locating if locating is None else locating,
        serials=_serials(pages.get("chains/factory-info")) or before.serials,
    )


def _temp_target(page: Any) -> float | None:
    """What the fans keep, where they are not fixed (`{"mode": {"name": "auto", "param": 65}}`)."""
    mode = as_object(as_object(as_object(as_object(page).get("miner")).get("cooling")).get("mode"))
    return positive(mode.get("param")) if mode.get("name") == "auto" else None


def preset_watts(preset: Row) -> float | None:
    """The watts of a preset: in its words (`2800 watt ~ 188 TH`), else as its name."""
    pretty, name = text(preset.get("pretty")), text(preset.get("name"))
    found = _WATTS.search(pretty) if pretty else None
    if found:
        return float(found.group(1))
    return float(name) if name and not pretty and name.isdecimal() and len(name) < 7 else None


def _limits(presets: Any, *, modded: bool | None) -> list[float]:
    """The watts of the presets that this machine's power supply may run."""
    found = presets.get("presets") if isinstance(presets, dict) else presets
    usable = (
        preset
        for preset in (found[:256] if isinstance(found, list) else ())
        if isinstance(preset, dict) and (modded or not truth(preset.get("modded_psu_required")))
    )
    return [watts for preset in usable if (watts := preset_watts(preset))]


def _by_name(presets: Any, name: Any) -> Row:
    word = text(name)
    if word is None:
        return {}
    found = presets.get("presets") if isinstance(presets, dict) else presets
    named = (
        preset
        for preset in (found if isinstance(found, list) else ())
        if isinstance(preset, dict) and text(preset.get("name")) == word
    )
    return next(named, {"name": word})


def _serials(page: Any) -> dict[int, str]:
    chains = rows(as_object(page), "chains")[:BOARDS_LIMIT]
    pairs = ((integer(row.get("id")), _known(row.get("serial"))) for row in chains)
    return {at: serial for at, serial in pairs if at is not None and serial}


def as_object(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
