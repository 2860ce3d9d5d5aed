"""What a model of miner has when it is whole; the knowledge is data in `models.toml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hash boards, chips on each board, and fans of a model."""

    name: str
    boards: int | None = None
    chips: int | None = None
    fans: int | None = None


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    model: tuple[Model, ...]


def known(name: str | None) -> Model | None:
    """The model of that name, or None where it is not in the table: nothing is guessed."""
    return _by_name().get(name.lower()) if name else None


@cache
def _by_name() -> dict[str, Model]:
    raw = files("drivers.asic").joinpath("models.toml").read_bytes()
    return {model.name.lower(): model for model in msgspec.toml.decode(raw, type=_Table).model}
