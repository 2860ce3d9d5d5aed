"""cgminer, bfgminer and sgminer: the dialects that follow api.c closely."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from drivers.sim.answers import Asked, Command, Dialect
from drivers.sim.dialects import classic_writes as writes
from drivers.sim.dialects.rows import (
    BFGMINER,
    CGMINER,
    SGMINER,
    WRITES,
    Answer,
    Family,
    device_row,
    pool_row,
    summary_row,
)
from drivers.sim.face import Face
from drivers.sim.machine import Condition
from drivers.sim.protocol import Row


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
    return 11, (), (summary_row(family, asked),)


def device(family: Family, asked: Asked, index: int) -> Row:
    """A device as it is: disabled where the machine sleeps, dead where its board is lost."""
    machine, row = asked.machine, device_row(family, asked, index)
    if machine.condition is Condition.SLEEPING:
        row |= {"Enabled": "N", "Status": "Disabled"}
    elif not machine.chips_at(index):
        row |= {"Status": "Dead"}
    elif not machine.pool_alive:
        row |= {"Status": "Alive"}
    return row


def pool(asked: Asked, index: int) -> Row:
    """A pool as it is."""
    row = pool_row(asked, index) | writes.activity(asked.machine, index)
    return row if asked.machine.pool_alive else row | {"Status": "Dead", "Stratum Active": False}


def _devs(family: Family, asked: Asked) -> Answer:
    boards = asked.machine.model.boards
    rows = tuple(device(family, asked, index) for index in range(boards))
    return 9, (f"{boards} {family.device}(s)",), rows


def _one_device(family: Family, asked: Asked) -> Answer:
    if not asked.parameter:
        return 15, (), ()
    index = _atoi(asked.parameter)
    last = asked.machine.model.boards - 1
    if not 0 <= index <= last:
        return family.missing_code, (index, last), ()
    return family.device_code, (index,), (device(family, asked, index),)


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
    # api.c shows the device's own name here; cgminer's USB devices have none.
    name = "" if family is CGMINER else model.name
    rows = tuple(
        {
            "DEVDETAILS": index,
            "Name": model.driver,
            "ID": index,
            "Driver": model.driver_long,
            "Kernel": "",
            "Model": name,
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
            "Chips": asked.machine.chips_at(index),
            "Frequency": asked.machine.frequency_mhz,
        }
        for index in range(model.boards)
    ]
    pools: list[Row] = [
        {"STATS": model.boards + index, "ID": f"POOL{index}", "Elapsed": now.uptime_s, **timing}
        for index in range(len(asked.machine.pools))
    ]
    return 70, (family.brand,), tuple(devices + pools)


def pools_of(asked: Asked) -> Answer:
    """All pools."""
    pools = asked.machine.pools
    return 7, (len(pools),), tuple(pool(asked, index) for index in range(len(pools)))


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
    access = access or writes.may(asked.machine, asked.parameter)
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
        "pools": Command(pools_of, "POOLS", headed=False),
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

CGMINER_FACE, BFGMINER_FACE, SGMINER_FACE = (
    Face(rpc=partial(writes.respond, dialect)) for dialect in DIALECTS.values()
)
