"""The hash boards, temperature sensors and fans of LuxOS. Pure.

Sources: Luxor's API documentation of `devs`, `temps`, `fans` and `stats`, and recordings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from drivers.asic.fields import (
    Row,
    first,
    hashrate_now_ths,
    integer,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.models import Model
from drivers.model import Board, Fan
from drivers.wire.cgminer import rows

BOARDS_LIMIT = 64
FANS_LIMIT = 32
SENSORS_LIMIT = 64
_HOTTEST_C = 200.0


class Boards(NamedTuple):
    """The boards, and the water's temperatures where the machine is cooled by it."""

    boards: tuple[Board, ...]
    water_inlet_c: float | None
    water_outlet_c: float | None


class _Chain(NamedTuple):
    """The keys of one chain in `stats`; made once."""

    at: int
    chips: str
    rate: str
    frequency: str
    hw_errors: str


_CHAINS = tuple(
    _Chain(at, f"chain_acn{at}", f"chain_rate{at}", f"freq{at}", f"chain_hw{at}")
    for at in range(1, 17)
)


def device_rows(reply: Any) -> list[dict[str, Any]]:
    """The rows of `devs` by board: their order differs from answer to answer."""
    found = rows(reply, "DEVS")[:BOARDS_LIMIT] if isinstance(reply, dict) else []
    return sorted(found, key=lambda row: _index(row, BOARDS_LIMIT))


def _index(row: Row, at: int) -> int:
    found = integer(first(row, ("ASC", "ID")))
    return at if found is None else found


def boards(
    devices: list[dict[str, Any]],
    body: Row,
    temps: Any,
    model: Model | None,
    volts: tuple[tuple[int, float], ...] = (),
) -> Boards:
    """One board for each device, and of the model's others what `stats` shows of their chains."""
    sensors, water = _sensors(temps if isinstance(temps, dict) else {})
    for at, volt in volts:
        sensors.setdefault(at, {})["volts"] = volt
    indexes = [_index(row, at) for at, row in enumerate(devices)]
    chains = _chains_of(indexes, body)
    chips = model.chips if model else None
    found = [
        _board(at, row, body, chains.get(at), sensors.get(at, {}), chips)
        for at, row in zip(indexes, devices, strict=True)
    ]
    if not devices:
        found = [_of_chain(chain, body, sensors, chips) for chain in _CHAINS if _chips(body, chain)]
    lost = (model.boards or 0 if model else 0) - len(found)
    if lost > 0 and body:
        taken = {board.index for board in found}
        others = [c for c in _CHAINS if c.at - 1 not in taken and _chips(body, c) is not None]
        others.sort(key=lambda chain: not _chips(body, chain))
        found += [_of_chain(chain, body, sensors, chips) for chain in others[:lost]]
    ordered = tuple(sorted(found, key=lambda board: board.index))
    return Boards(ordered, water.get("water_in"), water.get("water_out"))


def _chips(body: Row, chain: _Chain) -> int | None:
    return integer(body.get(chain.chips))


def _chains_of(indexes: list[int], body: Row) -> dict[int, _Chain]:
    """Which chain of `stats` is which board: board 0 is the first connector, chain 1.

    (Recordings agree: `chain_rate1` is the mean rate of ASC 0.) On an S9 the chains are 6 to 8
    (documented) and what its boards are called is not, so there both are taken in their order.
    """
    direct = {at: _CHAINS[at] for at in indexes if 0 <= at < len(_CHAINS)}
    live = [chain for chain in _CHAINS if _chips(body, chain)]
    if live and not any(_chips(body, chain) for chain in direct.values()):
        return dict(zip(indexes, live, strict=False)) if len(live) == len(indexes) else {}
    return direct


def _board(
    at: int, row: Row, body: Row, chain: _Chain | None, sensors: Row, chips_expected: int | None
) -> Board:
    return Board(
        index=at,
        serial=text(row.get("SerialNumber")),
        # `chain_rate` in `stats` is the mean since start, so the rate is taken from here.
        hashrate_ths=hashrate_now_ths(row),
        hashrate_nominal_ths=scaled(positive(row.get("Nominal MHS")), 1e-6),
        chips=_chips(body, chain) if chain else None,
        chips_expected=chips_expected,
        board_temp_c=sensors.get("board") or _hot(row.get("Temperature")),
        chip_temp_c=sensors.get("chip"),
        inlet_temp_c=sensors.get("inlet"),
        outlet_temp_c=sensors.get("outlet"),
        voltage_v=sensors.get("volts"),
        frequency_mhz=positive(body.get(chain.frequency)) if chain else None,
        hw_errors=integer(row.get("Hardware Errors")),
    )


