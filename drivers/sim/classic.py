"""cgminer, bfgminer and sgminer: the dialects that follow api.c closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from drivers.sim.answers import Asked, Command, Dialect
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
    count_code: int
    in_khs: bool = False
    version: Callable[[str], Row] = lambda version: {"CGMiner": version, "API": "3.7"}


CGMINER = Family("CGMiner", "ASC", 106, 107, 104)
BFGMINER = Family(
    "BFGMiner",
    "PGA",
    57,
    58,
    59,
    version=lambda version: {"Miner": f"BFGMiner {version}", "CGMiner": version, "API": "3.3"},
)
SGMINER = Family(
    "SGMiner",
    "GPU",
    17,
    1,
    20,
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


def _version(family: Family, asked: Asked) -> Answer:
    return 22, (family.brand,), (family.version(asked.machine.model.firmware),)


def _config(family: Family, asked: Asked) -> Answer:
    model = asked.machine.model
    counts = {f"{kind} Count": model.boards * (kind == family.device) for kind in ("ASC", "PGA")}
    if family.device == "GPU":
        counts = {"GPU Count": model.boards}
    row: Row = {
        **counts,
        "Pool Count": len(asked.machine.pools),
        "Strategy": "Failover",
        "Log Interval": 5,
        "Device Code": f"{model.driver} ",
        "OS": "Linux",
        "Hotplug": "None",
    }
    return 33, (family.brand,), (row,)


def _summary(family: Family, asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        **_rates(family, round(now.ghs_5s * 1000, 4), now.ghs_av * 1000),
        "Found Blocks": 0,
        "Getworks": now.works,
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Hardware Errors": now.hw_errors,
        "Utility": _per_minute(now.accepted, now),
        "Discarded": now.works * 2,
        "Stale": now.stale,
        "Get Failures": 0,
        "Local Work": now.works * 40,
        "Remote Failures": 0,
        "Network Blocks": now.uptime_s // 600 + 1,
        "Total MH": round(now.total_mh, 4),
        "Work Utility": _per_minute(_diff(asked, now.accepted), now),
        "Difficulty Accepted": _diff(asked, now.accepted),
        "Difficulty Rejected": _diff(asked, now.rejected),
        "Difficulty Stale": _diff(asked, now.stale),
        "Best Share": now.accepted * 997,
        "Device Hardware%": 0.0,
        "Device Rejected%": percent(now.rejected, now.accepted),
        "Pool Rejected%": percent(now.rejected, now.accepted),
        "Pool Stale%": percent(now.stale, now.accepted),
        "Last getwork": int(now.now),
    }
    return 11, (), (row,)


def percent(part: int, rest: int) -> float:
    """`part` in percent of both."""
    return round(100 * part / (part + rest), 4) if part else 0.0


def _per_minute(count: float, now: Snapshot) -> float:
    return round(count / now.uptime_s * 60, 2) if now.uptime_s else 0.0


def _diff(asked: Asked, shares: int) -> float:
    return shares * asked.machine.traits.share_difficulty


def _device(family: Family, asked: Asked, index: int) -> Row:
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
        "Utility": _per_minute(accepted, now),
        "Last Share Pool": 0,
        "Last Share Time": now.last_share_at,
        "Total MH": round(now.total_mh / boards, 4),
        "Diff1 Work": int(_diff(asked, accepted + rejected)),
        "Difficulty Accepted": _diff(asked, accepted),
        "Difficulty Rejected": _diff(asked, rejected),
        "Last Share Difficulty": machine.traits.share_difficulty,
        "Last Valid Work": now.last_share_at,
        "Device Hardware%": 0.0,
        "Device Rejected%": percent(rejected, accepted),
        "Device Elapsed": now.uptime_s,
    }
    if family.device == "GPU":
        row |= {"Fan Speed": now.fan_rpm[index], "GPU Clock": machine.frequency_mhz}
    return row


def _devs(family: Family, asked: Asked) -> Answer:
    boards = asked.machine.model.boards
    rows = tuple(_device(family, asked, index) for index in range(boards))
    return 9, (f"{boards} {family.device}(s)",), rows


def _one_device(family: Family, asked: Asked) -> Answer:
    if not asked.parameter:
        return 15, (), ()
    index = _atoi(asked.parameter)
    last = asked.machine.model.boards - 1
    if not 0 <= index <= last:
        return family.missing_code, (index, last), ()
    return family.device_code, (index,), (_device(family, asked, index),)


def _atoi(text: str) -> int:
    """As C's: the leading digits, else 0."""
    digits = ""
    for letter in text.strip():
        if not (letter in "0123456789" or (letter in "+-" and not digits)):
            break
        digits += letter
    return int(digits) if digits.strip("+-") else 0


def _count(code: int, device: str, family: Family, asked: Asked) -> Answer:
    return code, (), ({"Count": asked.machine.model.boards * (device == family.device)},)


def _details(family: Family, asked: Asked) -> Answer:
    model = asked.machine.model
    rows = tuple(
        {
            "DEVDETAILS": index,
            "Name": model.driver,
            "ID": index,
            "Driver": model.driver_long,
            "Kernel": "",
            "Model": model.name,
            "Device Path": "",
        }
        for index in range(model.boards)
    )
    return 69, (), rows


