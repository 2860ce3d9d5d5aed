"""What an Avalon answers, as a reading. Pure.

The strings of `avalon_modules` hold everything but pools and, on old ones, the short-term rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from drivers.asic import parts
from drivers.asic.avalon import boards as avalon_boards
from drivers.asic.avalon.boards import BOARDS_LIMIT, GHS, Supply, supply
from drivers.asic.avalon.faults import FAULTS_LIMIT, faults
from drivers.asic.avalon.modules import Module, celsius, whole
from drivers.asic.avalon.names import model_of
from drivers.asic.avalon.state import at_work, mode_of, state_of
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.models import known
from drivers.model import (
    Board,
    Fan,
    Fault,
    Fingerprint,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

Pools = Kept[tuple[Pool, ...]]
Chips = Kept[tuple[int | None, ...]]
ALL_BOARDS_LIMIT = 64
ALL_FANS_LIMIT = 32


def parse(
    report: Report,
    modules: Sequence[Module],
    device_id: str,
    taken_at: float,
    earlier: Pools | None = None,
    chips: Chips | None = None,
) -> Sample:
    """Read `summary` and `pools` of a report beside the strings of its machines.

    `earlier` are the pools of an earlier poll, `chips` what was counted then on each board.
    """
    summary = next(iter(rows(report.replies.get("summary", {}), "SUMMARY")), {})
    pools = (
        earlier.value if earlier else parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    )
    uptime_s = uptime_of(modules)
    hashrate_ths, mean_ths = rate_of(summary, modules), _each(modules, "GHSavg")
    state = state_of(modules, hashrate_ths, uptime_s, pools)
    supplies = [supply(module.fields) for module in modules]
    body = _bodies(modules, supplies, hashrate_ths, state, chips.value if chips else ())
    wall_w = _sum([each.wall_w for each in supplies])
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        mode=mode_of(modules),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=hashrate_average_ths(summary) if mean_ths is None else mean_ths,
        hashrate_nominal_ths=_each(modules, "GHSmm") or None,
        uptime_s=uptime_s,
        power_w=wall_w,
        # The supply's own figure; whether it measures or computes it no public source says.
        power_source=PowerSource.REPORTED if wall_w is not None else None,
        power_output_w=_sum([each.output_w for each in supplies]),
        power_limit_w=_sum([positive(module.fields.get("MPO")) for module in modules]),
        temp_target_c=celsius(modules[0].fields.get("TarT")) if len(modules) == 1 else None,
        inlet_temp_c=highest(celsius(_inlet(module.fields)) for module in modules),
        outlet_temp_c=highest(celsius(module.fields.get("OTemp")) for module in modules),
        chip_temp_max_c=_hottest_chip(modules, body.boards),
        shares_accepted=_counter(summary, "Accepted", pools, "accepted"),
        shares_rejected=_counter(summary, "Rejected", pools, "rejected"),
        shares_stale=_counter(summary, "Stale", pools, "stale"),
        hw_errors=_hw_errors(summary, modules),
        locating=_locating(modules),
        boards=body.boards,
        fans=body.fans,
        pools=pools,
        pools_at=datetime.fromtimestamp(earlier.at, UTC) if earlier else None,
        faults=body.faults,
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(modules, reading))


# --- the machines of a controller ----------------------------------------------------------------


class _Body(NamedTuple):
    boards: tuple[Board, ...]
    fans: tuple[Fan, ...]
    faults: tuple[Fault, ...]


def _bodies(
    modules: Sequence[Module],
    supplies: Sequence[Supply],
    hashrate_ths: float | None,
    state: State,
    chips: tuple[int | None, ...],
) -> _Body:
    """The parts of all machines; those of the second follow those of the first."""
    boards: list[Board] = []
    fans: list[Fan] = []
    found: list[Fault] = []
    works, alone = state is State.MINING, len(modules) == 1
    for module, power in zip(modules, supplies, strict=True):
        fields, start = module.fields, len(boards)
        model = known(model_of(fields.get("Ver", "")))
        rate_ths = hashrate_ths if alone else _rate(fields)
        own = avalon_boards.boards(
            fields, model, rate_ths, power.volts, chips[start : start + BOARDS_LIMIT], works=works
        ) or _unit(fields)
        boards += own if alone else [replace(each, index=start + each.index) for each in own]
        fans += avalon_boards.fans(fields, len(fans) + 1)
        mine = boards[start:]
        found += faults(fields, power, mine, model, state)
    return _Body(
        tuple(boards[:ALL_BOARDS_LIMIT]), tuple(fans[:ALL_FANS_LIMIT]), tuple(found[:FAULTS_LIMIT])
    )


def _unit(fields: Mapping[str, str]) -> tuple[Board, ...]:
    """A machine that lists no boards (Avalon 4, 5 and 6): it is read as one."""
    rate_ths = scaled(fields.get("GHS5m"), GHS)
    if rate_ths is None:
        return ()
    return (Board(index=0, hashrate_ths=rate_ths, frequency_mhz=positive(fields.get("Freq"))),)


def uptime_of(modules: Sequence[Module]) -> float | None:
    """How long the machine runs, by its own clock; the program's where it drives several."""
    if len(modules) == 1:
        own = number(modules[0].fields.get("Elapsed"))
        return own if own is not None else modules[0].elapsed_s
    return highest(module.elapsed_s for module in modules)


