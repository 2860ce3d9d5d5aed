"""Bitmain's stock firmwares on port 4028: the S19 and later, and the older S9."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from drivers.sim.answers import Asked, Command, Dialect, reply_to
from drivers.sim.dialects import bitmain
from drivers.sim.dialects.bitmain_writes import mode_of
from drivers.sim.dialects.rows import WRITES, Answer, difficulty, per_minute, percent, pool_row
from drivers.sim.face import Face
from drivers.sim.protocol import Row

T = TypeVar("T")
MAX_BOARDS = 4
"""A stock answer has keys for this many boards, whether they are there or not."""


def _brand(asked: Asked) -> str:
    return "BMMiner" if asked.machine.model.description.startswith("bmminer") else "CGMiner"


def _version(asked: Asked) -> Answer:
    model = asked.machine.model
    row: Row = {
        "BMMiner": model.description.split()[-1],
        "API": "3.1",
        "Miner": model.firmware,
        "CompileTime": model.compile_time,
        "Type": model.name,
    }
    return 22, (_brand(asked),), (row,)


def _summary(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "GHS 30m": round(now.ghs_30m, 2),
        **_shares(asked),
        "Total MH": round(now.total_mh, 4),
        "Work Utility": per_minute(difficulty(asked, now.accepted), now),
        **_difficulties(asked),
        "Best Share": now.accepted * 99_991,
        "Device Hardware%": 0.0,
        "Device Rejected%": 0.0,
        "Pool Rejected%": percent(now.rejected, now.accepted),
        "Pool Stale%": percent(now.stale, now.accepted),
        "Last getwork": int(now.now),
    }
    return 11, (), (row,)


def _summary_s9(asked: Asked) -> Answer:
    code, words, (row,) = _summary(asked)
    del row["GHS 30m"]
    return code, words, (row | {"GHS 5s": f"{row['GHS 5s']:.2f}"},)  # a string here


def _shares(asked: Asked) -> Row:
    now = asked.now
    return {
        "Found Blocks": 0,
        "Getwork": now.works,
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Hardware Errors": now.hw_errors,
        "Utility": per_minute(now.accepted, now),
        "Discarded": now.works * 1150,
        "Stale": now.stale,
        "Get Failures": 0,
        "Local Work": now.works * 1151,
        "Remote Failures": 0,
        "Network Blocks": now.uptime_s // 600 + 1,
    }


def _difficulties(asked: Asked) -> Row:
    now = asked.now
    return {
        "Difficulty Accepted": difficulty(asked, now.accepted),
        "Difficulty Rejected": difficulty(asked, now.rejected),
        "Difficulty Stale": difficulty(asked, now.stale),
    }


def _pools(asked: Asked) -> Answer:
    pools = asked.machine.pools
    return 7, (len(pools),), tuple(_pool(asked, index) for index in range(len(pools)))


def _pool(asked: Asked, index: int) -> Row:
    row = pool_row(asked, index)
    ago_s = max(0, int(asked.now.now) - asked.now.last_share_at)
    row["Last Share Time"] = f"0:00:{ago_s:02d}" if index == 0 else "0"
    row["Diff"] = bitmain.short_difficulty(asked.machine) if index == 0 else ""
    row["Pool Stale%%"] = row.pop("Pool Stale%")  # misspelt on the device
    if not asked.machine.pool_alive:
        row |= {"Status": "Dead", "Stratum Active": False, "Stratum URL": ""}
    return row


def _devs(asked: Asked) -> Answer:
    # One device for all boards, without a rate since the S17; the misspelt key is the device's.
    now = asked.now
    row: Row = {
        "ASC": 0,
        "Name": "BTM_SOC",
        "ID": 0,
        "Enabled": "Y",
        "Status": "Alive",
        "Tenperature": 0.0,
        "MHS av": 0.0,
        "MHS 5s": 0.0,
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Hardware Errors": 0,
        "Utility": 0.0,
        "Last Share Pool": 0,
        "Last Share Time": now.last_share_at,
        "Total MH": 0.0,
        "Diff1 Work": 0,
        "Difficulty Accepted": difficulty(asked, now.accepted),
        "Difficulty Rejected": difficulty(asked, now.rejected),
        "Last Share Difficulty": asked.machine.traits.share_difficulty,
        "Last Valid Work": now.last_share_at,
        "Device Hardware%": 0.0,
        "Device Rejected%": 0.0,
        "Device Elapsed": now.uptime_s,
    }
    return 9, ("1 ASC(s)",), (row,)


def _stats(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    row: Row = {
        "STATS": 0,
        "ID": "BTM_SOC0",
        "Elapsed": now.uptime_s,
        "Calls": 0,
        "Wait": 0,
        "Max": 0,
        "Min": 99999999,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "rate_30m": round(now.ghs_30m, 2),
        "Mode": 2,
        "miner_count": _boards_there(asked),
        "frequency": machine.frequency_mhz,
        "fan_num": model.fans,
        **{f"fan{model.first_fan + i}": rpm for i, rpm in enumerate(now.fan_rpm)},
        "temp_num": model.boards,
        **_temperatures(asked),
        "temp_max": 0,
        **_chains(asked, range(1, MAX_BOARDS + 1)),
        "total_rateideal": round(machine.full_ghs, 2),
        "rate_unit": "GH",
        "total_freqavg": machine.frequency_mhz,
        "total_acn": sum(map(machine.chips_at, range(model.boards))),
        "total rate": round(now.ghs_av, 2),
        **_mode(asked),
        "no_matching_work": now.hw_errors,
        "miner_version": model.firmware,
        "miner_id": machine.miner_id[:16],
    }
    return 70, (_brand(asked),), (_head(asked), row)


def _boards_there(asked: Asked) -> int:
    return sum(bool(asked.machine.chips_at(at)) for at in range(asked.machine.model.boards))


def _mode(asked: Asked) -> Row:
    # Some builds say the mode in `stats`, others on a web page alone.
    says = asked.machine.model.extra.get("mode_in_stats", True)
    return {"miner_mode": mode_of(asked.machine)} if says else {}


def _stats_s9(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    chains = range(1, 17)
    fans = {model.first_fan + i: rpm for i, rpm in enumerate(now.fan_rpm)}
    row: Row = {
        "STATS": 0,
        "ID": "BC50",
        "Elapsed": now.uptime_s,
        "Calls": 0,
        "Wait": 0.0,
        "Max": 0.0,
        "Min": 99999999.0,
        "GHS 5s": f"{now.ghs_5s:.2f}",
        "GHS av": round(now.ghs_av, 2),
        "miner_count": _boards_there(asked),
        "frequency": str(machine.frequency_mhz),
        "fan_num": model.fans,
        **{f"fan{n}": fans.get(n, 0) for n in range(1, 9)},
        "temp_num": model.boards,
        **{f"temp{n}": _of_board(asked, n, now.board_c, 0) for n in chains},
        **{f"temp2_{n}": _of_board(asked, n, now.chip_c, 0) for n in chains},
        "temp_max": max(now.board_c),
        **_chains(asked, chains),
        "total_rateideal": round(machine.full_ghs, 2),
        "total_rate": round(now.ghs_5s, 2),
        "total_freqavg": float(machine.frequency_mhz),
        "total_acn": sum(map(machine.chips_at, range(model.boards))),
        "no_matching_work": now.hw_errors,
        "miner_version": model.firmware,
        "miner_id": machine.miner_id,
    }
    return 70, (_brand(asked),), (_head(asked), row)


def _head(asked: Asked) -> Row:
    model = asked.machine.model
    return {
        "BMMiner": model.description.split()[-1],
        "Miner": model.firmware,
        "CompileTime": model.compile_time,
        "Type": model.name,
    }


def _of_board(asked: Asked, number: int, values: tuple[T, ...], nothing: T) -> T:
    index = number - asked.machine.model.first_board
    return values[index] if 0 <= index < len(values) else nothing


def _temperatures(asked: Asked) -> Row:
    now, row = asked.now, Row()
    for number in range(1, MAX_BOARDS + 1):
        board_c = _of_board(asked, number, now.board_c, 0)
        chip_c = _of_board(asked, number, now.chip_c, 0)
        if board_c:
            row |= {f"temp{number}": board_c, f"temp2_{number}": chip_c}
        row[f"temp_pcb{number}"] = _four(board_c)
        row[f"temp_chip{number}"] = _four(chip_c)
        row[f"temp_pic{number}"] = _four(board_c and board_c - 10)
    return row


def _four(temp_c: int) -> str:
    """Four sensors: the inlet side is cooler."""
    return "-".join(str(c) for c in bitmain.sensors(temp_c))


def _chains(asked: Asked, numbers: range) -> Row:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    rates = tuple(f"{ghs:.2f}" for ghs in now.board_ghs)
    present = tuple(map(machine.chips_at, range(model.boards)))
    row: Row = {}
    for number in numbers:
        chips = _of_board(asked, number, present, 0)
        row |= {
            f"chain_acn{number}": chips,
            f"chain_acs{number}": bitmain.chip_map(chips) if chips else "",
            f"chain_hw{number}": now.hw_errors // model.boards if chips else 0,
            f"chain_rate{number}": _of_board(asked, number, rates, "") if chips else "",
            f"freq{number}": machine.frequency_mhz if chips else 0,
        }
    return row


def _commands(summary: Command, stats: Command) -> dict[str, Command]:
    table = {name: Command(None, joinable=False) for name in WRITES}
    # Known, but outside the group that stock firmware gives to everybody.
    table |= {name: Command(None) for name in ("config", "devdetails", "notify", "coin", "estats")}
    table |= {name: Command(None, joinable=name != "asc") for name in ("asc", "asccount")}
    table["check"] = Command(None, joinable=False)
    return table | {
        "version": Command(_version, "VERSION"),
        "summary": summary,
        "pools": Command(_pools, "POOLS", headed=False),
        "devs": Command(_devs, "DEVS", headed=False, shows_uptime=True),
        "stats": stats,
    }


DIALECTS = {
    "stock": Dialect(
        _commands(
            Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
            Command(_stats, "STATS", headed=False, shows_rate=True, shows_uptime=True),
        ),
        joins=False,
        new_api=bitmain.new_api,
    ),
    "stock_s9": Dialect(
        _commands(
            Command(_summary_s9, "SUMMARY", shows_rate=True, shows_uptime=True),
            Command(_stats_s9, "STATS", headed=False, shows_rate=True, shows_uptime=True),
        ),
        glues_stats=True,
    ),
}

STOCK = Face(rpc=partial(reply_to, DIALECTS["stock"]), web=bitmain.WEB)
STOCK_S9 = Face(rpc=partial(reply_to, DIALECTS["stock_s9"]))
