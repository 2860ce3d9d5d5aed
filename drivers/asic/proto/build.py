"""What a Proto Rig is: identity, boards in their slots, power targets. Pure.

Source: the maker's OpenAPI document (MDK API). Slots count from 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from drivers.asic.fields import Row, common, first, integer, mac, miner_id, positive, text
from drivers.asic.kept import Kept
from drivers.asic.page_parts import BOARDS_LIMIT, listed, section
from drivers.errors import WrongProtocol
from drivers.model import Identity, Kind

_CHIPS = {"BZM": "sha256", "MC1": "sha256", "MC2": "sha256", "MC3": "sha256"}
"""What the rig's chips hash: the maker builds for Bitcoin alone."""


class Slot(NamedTuple):
    """A hash board as the hardware page knows it."""

    slot: int
    serial: str | None
    chips: int | None


class Rig(NamedTuple):
    """What the slow pages say of the rig."""

    slots: tuple[Slot, ...] = ()
    limit_w: float | None = None
    limit_min_w: float | None = None
    limit_max_w: float | None = None
    mode: str | None = None


Slow = Kept[Rig]


def parse_identity(system: Any, network: Any, hardware: Any, provisional_id: str) -> Identity:
    """Put together what the three open pages say; any of them may be missing (None)."""
    info, net = section(system, "system-info"), section(network, "network-info")
    board = section(hardware, "hardware-info", "cb-info")
    if not info and not net and not board:
        raise WrongProtocol("the pages are not those of a Proto Rig")
    address = mac(first(net, ("mac", "mac_address")))
    serial = text(info.get("cb_sn")) or text(board.get("serial_number"))
    make = common(info.get("manufacturer")) or "Proto"
    model = common(info.get("product_name")) or _joined(make, text(info.get("model")))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware="stock",
        firmware_version=common(section(info, "os").get("version")),
        serial=serial,
        mac=address,
        hostname=text(net.get("hostname")) or text(section(info, "os").get("hostname")),
        algorithm=_algorithm(hardware),
    )


def _joined(make: str, model: str | None) -> str | None:
    return common(f"{make} {model}") if model else None


def _boards(hardware: Any) -> list[dict[str, Any]]:
    return listed(section(hardware, "hardware-info").get("hashboards-info"), BOARDS_LIMIT)


def _algorithm(hardware: Any) -> str | None:
    chips = (text(row.get("mining_asic")) or "" for row in _boards(hardware))
    return next((found for chip in chips if (found := _CHIPS.get(chip))), None)


def parse_hardware(hardware: Any) -> Rig:
    """The boards in the rig, by slot."""
    return Rig(tuple(_slot(at, row) for at, row in enumerate(_boards(hardware), 1)))


def _slot(at: int, row: Row) -> Slot:
    slot = integer(row.get("slot"))
    return Slot(
        slot=at if slot is None else slot,
        serial=text(row.get("hb_sn")),
        chips=integer(row.get("mining_asic_count")),
    )


def parse_target(target: Any, rig: Rig) -> Rig:
    """Add the power targets that can be set, and how the rig uses its power."""
    found = section(target)
    return rig._replace(
        limit_w=positive(found.get("power_target_watts")),
        limit_min_w=positive(found.get("power_target_min_watts")),
        limit_max_w=positive(found.get("power_target_max_watts")),
        mode=common(found.get("performance_mode")),
    )