def _notify(family: Family, asked: Asked) -> Answer:
    model = asked.machine.model
    rows = tuple(
        {
            "NOTIFY": index,
            "Name": model.driver,
            "ID": index,
            "Last Well": int(asked.now.now),
            "Last Not Well": 0,
            "Reason Not Well": "None",
            "*Thread Fail Init": 0,
            "*Thread Zero Hash": 0,
            "*Thread Fail Queue": 0,
            "*Dev Sick Idle 60s": 0,
            "*Dev Dead Idle 600s": 0,
            "*Dev Nostart": 0,
            "*Dev Over Heat": 0,
            "*Dev Thermal Cutoff": 0,
            "*Dev Comms Error": 0,
            "*Dev Throttle": 0,
        }
        for index in range(model.boards)
    )
    return 60, (), rows


def _stats(family: Family, asked: Asked) -> Answer:
    model, now = asked.machine.model, asked.now
    timing = {"Calls": 0, "Wait": 0.0, "Max": 0.0, "Min": 99999999.0}
    devices: list[Row] = [
        {
            "STATS": index,
            "ID": f"{model.driver}{index}",
            "Elapsed": now.uptime_s,
            **timing,
            "Chips": model.chips,
            "Frequency": asked.machine.frequency_mhz,
        }
        for index in range(model.boards)
    ]
    pools: list[Row] = [
        {"STATS": model.boards + index, "ID": f"POOL{index}", "Elapsed": now.uptime_s, **timing}
        for index in range(len(asked.machine.pools))
    ]
    return 70, (family.brand,), tuple(devices + pools)


def _pools(asked: Asked) -> Answer:
    pools = asked.machine.pools
    return 7, (len(pools),), tuple(pool_row(asked, index) for index in range(len(pools)))


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
        "Diff1 Shares": int(_diff(asked, now.accepted)) if active else 0,
        "Proxy Type": "",
        "Proxy": "",
        "Difficulty Accepted": _diff(asked, now.accepted) if active else 0.0,
        "Difficulty Rejected": _diff(asked, now.rejected) if active else 0.0,
        "Difficulty Stale": _diff(asked, now.stale) if active else 0.0,
        "Last Share Difficulty": asked.machine.traits.share_difficulty if active else 0.0,
        "Has Stratum": True,
        "Stratum Active": active,
        "Stratum URL": pool.host if active else "",
        "Has GBT": False,
        "Best Share": now.accepted * 997 if active else 0,
        "Pool Rejected%": percent(now.rejected, now.accepted) if active else 0.0,
        "Pool Stale%": percent(now.stale, now.accepted) if active else 0.0,
    }


def _coin(family: Family, asked: Asked) -> Answer:
    method = "scrypt" if family.in_khs else "sha256"
    row: Row = {
        "Hash Method": method,
        "Current Block Time": asked.now.now // 600 * 600,
        "Current Block Hash": f"{int(asked.now.now // 600):064x}",
        "LP": True,
        "Network Difficulty": 110568428300952.69,
    }
    return 78, (family.brand,), (row,)


def _usbstats(asked: Asked) -> Answer:
    return 88, (), ()


def _check(commands: Mapping[str, Command], asked: Asked) -> Answer:
    if not asked.parameter:
        return 71, (), ()
    command = commands.get(asked.parameter)
    allowed = {"*", asked.parameter} & set(asked.machine.model.commands)
    access = command is not None and command.answer is not None and bool(allowed)
    return 72, (), ({"Exists": "NY"[command is not None], "Access": "NY"[access]},)


def commands_of(family: Family) -> dict[str, Command]:
    """The command table of one of the three programs."""
    device = family.device
    table: dict[str, Command] = {name: Command(None, joinable=False) for name in WRITES}
    table |= {
        "version": Command(partial(_version, family), "VERSION"),
        "config": Command(partial(_config, family), "CONFIG"),
        "summary": Command(
            partial(_summary, family), "SUMMARY", shows_rate=True, shows_uptime=True
        ),
        "devs": Command(partial(_devs, family), "DEVS", headed=False, shows_uptime=True),
        "edevs": Command(partial(_devs, family), "DEVS", headed=False, shows_uptime=True),
        "devdetails": Command(partial(_details, family), "DEVDETAILS", headed=False),
        "pools": Command(_pools, "POOLS", headed=False),
        "stats": Command(partial(_stats, family), "STATS", headed=False, shows_uptime=True),
        "estats": Command(partial(_stats, family), "STATS", headed=False, shows_uptime=True),
        "notify": Command(partial(_notify, family), "NOTIFY", headed=False),
        "coin": Command(partial(_coin, family), "COIN"),
        "usbstats": Command(_usbstats),
        device.lower(): Command(partial(_one_device, family), device, headed=False, joinable=False),
        "asccount": Command(partial(_count, 104, "ASC", family), "ASCS"),
        "pgacount": Command(partial(_count, 59, "PGA", family), "PGAS"),
        "gpucount": Command(partial(_count, 20, "GPU", family), "GPUS"),
    }
    table["check"] = Command(partial(_check, table), "CHECK", joinable=False)
    return table


DIALECTS = {
    "cgminer": Dialect(commands_of(CGMINER), hides_name=True, rate_digits=7),
    "bfgminer": Dialect(commands_of(BFGMINER), rate_digits=7),
    "sgminer": Dialect(commands_of(SGMINER), rate_digits=7),
}
