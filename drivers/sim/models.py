"""The machine types of the simulated site, read from the tables in `models/`."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

import msgspec


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One machine type; figures are nominal and per machine unless they say per board."""

    name: str
    dialect: str
    share: float = 0.0
    nominal_ghs: float
    boards: int
    chips: int
    """Chips per board."""
    frequency_mhz: int
    efficiency_j_th: float
    fans: int
    fan_max_rpm: int
    delay_ms: tuple[float, float]
    firmware: str
    description: str
    compile_time: str = ""
    file_system: str = ""
    commands: tuple[str, ...] = ("*",)
    driver: str = ""
    driver_long: str = ""
    first_board: int = 1
    """The number of the first board in keys like `chain_acn1`; 6 on an S9."""
    first_fan: int = 1
    share_difficulty: float = 0.0
    """Difficulty of a share; 0 picks the power of two that gives about four a minute."""
    standby_w: float = 20.0
    """What the machine draws when it sleeps."""
    hostname: str = ""
    """The factory's, for all machines; empty takes the driver's name and the machine's number."""
    password: tuple[str, str] | None = None
    """User and password from the factory, where they are not those of the site."""
    extra: dict[str, str | int | float | bool] = {}
    """What only the dialect understands."""


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    model: list[Model]


def load_models() -> dict[str, Model]:
    """All machine types by name."""
    folder = resources.files(__package__).joinpath("models")
    tables = sorted((each for each in folder.iterdir() if each.name.endswith(".toml")), key=_name)
    found = (msgspec.toml.decode(table.read_bytes(), type=_Table).model for table in tables)
    return {model.name: model for models in found for model in models}


def _name(table: Traversable) -> str:
    return table.name
