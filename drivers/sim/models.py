"""The machine types of the simulated site, read from `models.toml`."""

from __future__ import annotations

from importlib import resources

import msgspec


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One machine type; figures are nominal and per machine unless they say per board."""

    name: str
    dialect: str
    share: float
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

    @property
    def has_web(self) -> bool:
        """True for the machines with Bitmain's web pages."""
        return self.dialect == "stock"


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    model: list[Model]


def load_models() -> dict[str, Model]:
    """All machine types by name."""
    text = resources.files(__package__).joinpath("models.toml").read_bytes()
    return {model.name: model for model in msgspec.toml.decode(text, type=_Table).model}
