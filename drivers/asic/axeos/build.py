"""Which device of the Bitaxe family it is: by its model's name, before 2.9 by its board. Pure."""

from __future__ import annotations

from typing import Any

from drivers.asic.fields import Row, common, first, mac, miner_id, text
from drivers.asic.page_parts import section
from drivers.errors import WrongProtocol
from drivers.model import Identity, Kind

# ESP-Miner, device_config.h: the board versions of each family.
_BOARDS = {
    "Bitaxe Max": ("2.2", "101", "102"),
    "Bitaxe Ultra": ("0.11", "201", "202", "203", "204", "205", "207"),
    "Bitaxe Hex": ("302", "303"),
    "Bitaxe Supra": ("400", "401", "402", "403"),
    "Bitaxe Gamma": ("600", "601", "602", "603"),
    "Bitaxe Gamma Duo": ("650",),
    "Bitaxe Supra Hex": ("701", "702"),
    "Bitaxe Gamma Turbo": ("801",),
}
_BY_BOARD = {version: model for model, versions in _BOARDS.items() for version in versions}
_BY_NAME = {model.removeprefix("Bitaxe").replace(" ", "").lower(): model for model in _BOARDS}
_MODEL_KEYS = ("deviceModel", "minerModel")


def checked(info: Any) -> dict[str, Any]:
    """The page; raises `WrongProtocol` for one that is not of this family."""
    if isinstance(info, dict) and ("ASICModel" in info or "hashRate" in info):
        return info
    raise WrongProtocol("the page is not AxeOS's")


def words_of(info: Row) -> tuple[str, ...]:
    """What a device calls itself in every poll."""
    keys = ("macAddr", "version", "ASICModel", "boardVersion")
    return tuple(text(info.get(key)) or "" for key in keys)


def parse_identity(info: Any, asic: Any, provisional_id: str) -> Identity:
    """Put together what the two pages say; either may be missing (None)."""
    row: Row = {**section(asic), **section(info)}
    checked(row)
    address = mac(row.get("macAddr"))
    make, model = _make_and_model(row)
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware="stock",
        firmware_version=common(first(row, ("version", "axeOSVersion"))),
        mac=address,
        hostname=text(row.get("hostname")),
        # BM1362 to BM1397, Bitmain's chips that these boards carry, all hash SHA-256.
        algorithm="sha256" if (text(row.get("ASICModel")) or "").startswith("BM13") else None,
    )


def _make_and_model(row: Row) -> tuple[str | None, str | None]:
    """Names that no Bitaxe has are kept as they are: the firmware runs on many boards."""
    name = common(first(row, _MODEL_KEYS))
    if name is None:
        model = _BY_BOARD.get(text(row.get("boardVersion")) or "")
        return ("Bitaxe", model) if model else (None, None)
    plain = name.lower().removeprefix("bitaxe").replace(" ", "")
    if plain in _BY_NAME:
        return "Bitaxe", _BY_NAME[plain]
    if name.lower().startswith("bitaxe"):
        return "Bitaxe", name
    return "NerdAxe" if name.startswith("Nerd") else None, name
