"""The rows of api.c's answers, and what differs between the programs that keep to it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drivers.sim.answers import Asked
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

Answer = tuple[int, tuple[object, ...], tuple[Row, ...]]


class Family(msgspec.Struct, frozen=True):
    """What differs between the three programs."""

    brand: str
    device: str
    """What a device is called: ASC, PGA or GPU."""
    device_code: int
    missing_code: int
    in_khs: bool = False
    version: Callable[[str], Row] = lambda version: {"CGMiner": version, "API": "3.7"}


CGMINER = Family("CGMiner", "ASC", 106, 107)
BFGMINER = Family(
    "BFGMiner",
    "PGA",
    57,
    58,
    version=lambda version: {"Miner": f"BFGMiner {version}", "CGMiner": version, "API": "3.3"},
)
SGMINER = Family(
    "SGMiner",
    "GPU",
    17,
    1,
    in_khs=True,
    version=lambda version: {"Miner": f"sgminer {version}", "CGMiner": version, "API": "4.0"},
)

# fmt: off
WRITES = (
    "addpool", "removepool", "switchpool", "enablepool", "disablepool", "poolpriority",
    "poolquota", "quit", "restart", "save", "privileged", "setconfig", "zero", "hotplug", "debug",
    "lockstats", "ascset", "ascenable", "ascdisable", "ascidentify", "pgaset", "pgaenable",
    "pgadisable", "pgaidentify", "gpuenable", "gpudisable", "gpurestart", "gpuintensity",
    "gpumem", "gpuengine", "gpufan", "gpuvddc", "failover-only",
)
# fmt: on


def _rates(family: Family, mhs_5s: float, mhs_av: float) -> Row:
    rates: Row = {"MHS av": round(mhs_av, 4), "MHS 5s": round(mhs_5s, 4)}
    if family.in_khs:
        rates |= {"KHS av": round(mhs_av * 1000, 2), "KHS 5s": round(mhs_5s * 1000, 2)}
    return rates


def summary_row(family: Family, asked: Asked) -> Row:
    """The totals of a machine."""
    now = asked.now
    return {
        "Elapsed": now.uptime_s,
        **_rates(family, round(now.ghs_5s * 1000, 4), now.ghs_av * 1000),
        "Found Blocks": 0,
        "Getworks": now.works,
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Hardware Errors": now.hw_errors,
        "Utility": per_minute(now.accepted, now),
        "Discarded": now.works * 2,
        "Stale": now.stale,
        "Get Failures": 0,
        "Local Work": now.works * 40,
        "Remote Failures": 0,
        "Network Blocks": now.uptime_s // 600 + 1,
        "Total MH": round(now.total_mh, 4),
        "Work Utility": per_minute(difficulty(asked, now.accepted), now),
        "Difficulty Accepted": difficulty(asked, now.accepted),
        "Difficulty Rejected": difficulty(asked, now.rejected),
        "Difficulty Stale": difficulty(asked, now.stale),
        "Best Share": now.accepted * 997,
        "Device Hardware%": 0.0,
        "Device Rejected%": percent(now.rejected, now.accepted),
        "Pool Rejected%": percent(now.rejected, now.accepted),
        "Pool Stale%": percent(now.stale, now.accepted),
        "Last getwork": int(now.now),
    }


def percent(part: int, rest: int) -> float:
    """`part` in percent of both."""
    return round(100 * part / (part + rest), 4) if part else 0.0


def per_minute(count: float, now: Snapshot) -> float:
    """`count` since boot as so much a minute."""
    return round(count / now.uptime_s * 60, 2) if now.uptime_s else 0.0


def difficulty(asked: Asked, shares: int) -> float:
    """The difficulty of so many shares."""
    return shares * asked.machine.traits.share_difficulty


def device_row(family: Family, asked: Asked, index: int) -> Row:
    """One device; a board is a device to these programs."""
    machine, now, boards = asked.machine, asked.now, asked.machine.model.boards
    accepted, rejected = now.accepted // boards, now.rejected // boards
    row: Row = {
        family.device: index,
        "Name": machine.model.driver,
        "ID": index,
        "Enabled": "Y",
        "Status": "Alive" if now.ghs_5s else "Initialising",
        "Temperature": float(now.board_c[index]),
        **_rates(family, now.board_ghs[index] * 1000, now.ghs_av * 1000 / boards),
        "Accepted": accepted,
        "Rejected": rejected,
        "Hardware Errors": now.hw_errors // boards,
        "Utility": per_minute(accepted, now),
        "Last Share Pool": 0,
        "Last Share Time": now.last_share_at,
        "Total MH": round(now.total_mh / boards, 4),
        "Diff1 Work": int(difficulty(asked, accepted + rejected)),
        "Difficulty Accepted": difficulty(asked, accepted),
        "Difficulty Rejected": difficulty(asked, rejected),
        "Last Share Difficulty": machine.traits.share_difficulty,
        "Last Valid Work": now.last_share_at,
        "Device Hardware%": 0.0,
        "Device Rejected%": percent(rejected, accepted),
        "Device Elapsed": now.uptime_s,
    }
    if family.device == "GPU":
        row |= {"Fan Speed": now.fan_rpm[index], "GPU Clock": machine.frequency_mhz}
    return row


def pool_row(asked: Asked, index: int) -> Row:
    """One pool as api.c shows it; the first one gets all the shares."""
    now, pool, active = asked.now, asked.machine.pools[index], index == 0
    return {
        "POOL": index,
        "URL": pool.url,
        "Status": "Alive",
        "Priority": index,
        "Quota": 1,
        "Long Poll": "N",
        "Getworks": now.works if active else 3,
        "Accepted": now.accepted if active else 0,
        "Rejected": now.rejected if active else 0,
        "Works": now.works * 40 if active else 0,
        "Discarded": now.works * 2 if active else 0,
        "Stale": now.stale if active else 0,
        "Get Failures": 0,
        "Remote Failures": 0,
        "User": pool.user,
        "Last Share Time": now.last_share_at if active else 0,
        "Diff1 Shares": int(difficulty(asked, now.accepted)) if active else 0,
        "Proxy Type": "",
        "Proxy": "",
        "Difficulty Accepted": difficulty(asked, now.accepted) if active else 0.0,
        "Difficulty Rejected": difficulty(asked, now.rejected) if active else 0.0,
        "Difficulty Stale": difficulty(asked, now.stale) if active else 0.0,
        "Last Share Difficulty": asked.machine.traits.share_difficulty if active else 0.0,
        "Has Stratum": True,
        "Stratum Active": active,
        "Stratum URL": pool.host if active else "",
        "Has GBT": False,
        "Best Share": now.accepted * 997 if active else 0,
        "Pool Rejected%": percent(now.rejected, now.accepted) if active else 0.0,
        "Pool Stale%": percent(now.stale, now.accepted) if active else 0.0,
    }
