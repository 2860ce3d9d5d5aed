"""Who a machine with MARA firmware is, and its pages that are read now and then. Pure.

See `mara_answers` for where the keys are from, and how far they are verified.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic.fields import (
    THS_PER_RATE_UNIT,
    Row,
    common,
    first,
    integer,
    mac,
    miner_id,
    number,
    positive,
    scaled,
    text,
    truth,
)
from drivers.asic.models import known
from drivers.asic.page_parts import BOARDS_LIMIT, FAULTS_LIMIT, POOLS_LIMIT, listed, section
from drivers.model import Fault, Identity, Kind, Pool

FIRMWARE = "mara"
BRIEF, BOARDS, FANS, POOLS = "brief", "hashboards", "fans", "pools"
OVERVIEW, NETWORK, DETAILS = "overview", "network_config", "details"
CONFIG, LOCATE, EVENTS = "miner_config", "locate_miner", "event_chart"
_INDEXES = ("index", "id", "slot", "chain_id")
_SEVERE = frozenset({"error", "critical", "fatal", "warning"})


class Config(NamedTuple):
    """The mode that is set, and the power that it aims at."""

    mode: str | None = None
    limit_w: float | None = None


class Hardware(NamedTuple):
    """What `details` adds to a board."""

    voltage_v: float | None = None
    frequency_mhz: float | None = None
    nominal_ths: float | None = None


def payload(page: Any) -> Any:
    """The page, or what it holds as `data`."""
    inner = page.get("data") if isinstance(page, dict) else None
    return inner if isinstance(inner, dict | list) else page


def parse_identity(overview: Any, network: Any, provisional_id: str) -> Identity:
    """Who `overview` says that it is; `model_extended` may add a capacity to the model."""
    row, lan = section(payload(overview)), section(payload(network))
    name = text(row.get("model")) or text(row.get("model_extended"))
    model = known(name)
    maker = "Bitmain" if name and "antminer" in name.lower() else None
    address = mac(row.get("mac"))
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        make=model.make if model else maker,
        model=model.name if model else common(name),
        firmware=FIRMWARE,
        firmware_version=common(row.get("version_firmware")),
        mac=address,
        hostname=text(lan.get("hostname")),
        algorithm=model.algorithm if model else None,
    )


# --- pages that are read now and then ----------------------------------------------------------


def reduce_pools(page: Any) -> tuple[Pool, ...]:
    """The pools; works are from the living one that comes first."""
    found = payload(page)
    found = found.get("pools") if isinstance(found, dict) else found
    rows = [row for row in listed(found, POOLS_LIMIT) if row.get("url")]
    alive = [row for row in rows if text(row.get("status")) == "Alive"]
    used = min(alive, key=lambda row: number(row.get("priority")) or 0.0, default=None)
    return tuple(_pool(row, row is used) for row in rows)


def _pool(row: Row, used: bool) -> Pool:
    told = truth(row.get("active"))
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status=common(row.get("status")),
        active=used if told is None else told,
        accepted=integer(row.get("accepted")),
        rejected=integer(row.get("rejected")),
        stale=integer(row.get("stale")),
    )


def reduce_config(page: Any) -> Config:
    """Mode and target; the page's passwords are not kept."""
    mode = section(payload(page), "mode")
    name = common(mode.get("work-mode-selector"))
    aim = section(mode, "concorde")
    # It may aim at a hash rate instead, beside a power that stands there from before.
    aims_at_power = text(aim.get("mode-select")) in (None, "PowerTarget")
    target = positive(aim.get("power-target")) if aims_at_power else None
    return Config(name.lower() if name else None, target)


def reduce_details(page: Any) -> dict[int, Hardware]:
    """What `details` tells of each board; its single chips are left out."""
    rows = listed(section(payload(page)).get("hashboard_infos"), BOARDS_LIMIT)
    return {index_of(row, at): _hardware(row) for at, row in enumerate(rows)}


def _hardware(row: Row) -> Hardware:
    return Hardware(
        positive(row.get("voltage")),
        positive(row.get("frequency_avg")),
        rate_of(row, "hashrate_ideal", None, "GH"),
    )


def reduce_locate(page: Any) -> bool | None:
    """Whether the light blinks."""
    return truth(section(payload(page)).get("blinking"))


def reduce_events(page: Any) -> tuple[Fault, ...]:
    """What the firmware warns of."""
    rows = listed(section(payload(page)).get("event_flags"), FAULTS_LIMIT)
    severe = [row for row in rows if str(row.get("level")).lower() in _SEVERE]
    told = ((text(row.get("message")), row) for row in severe)
    return tuple(Fault(text(row.get("code")), words, _moment(row)) for words, row in told if words)


def _moment(row: Row) -> datetime | None:
    at = number(row.get("timestamp"))
    return datetime.fromtimestamp(at, UTC) if at is not None and 1e9 < at < 1e10 else None


def index_of(row: Row, at: int) -> int:
    """The number of a board; its place where it has none."""
    found = integer(first(row, _INDEXES))
    return found if found is not None and 0 <= found < 256 else at


def rate_of(row: Row, key: str, unit: str | None, default: str) -> float | None:
    """A rate in TH/s: by the unit beside it, the one around it, or the one that is usual."""
    word = text(row.get(f"{key}_unit")) or unit or default
    scale = THS_PER_RATE_UNIT.get(word[:2].upper())
    found = scaled(row.get(key), scale) if scale is not None else None
    return found if found is not None and found >= 0 else None