def rate_of(summary: Row, modules: Sequence[Module]) -> float | None:
    """The rate now, in TH/s.

    `GHSspd` where it is above 0. Where it is missing (before 2020) the program's shortest window,
    and also where it is 0 in a machine at work: a 1066 of 2020 never fills it in. `GHSmm` is no
    rate but what the clocks would give.
    """
    own = _each(modules, "GHSspd")
    if own or (own is not None and not at_work(modules)):
        return own
    program = hashrate_now_ths(summary)
    if program is not None:
        return program
    old = [scaled(module.fields.get("GHS5m"), GHS) for module in modules]
    return own if own is not None else _sum(old)


def _rate(fields: Mapping[str, str]) -> float | None:
    return scaled(fields.get("GHSspd"), GHS)


def _each(modules: Sequence[Module], key: str) -> float | None:
    """The sum over the machines in TH/s; None where one of them does not say it."""
    return _sum([_not_negative(scaled(module.fields.get(key), GHS)) for module in modules])


def _not_negative(value: float | None) -> float | None:
    return value if value is not None and value >= 0 else None


def _sum(values: Sequence[float | None]) -> float | None:
    known_values = [value for value in values if value is not None]
    if not values or len(known_values) < len(values):
        return None
    return known_values[0] if len(values) == 1 else scaled(sum(known_values), 1.0)


def _hottest_chip(modules: Sequence[Module], boards: Sequence[Board]) -> float | None:
    stated = (positive(celsius(module.fields.get("TMax"))) for module in modules)
    return highest((*stated, *(board.chip_temp_c for board in boards)))


def _inlet(fields: Mapping[str, str]) -> str | None:
    """`Temp` is the air's (A10 manual: ambient); home machines say `ITemp`."""
    return fields.get("ITemp", fields.get("Temp"))


def _hw_errors(summary: Row, modules: Sequence[Module]) -> int | None:
    own = [whole(module.fields, "HW") for module in modules]
    counted = [each for each in own if each is not None]
    return sum(counted) if counted else integer(summary.get("Hardware Errors"))


def _counter(summary: Row, key: str, pools: tuple[Pool, ...], name: str) -> int | None:
    found = integer(summary.get(key))
    return parts.total(pools, name) if found is None else found


def _locating(modules: Sequence[Module]) -> bool | None:
    """`Led[1]`: the locating light (A10 manual 2.3). `LED[0-0]` of the Nano 3s is decoration."""
    said = [light for module in modules if (light := whole(module.fields, "Led")) in (0, 1)]
    return any(said) if said else None


# --- who answers ---------------------------------------------------------------------------------


def words_of(modules: Sequence[Module]) -> tuple[str, ...]:
    """What the machines call themselves: builds and serials."""
    pairs = ((text(m.fields.get("Ver")), text(m.fields.get("DNA"))) for m in modules[:16])
    return tuple(word[:64] for pair in pairs for word in pair if word)


def _fingerprint(modules: Sequence[Module], reading: MinerReading) -> Fingerprint:
    user = reading.pools[0].user if reading.pools else None
    return Fingerprint(
        traits=(*words_of(modules), *([user] if user else [])),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
