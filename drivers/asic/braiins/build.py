"""Who a machine with Braiins OS 25.07 or newer is, and its pages that are read now and then. Pure.

Source: the vendor's OpenAPI document of `/api/v1/` and the proto files that it mirrors; a recorded
S19 XP of 25.07. Enumerations are numbers; names, as gRPC's JSON has them, are read too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from drivers.asic.aside import Slow
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.fields import (
    Row,
    common,
    integer,
    mac,
    miner_id,
    number,
    positive,
    text,
    truth,
)
from drivers.asic.page_parts import FAULTS_LIMIT, POOLS_LIMIT, listed, section
from drivers.model import Fault, Identity, Kind, Pool

DETAILS, STATS, BOARDS = "miner/details", "miner/stats", "miner/hw/hashboards"
COOLING, POOLS, ERRORS = "cooling/state", "pools", "miner/errors"
TUNER, CONSTRAINTS, LOCATE = (
    "performance/tuner-state",
    "configuration/constraints",
    "actions/locate",
)
SETTINGS = "configuration/miner"
_STATUSES = ("unspecified", "not started", "normal", "paused", "suspended", "restricted")
_TUNERS = ("unspecified", "disabled", "stable", "tuning", "error", "continuous", "preheat")
"""The last two came in 2026; their numbers are as public clients have them."""


class Tuning(NamedTuple):
    """What the tuner works towards."""

    state: str | None = None
    mode: str | None = None
    limit_w: float | None = None


def word_of(value: Any, names: tuple[str, ...], prefix: str) -> str | None:
    """The name of an enumeration's member, given as number or as name."""
    found = integer(value) if not isinstance(value, str) or value.isdecimal() else None
    if found is not None:
        return names[found] if 0 <= found < len(names) else f"{found}"
    words = common(value)
    return words.lower().removeprefix(prefix).replace("_", " ") if words else None


def status_of(details: Row) -> str | None:
    """What the machine says it does: `normal`, `paused` and so on."""
    return word_of(details.get("status"), _STATUSES, "miner_status_")


def words_of(details: Any) -> tuple[str, ...]:
    """What the machine calls itself."""
    row = section(details)
    found = (row.get("mac_address"), row.get("uid"), section(row, "bos_version").get("current"))
    return tuple(words for words in map(text, found) if words)


def uptime_of(details: Any) -> float | None:
    """How long the machine has been up."""
    row = section(details)
    found = number(row.get("system_uptime_s"))
    return number(row.get("system_uptime")) if found is None else found


def parse_identity(details: Any, provisional_id: str) -> Identity:
    """Who `miner/details` says that it is."""
    row, who = section(details), section(details, "miner_identity")
    make, model = braiins_parts.make_and_model(
        text(who.get("name")) or text(who.get("miner_model"))
    )
    address, serial = mac(row.get("mac_address")), text(row.get("serial_number"))
    return Identity(
        id=miner_id(address, serial or text(row.get("uid")), provisional_id),
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware=braiins_parts.FIRMWARE,
        firmware_version=common(section(row, "bos_version").get("current")),
        serial=serial,
        mac=address,
        hostname=text(row.get("hostname")),
        algorithm=braiins_parts.ALGORITHM,
    )


# --- pages that are read now and then ----------------------------------------------------------


def reduce_pools(page: Any) -> tuple[Pool, ...]:
    """The pools of all groups: every group has one that works are from."""
    groups = page if isinstance(page, list) else section(page).get("pool_groups")
    rows = [row for group in listed(groups, POOLS_LIMIT) for row in listed(group.get("pools"), 16)]
    return tuple(_pool(row) for row in rows[:POOLS_LIMIT] if row.get("url"))


def _pool(row: Row) -> Pool:
    stats, alive = section(row, "stats"), truth(row.get("alive"))
    status = None if alive is None else "Alive" if alive else "Dead"
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status="Disabled" if truth(row.get("enabled")) is False else status,
        active=truth(row.get("active")),
        accepted=integer(stats.get("accepted_shares")),
        rejected=integer(stats.get("rejected_shares")),
        stale=integer(stats.get("stale_shares")),
    )


def reduce_errors(page: Any) -> tuple[Fault, ...]:
    """The newest entries of the log of errors."""
    found = section(page).get("errors") if isinstance(page, dict) else page
    rows = listed(found[-FAULTS_LIMIT:], FAULTS_LIMIT) if isinstance(found, list) else []
    return tuple(fault for row in rows if (fault := _fault(row)))


def _fault(row: Row) -> Fault | None:
    reason = next(iter(listed(row.get("error_codes"), 4)), {})
    message = text(row.get("message")) or text(reason.get("reason"))
    if message is None:
        return None
    return Fault(text(reason.get("code")), message, _moment(row.get("timestamp")))


def _moment(value: Any) -> datetime | None:
    """RFC 3339 with its zone, as `2026-04-08T08:03:18.155033Z`."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def reduce_tuner(page: Any) -> Tuning:
    """State and target of the tuner; the target after a power scaling is the current one."""
    modes = section(page, "mode_state")
    name = next((key for key in modes if isinstance(modes[key], dict)), None)
    target = section(modes, name, "current_target") if name else {}
    state = word_of(section(page).get("overall_tuner_state"), _TUNERS, "tuner_state_")
    return Tuning(state, braiins_parts.mode_of(name), positive(target.get("watt")))


def reduce_constraints(page: Any) -> tuple[float | None, float | None]:
    """The lowest and the highest power target."""
    found = section(page, "tuner_constraints", "power_target")
    return positive(section(found, "min").get("watt")), positive(section(found, "max").get("watt"))


def cooling_mode_of(page: Any) -> tuple[str | None, Row]:
    """How the machine is cooled (auto, manual, disabled, immersion, hydro), and its settings."""
    modes = section(page, "temperature", "mode")
    return next(((name, row) for name, row in modes.items() if isinstance(row, dict)), (None, {}))


def reduce_settings(page: Any) -> float | None:
    """The temperature that the fans keep. The page holds passwords, of which nothing is kept."""
    _, settings = cooling_mode_of(page)
    return positive(section(settings, "target_temperature").get("degree_c"))


def reduce_locate(page: Any) -> bool | None:
    """The page is a bare `true` or `false`."""
    return truth(page)


SLOW = {
    POOLS: Slow(45.0, reduce_pools),
    TUNER: Slow(60.0, reduce_tuner),
    LOCATE: Slow(60.0, reduce_locate),
    ERRORS: Slow(120.0, reduce_errors),
    CONSTRAINTS: Slow(300.0, reduce_constraints),
    SETTINGS: Slow(300.0, reduce_settings),
}
"""The pages that are read beside the poll, and how often."""
