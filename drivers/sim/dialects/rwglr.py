"""The bmminer build `rwglr` on port 4028, of Hiveon and MSKMiner. Source: recordings of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from drivers.sim.answers import Asked, Command, Dialect
from drivers.sim.dialects import bitmain
from drivers.sim.dialects.rows import WRITES, Answer, pool_row
from drivers.sim.machine import Condition, Machine
from drivers.sim.protocol import Row

T = TypeVar("T")
CHAINS = range(1, 17)
"""The keys of `stats` go on for this many chains, with ideal rates and voltages for all."""
VOLTS = 14.2
DUTY = 65


def type_of(machine: Machine) -> str:
    """`Type` as this firmware writes it."""
    return str(machine.model.extra["type"])


def watts_of(asked: Asked) -> tuple[int, ...]:
    """What each board draws, by the firmware's model."""
    total = sum(asked.now.board_ghs)
    power_w = asked.now.power_w if total else 0.0
    return tuple(round(power_w * ghs / total) if total else 0 for ghs in asked.now.board_ghs)


def _head(machine: Machine) -> Row:
    model = machine.model
    return {
        "BMMiner": model.description.partition(" ")[2],
        "Miner": model.firmware,
        "CompileTime": model.compile_time,
        "Type": type_of(machine),
    }


def _version(asked: Asked) -> Answer:
    return 22, ("BMMiner",), (_head(asked.machine) | {"API": "3.1"},)


def _summary(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": f"{now.ghs_5s:.2f}",
        "GHS av": round(now.ghs_av, 2),
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Hardware Errors": now.hw_errors,
    }
    return 11, (), (row,)


def _pools(asked: Asked) -> Answer:
    rows = tuple(_pool(asked, at) for at in range(len(asked.machine.pools)))
    return 7, (len(rows),), rows


def _pool(asked: Asked, at: int) -> Row:
    row = pool_row(asked, at)
    row["Pool Stale%%"] = row.pop("Pool Stale%")  # misspelt on the device
    if asked.machine.condition in (Condition.NO_POOL, Condition.SLEEPING):
        row |= {"Status": "Dead", "Stratum Active": False}
    return row


def _of(asked: Asked, chain: int, values: tuple[T, ...], nothing: T) -> T:
    index = chain - asked.machine.model.first_board
    return values[index] if 0 <= index < len(values) else nothing


def _frame(asked: Asked) -> Row:
    """What both ages of the build have."""
    machine, now, model = asked.machine, asked.now, asked.machine.model
    fans = {model.first_fan + at: rpm for at, rpm in enumerate(now.fan_rpm)}
    chips = tuple(machine.chips_at(at) for at in range(model.boards))
    row: Row = {
        "STATS": 0,
        "ID": "BC50",
        "Elapsed": now.uptime_s,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "miner_count": sum(1 for count in chips if count),
        "fan_num": model.fans,
        **{f"fan{at}": fans.get(at, 0) for at in range(1, 9)},
        "total_rateideal": round(machine.full_ghs, 2),
        "no_matching_work": now.hw_errors,
        "miner_version": model.firmware,
    }
    for chain in CHAINS:
        count = _of(asked, chain, chips, 0)
        row |= {
            f"chain_acn{chain}": count,
            f"chain_acs{chain}": bitmain.chip_map(count) if count else "",
            f"chain_hw{chain}": now.hw_errors // model.boards if count else 0,
            f"temp{chain}": _of(asked, chain, now.board_c, 0),
            f"temp2_{chain}": _of(asked, chain, now.chip_c, 0),
        }
    return row


def _stats(asked: Asked) -> Answer:
    """The build since the S17: numbers are numbers."""
    machine, now, model = asked.machine, asked.now, asked.machine.model
    row, watts = _frame(asked), watts_of(asked)
    for chain in CHAINS:
        chips = row[f"chain_acn{chain}"]
        row |= {
            f"chain_rate{chain}": round(_of(asked, chain, now.board_ghs, 0.0), 2),
            f"chain_rateideal{chain}": round(machine.full_ghs / model.boards, 2),
            f"chain_voltage{chain}": VOLTS,
            f"freq{chain}": machine.frequency_mhz if chips else 0,
            f"temp_pcb{chain}": "-".join([str(_of(asked, chain, now.board_c, 0))] * 4),
            f"temp_chip{chain}": "-".join([str(_of(asked, chain, now.chip_c, 0))] * 4),
        }
    row |= {f"chain_power{at}": watt for at, watt in enumerate(watts, model.first_board)}
    row |= {"frequency": "", "miner_id": "", "total_power": sum(watts), "fan_pwm": DUTY}
    row |= {"tune_running": "0", "psu_status": "PSU OK", "has_pic": "1"}
    return 70, ("BMMiner",), (_head(machine), row)


def _stats_old(asked: Asked) -> Answer:
    """The build of the S9: the rates are words, the power has a remark."""
    machine, now, model = asked.machine, asked.now, asked.machine.model
    row, watts = _frame(asked), watts_of(asked)
    rates = tuple(f"{ghs:.2f}" for ghs in now.board_ghs)
    for chain in CHAINS:
        chips = row[f"chain_acn{chain}"]
        row |= {
            f"chain_rate{chain}": _of(asked, chain, rates, "") if chips else "",
            f"chain_rateideal{chain}": round(machine.full_ghs / model.boards, 2) if chips else 0.0,
            f"freq_avg{chain}": float(machine.frequency_mhz) if chips else 0.0,
            f"chain_power{chain}": float(_of(asked, chain, watts, 0)),
        }
    row |= {"GHS 5s": f"{now.ghs_5s:.2f}", "frequency": str(machine.frequency_mhz)}
    row |= {"chain_power": f"{sum(watts):.2f} (AB)"}
    return 70, ("BMMiner",), (_head(machine), row)


def _dialect(stats: Command, *, joins: bool, glues: bool = False) -> Dialect:
    commands = {name: Command(None, joinable=False) for name in WRITES}
    commands |= {
        "version": Command(_version, "VERSION"),
        "summary": Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
        "pools": Command(_pools, "POOLS", headed=False),
        "stats": stats,
    }
    return Dialect(commands, joins=joins, glues_stats=glues)


def _rated(answer: Callable[[Asked], Answer]) -> Command:
    return Command(answer, "STATS", headed=False, shows_rate=True, shows_uptime=True)


MODERN = _dialect(_rated(_stats), joins=False)
OLD = _dialect(_rated(_stats_old), joins=True, glues=True)
