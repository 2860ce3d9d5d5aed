"""Boards, chips, fans and power of one Avalon, from its string. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple, TypeVar

from drivers.asic.avalon.modules import celsius, length, numbers, whole
from drivers.asic.fields import highest, integer, number, positive, scaled
from drivers.asic.models import Model
from drivers.model import Board, Fan

Fields = Mapping[str, str]
T = TypeVar("T")

BOARDS_LIMIT = 16
"""On one machine; none has more than 4."""
CHIPS_LIMIT = 1024
GHS = 1e-3
_SETTLED_S = 600.0
"""A chip that has found nothing for so long is silent: each finds several results a minute."""
_CLOCK_LIMIT_MHZ = 10_000.0
_SHORT_LIST_CHARS = 200


# --- boards ------------------------------------------------------------------------------------


def count(fields: Fields) -> int:
    """How many boards the lists of a machine are for."""
    lists = (length(fields, key) for key in ("MGHS", "MTmax", "MW", "ECHU"))
    numbered = next(at for at in range(BOARDS_LIMIT + 1) if f"PVT_T{at}" not in fields)
    return min(max(*lists, numbered), BOARDS_LIMIT)


def boards(
    fields: Fields,
    model: Model | None,
    rate_ths: float | None,
    volts: float | None,
    known_chips: tuple[int | None, ...] = (),
    *,
    works: bool,
) -> tuple[Board, ...]:
    """The boards in their order, from 0; `known_chips` counted earlier help where none are sent."""
    total = count(fields)
    rates = _rates(fields, total, rate_ths)
    chip_temps = _chip_temps(fields, total)
    listed = [_listed(fields, at) for at in range(total)]
    fitted = numbers(fields, "EEPROM") or [_stated(fields, listed)] * total
    # `Vi` (hundredths) of the old ones is each board's own, else the supply's output feeds all.
    volts_of = [scaled(each, 0.01) for each in numbers(fields, "Vi")] or [volts] * total
    freqs = [frequency(fields, at) for at in range(total)]
    if total == 1:
        freqs = [positive(fields.get("Freq")) or freqs[0]]
    seen = _chips(fields, listed, works=works)
    inlet_c, outlet_c = celsius(fields.get("HBITemp")), celsius(fields.get("HBOTemp"))
    hottest_c = highest((inlet_c, outlet_c, celsius(fields.get("HBTemp"))))
    alone = total == 1  # these sensors are those of the only board, and all chips are on it
    rest = _fitted(number(fields.get("TA"))) if alone and works else None
    by_model = model.chips if model else None
    return tuple(
        Board(
            index=at,
            hashrate_ths=rates[at],
            chips=seen[at] if seen[at] is not None else _known(_at(known_chips, at), rest),
            chips_expected=_fitted(_at(fitted, at)) or by_model,
            board_temp_c=hottest_c if alone else None,
            chip_temp_c=_at(chip_temps, at),
            inlet_temp_c=inlet_c if alone else None,
            outlet_temp_c=outlet_c if alone else None,
            voltage_v=_at(volts_of, at),
            frequency_mhz=freqs[at],
        )
        for at in range(total)
    )


def _rates(fields: Fields, total: int, rate_ths: float | None) -> list[float | None]:
    """The boards' rates.

    `MGHS` are means since start (Canaan's driver: results by time running; their sum is `GHSavg`),
    and there is nothing shorter for a board. A machine that makes nothing has no board that does,
    and the only board has the machine's rate.
    """
    if rate_ths == 0 or (total == 1 and rate_ths is not None):
        return [rate_ths] * total
    means = [scaled(each, GHS) for each in numbers(fields, "MGHS")]
    return [_at(means, at) for at in range(total)]


def _chip_temps(fields: Fields, total: int) -> list[float | None]:
    """The hottest chip of each board.

    `MTmax` since the A10; before, `PVT_T[21-76/1-88/83 ..]` has for each board the coolest chip and
    its temperature, the hottest one and its, and the mean (cgminer's driver-avalon7.c).
    """
    if _is_cold(fields):
        return []
    if "MTmax" in fields:
        return [positive(celsius(each)) for each in numbers(fields, "MTmax")]
    if "PVT_T" in fields:
        return [_hottest(word) for word in fields["PVT_T"].split()[:BOARDS_LIMIT]]
    lists = [numbers(fields, f"PVT_T{at}") for at in range(total)]
    if any(lists):
        return [highest(positive(celsius(each)) for each in temps) for temps in lists]
    return [positive(celsius(fields.get("TMax")))] if total == 1 else []


def _is_cold(fields: Fields) -> bool:
    """True where nothing is measured now: a Q asleep says `TMax[0]` beside lists from before."""
    return number(fields.get("TMax")) == 0


def _hottest(word: str) -> float | None:
    parts = word.split("/")
    return positive(celsius(parts[1].partition("-")[2])) if len(parts) > 1 else None


def frequency(fields: Fields, board: int) -> float | None:
    """The mean over a board's chips, in MHz.

    `PLL<n>` counts the cores at each of the frequencies in `SF<n>`: in recordings the mean is the
    `Freq` of a Nano 3s to 0.02 MHz, and over the boards that of an A1566 to 0.1.
    """
    counts, steps = _floats(fields.get(f"PLL{board}")), _floats(fields.get(f"SF{board}"))
    if not counts or len(counts) != len(steps):
        return None
    mean_mhz = sum(map(mul, counts, steps)) / (sum(counts) or 1.0)
    return round(mean_mhz, 2) if 0 < mean_mhz < _CLOCK_LIMIT_MHZ else None


def _floats(value: str | None) -> list[float]:
    """The numbers of a list, empty where one of them is none; for lists at every poll."""
    if not value or len(value) > _SHORT_LIST_CHARS:
        return []
    try:
        return [*map(float, value.split())]
    except ValueError:
        return []


class _Listed(NamedTuple):
    """The chips in a board's lists: how many, and how many of them answer."""

    length: int = 0
    answering: int | None = None


def _listed(fields: Fields, board: int) -> _Listed:
    """Count a board's chips.

    A chip that is silent has no temperature. Where temperatures are not listed, the list of
    results found (`MW<n>`) tells the same after a while.
    """
    temps = fields.get(f"PVT_T{board}", "").strip()
    if temps and "-273" not in temps and " 0" not in temps and "   " not in temps:
        # Most lists are such, with one blank or two between: not taking them apart saves much.
        length = temps.count(" ") - temps.count("  ") + 1
        return _Listed(length, length - (temps[0] == "0"))
    if listed := temps.split():
        return _Listed(len(listed), len(listed) - listed.count("-273") - listed.count("0"))
    if results := fields.get(f"MW{board}", "").split():
        old = (number(fields.get("Elapsed")) or 0.0) >= _SETTLED_S
        return _Listed(len(results), len(results) - (results.count("0") if old else 0))
    return _Listed()


def _chips(fields: Fields, listed: Sequence[_Listed], *, works: bool) -> list[int | None]:
    """How many chips of each board answer; boards that are switched off tell nothing."""
    found = [each.answering for each in listed]
    return [None] * len(found) if not works and (_is_cold(fields) or not any(found)) else found


def _stated(fields: Fields, listed: Sequence[_Listed]) -> float | None:
    """Chips of each board by the machine's own total (`TA`), where a list is as long.

    It goes before the table of models: of a 1246 both 114 and 120 are about.
    """
    said = number(fields.get("TA"))
    if not said or not listed or said % len(listed):
        return None
    each = said / len(listed)
    return each if max(board.length for board in listed) == each else None


def _fitted(value: float | None) -> int | None:
    """A count of chips: of a board's memory (`EEPROM[160 160 160]`), or all (`TA[160]`)."""
    found = integer(value)
    return found if found and 0 < found <= CHIPS_LIMIT else None


def _known(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _at(values: Sequence[T | None], at: int) -> T | None:
    return values[at] if at < len(values) else None


# --- fans --------------------------------------------------------------------------------------


_FANS = ("Fan", *(f"Fan{at}" for at in range(1, 9)))


def fans(fields: Fields, first_index: int) -> list[Fan]:
    """`Fan1`, `Fan2` ..., or the only `Fan` of the old ones; `FanR` is the duty of all."""
    duty = number(fields.get("FanR"))
    speeds = [rpm for key in _FANS if (rpm := whole(fields, key)) is not None and rpm >= 0]
    return [Fan(first_index + at, rpm, duty) for at, rpm in enumerate(speeds)]


# --- power -------------------------------------------------------------------------------------


class Supply(NamedTuple):
    """What a power supply says of itself; None where it does not or cannot be told."""

    error: int | None = None
    volts: float | None = None
    output_w: float | None = None
    wall_w: float | None = None


_WALL_LIMIT_W = 20_000.0
NO_SUPPLY = Supply()


def supply(fields: Fields) -> Supply:
    """`PS[0 1214 1316 242 3189 1320 3504]`.

    Error bits, the controller's volts, the boards' volts (both in hundredths), amperes and watts,
    the volts set, watts from the wall (A10 manual for the first six; the seventh is `poutwall` in
    Canaan's Nano 3s driver, and is the machine's own WALLPOWER on an A1566). An A10 has six:
    then nothing tells the watts from the wall. The Nano 3s gives its boards' volts in thousandths,
    0 for what it does not measure, and a wattage from the wall alone.
    """
    values = numbers(fields, "PS")
    stated_w = _watts(fields.get("WALLPOWER"))
    if len(values) < 6:
        return NO_SUPPLY._replace(wall_w=stated_w)
    error, control, volts, _, output, _ = values[:6]
    if _is_nano3(values):
        return Supply(integer(error), None, None, stated_w or _watts(values[5]))
    wall_w = stated_w or (_watts(values[6]) if len(values) > 6 else None)
    if not control:
        return Supply(integer(error), None, _watts(output), wall_w)
    output_w = output if output is not None and 0 <= output < _WALL_LIMIT_W else None
    if wall_w and output_w and wall_w < output_w * 0.8:
        wall_w = None  # less than it gives out: another order of values than we know
    return Supply(integer(error), scaled(volts, 0.01), output_w, wall_w)


def _is_nano3(values: list[float | None]) -> bool:
    """True for the order of the first Nano 3, `PS[0 0 0 3 2792 89 324]`.

    The sixth are the watts, for they are 27.92 V by 3 A; from one recording, otherwise unverified.
    """
    volts, amperes, hundredths, watts = values[2:6]
    if volts or not amperes or not hundredths or not watts:
        return False
    return 0.7 <= hundredths / 100 * amperes / watts <= 1.4


def _watts(value: object) -> float | None:
    found = positive(value)
    return found if found is not None and found < _WALL_LIMIT_W else None
