"""What a model of miner has when it is whole; the knowledge is data in `models/*.toml`."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

import msgspec

_VERSION = re.compile(r"^(Whatsminer \S+) V\w+$", re.IGNORECASE)
_SPELLING = re.compile(r"[^a-z0-9+]")


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model as its maker describes it. None is what no public source states.

    `nominal_ths` and `power_w` are those of the bin that is sold most: for people and totals,
    never for a reading.
    """

    name: str
    boards: int | None = None
    chips: int | None = None
    """On each board."""
    fans: int | None = None
    nominal_ths: float | None = None
    power_w: float | None = None
    algorithm: str = ""
    make: str = ""
    aliases: tuple[str, ...] = ()


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    make: str
    model: tuple[Model, ...]
    algorithm: str = "sha256"


@lru_cache(maxsize=4096)
def known(name: str | None) -> Model | None:
    """The model of that name, or None where it is not in the table: nothing is guessed.

    Case, blanks and dots do not count, and "Hydro" is "Hyd". Whatsminers are known by their type,
    whatever version is behind it.
    """
    return _by_name().get(_spelled(_VERSION.sub(r"\1", name))) if name else None


def all_models() -> tuple[Model, ...]:
    """Every model of the tables."""
    return tuple(dict.fromkeys(_by_name().values()))


def _spelled(name: str) -> str:
    words = _SPELLING.sub("", name[:80].lower())
    return words.removeprefix("bitmain").replace("hydro", "hyd")


@cache
def _by_name() -> dict[str, Model]:
    found: dict[str, Model] = {}
    for each in sorted(files("drivers.asic").joinpath("models").iterdir(), key=str):
        if not each.name.endswith(".toml"):
            continue
        table = msgspec.toml.decode(each.read_bytes(), type=_Table)
        for row in table.model:
            model = msgspec.structs.replace(
                row, make=row.make or table.make, algorithm=row.algorithm or table.algorithm
            )
            for name in (model.name, *model.aliases):
                found[_spelled(name)] = model
    return found