def _of_chain(
    chain: _Chain, body: Row, sensors: dict[int, dict[str, float]], chips_expected: int | None
) -> Board:
    """A board that `devs` does not list."""
    found = sensors.get(chain.at - 1, {})
    chips, mean = _chips(body, chain), number(body.get(chain.rate))
    return Board(
        index=chain.at - 1,
        hashrate_ths=0.0 if chips == 0 and mean == 0 else None,
        chips=chips,
        chips_expected=chips_expected,
        board_temp_c=found.get("board"),
        chip_temp_c=found.get("chip"),
        inlet_temp_c=found.get("inlet"),
        outlet_temp_c=found.get("outlet"),
        voltage_v=found.get("volts"),
        frequency_mhz=positive(body.get(chain.frequency)),
        hw_errors=integer(body.get(chain.hw_errors)),
    )


# --- sensors -----------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _roles(key: str, label: str) -> tuple[str, ...]:
    """What a sensor measures, by its label, or by its key where old builds have no labels.

    Air-cooled boards have `Board Intake (top)` and `Board Exhaust (top)`, water-cooled ones
    `Board Inlet`, `Board Outlet`, `Water Inlet` and `Water Outlet`; an S9 has a `Board` and a
    `Chip`. `temp_chip` in `stats` repeats the boards' sensors, which the documentation warns of.
    """
    words = f"{key} {label}".lower()
    comes = "inlet" in words or "intake" in words
    goes = "outlet" in words or "exhaust" in words
    if "water" in words or "coolant" in words or "liquid" in words:
        return ("water_in",) if comes else ("water_out",) if goes else ()
    if "chip" in words or "die" in words:
        return ("chip",)
    return ("board", "inlet") if comes else ("board", "outlet") if goes else ("board",)


def _sensors(temps: dict[str, Any]) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
    """The hottest sensor of each kind on each board, and of the water."""
    metadata = (rows(temps, "METADATA") or [{}])[0]
    found: dict[int, dict[str, float]] = {}
    water: dict[str, float] = {}
    for at, row in enumerate(rows(temps, "TEMPS")[:BOARDS_LIMIT]):
        named = integer(first(row, ("ID", "TEMP")))
        board = found.setdefault(at if named is None else named, {})
        for key, value in list(row.items())[:SENSORS_LIMIT]:
            measured = None if key in ("ID", "TEMP") else _hot(value)
            if measured is None:
                continue
            for role in _roles(key[:40], _label(metadata.get(key))):
                kept = water if role.startswith("water") else board
                kept[role] = max(measured, kept.get(role, measured))
    return found, water


def _label(entry: Any) -> str:
    word = entry.get("Label") if isinstance(entry, dict) else None
    return word[:60] if isinstance(word, str) else ""


def _hot(value: Any) -> float | None:
    found = positive(value)
    return found if found is not None and found < _HOTTEST_C else None


# --- fans --------------------------------------------------------------------------------------

_FANS = tuple((at, f"fan{at}") for at in range(1, 9))


def fans(reply: Any, body: Row) -> tuple[Fan, ...]:
    """The rows of `fans`: `Speed` is the duty that is set, in percent; else those of `stats`.

    Machines cooled by water or oil have no such rows.
    """
    if isinstance(reply, dict) and ("FANS" in reply or "FANCTRL" in reply):
        found = (_fan(at, row) for at, row in enumerate(rows(reply, "FANS")[:FANS_LIMIT]))
        return tuple(fan for fan in found if fan.rpm is not None or fan.duty_percent is not None)
    count = integer(body.get("fan_num"))
    speeds = [(at, rpm) for at, key in _FANS if (rpm := integer(body.get(key))) is not None]
    return tuple(Fan(at - 1, rpm) for at, rpm in speeds[:count])


def _fan(at: int, row: Row) -> Fan:
    index, duty = integer(row.get("ID")), number(row.get("Speed"))
    return Fan(
        at if index is None else index,
        integer(row.get("RPM")),
        duty if duty is not None and 0 <= duty <= 100 else None,
    )
