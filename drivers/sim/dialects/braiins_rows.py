"""What Braiins OS shows of a machine: BOSminer's sections, GraphQL's tree.

Sources: the vendor's documentation of the BOSminer API, and recordings of S9, S17 and S21. Boards
are called by their connector, four places are listed for fans, and a sensor that is not there is
at 0.0.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

PLACES = 4
VOLTS = 13.45
LIMIT_W = 3250
BOOT_S = 30
"""How long BOSminer answers that it is not ready."""
REFUSED = "Hashchain refused to start: Failed to initialize hash board"
Sections = tuple[int, str, dict[str, list[Row]]]


def model_of(machine: Machine) -> str:
    """The model as Braiins writes it, without what this site's table adds."""
    return str(machine.model.extra.get("called") or machine.model.name.partition(" (")[0])


def version_of(machine: Machine) -> str:
    """The firmware's own version, which BOSminer does not tell."""
    return machine.model.firmware


def asleep(machine: Machine) -> bool:
    """True for a paused machine."""
    return machine.condition is Condition.SLEEPING


def connector(machine: Machine, at: int) -> int:
    """The number of a board's connector: 1 to 3, on an S9 6 to 8."""
    return machine.model.first_board + at


def watts(now: Snapshot) -> int:
    """What the tuner computes."""
    return round(now.power_w)


def nominal_ghs(machine: Machine, at: int) -> float:
    """What a board should reach, 0 of one that does not run."""
    runs = machine.chips_at(at) and not asleep(machine)
    return round(machine.full_ghs / machine.model.boards, 3) if runs else 0.0


def limit_w(machine: Machine) -> int:
    """The tuner's target."""
    chosen = machine.settings.limit_w
    return LIMIT_W if chosen is None else round(chosen)


def fan_rows(machine: Machine, now: Snapshot) -> list[tuple[int, int, int]]:
    """Place, rpm and duty; places without a fan are at 0 rpm."""
    rpm = [*now.fan_rpm, *[0] * PLACES][:PLACES]
    chosen = machine.settings.fan_percent
    duty = round(chosen) if chosen is not None else 72 if any(now.fan_rpm) else 0
    return [(at, each, duty) for at, each in enumerate(rpm)]


def chip_c(machine: Machine, now: Snapshot, at: int) -> float:
    """The chips' sensor, 0.0 where nothing is measured."""
    measured = machine.chips_at(at) and not asleep(machine)
    return float(now.chip_c[at]) if measured else 0.0


def _version(machine: Machine, now: Snapshot) -> Sections:
    key, _, build = machine.model.description.partition(" ")
    return 22, f"{key} versions", {"VERSION": [{"API": "3.7", key: build}]}


def _summary(machine: Machine, now: Snapshot) -> Sections:
    row: Row = {
        "Accepted": now.accepted,
        "Best Share": now.accepted * 997,
        "Elapsed": now.uptime_s,
        "Hardware Errors": now.hw_errors,
        "MHS 15m": now.ghs_30m * 1000,
        "MHS 1m": now.ghs_5s * 1000,
        "MHS 24h": now.ghs_av * 1000,
        "MHS 5m": now.ghs_30m * 1000,
        "MHS 5s": now.ghs_5s * 1000,
        "MHS av": now.ghs_av * 1000,
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Total MH": now.total_mh,
    }
    return 11, "Summary", {"SUMMARY": [row]}


def _devs(machine: Machine, now: Snapshot) -> Sections:
    found = [_dev(machine, now, at) for at in range(machine.model.boards)]
    return 9, f"{len(found)} ASC(s)", {"DEVS": found}


def _dev(machine: Machine, now: Snapshot, at: int) -> Row:
    mhs = now.board_ghs[at] * 1000
    return {
        "ASC": at,
        "Device Elapsed": now.uptime_s,
        "Enabled": "Y",
        "Hardware Errors": now.hw_errors // machine.model.boards,
        "ID": connector(machine, at),
        **{f"MHS {window}": mhs for window in ("15m", "1m", "5m", "5s", "av")},
        "Name": "",
        "Nominal MHS": nominal_ghs(machine, at) * 1000,
        "Status": "Alive" if machine.chips_at(at) else "Dead",
        "Temperature": 0.0,
    }


def _devdetails(machine: Machine, now: Snapshot) -> Sections:
    if asleep(machine):
        return -69, "Unavailable", {}
    hertz = 1_000_000 if machine.model.extra.get("in_hertz") else 1
    found = [
        {
            "Chips": machine.chips_at(at),
            "Cores": machine.chips_at(at) * 600,
            "DEVDETAILS": at,
            "Device Path": "",
            "Driver": "",
            "Frequency": machine.frequency_mhz * hertz if machine.chips_at(at) else 0,
            "ID": connector(machine, at),
            "Kernel": "",
            "Model": model_of(machine),
            "Name": f"Hash Chain {connector(machine, at)}",
            "Voltage": VOLTS if machine.chips_at(at) else 0.0,
        }
        for at in range(machine.model.boards)
    ]
    return 69, "Device Details", {"DEVDETAILS": found}


def _temps(machine: Machine, now: Snapshot) -> Sections:
    found = [
        {
            "Board": float(now.board_c[at]) if machine.chips_at(at) else 0.0,
            "Chip": chip_c(machine, now, at),
            "ID": connector(machine, at),
            "TEMP": at,
        }
        for at in range(machine.model.boards)
    ]
    return 201, f"{len(found)} Temp(s)", {"TEMPS": found}


def _fans(machine: Machine, now: Snapshot) -> Sections:
    found = [
        {"FAN": at, "ID": at, "RPM": rpm, "Speed": duty} for at, rpm, duty in fan_rows(machine, now)
    ]
    return 202, f"{len(found)} Fan(s)", {"FANS": found}


def _tunerstatus(machine: Machine, now: Snapshot) -> Sections:
    chains = [
        {
            "ApproximatePowerConsumptionWatt": watts(now) // machine.model.boards,
            "HashchainIndex": connector(machine, at),
            "Iteration": 0,
            "PowerLimitWatt": limit_w(machine) // machine.model.boards,
            "Status": _chain_status(machine, at),
            "TunerRunning": not asleep(machine),
        }
        for at in range(machine.model.boards)
    ]
    row: Row = {
        "ApproximateChainPowerConsumption": round(watts(now) * 0.95),
        "ApproximateMinerPowerConsumption": watts(now),
        "DynamicPowerScaling": "Disabled",
        "PowerLimit": limit_w(machine),
        "TunerChainStatus": chains,
    }
    return 203, "Tuner Status", {"TUNERSTATUS": [row]}


def _chain_status(machine: Machine, at: int) -> str:
    if asleep(machine):
        return "Paused"
    return "Stable" if machine.chips_at(at) else REFUSED


def _pools(machine: Machine, now: Snapshot) -> Sections:
    found = [
        {
            "Accepted": now.accepted if at == 0 else 0,
            "POOL": at,
            "Priority": at,
            "Quota": 1,
            "Rejected": now.rejected if at == 0 else 0,
            "Stale": now.stale if at == 0 else 0,
            "Status": "Alive" if machine.pool_alive else "Dead",
            "Stratum Active": at == 0 and machine.pool_alive,
            "URL": pool.url,
            "User": pool.user,
        }
        for at, pool in enumerate(machine.pools)
    ]
    return 7, f"{len(found)} Pool(s)", {"POOLS": found}


COMMANDS: dict[str, Callable[[Machine, Snapshot], Sections]] = {
    made.__name__[1:]: made
    for made in (
        _version,
        _summary,
        _devs,
        _devdetails,
        _temps,
        _fans,
        _tunerstatus,
        _pools,
    )
}


# --- GraphQL -----------------------------------------------------------------------------------


def tree(machine: Machine, now: Snapshot) -> Row:
    """Everything that can be asked for."""
    boards = [_solver(machine, now, at) for at in range(machine.model.boards)]
    info = {
        "modelName": model_of(machine),
        "workSolver": {
            "realHashrate": {"mhs5S": now.ghs_5s * 1000},
            "nominalMhs": sum(board["nominalMhs"] for board in boards),
            "childSolvers": boards,
        },
        "fans": [{"name": f"{at}", "rpm": r, "speed": d} for at, r, d in fan_rows(machine, now)],
        "summary": {"power": {"limitW": limit_w(machine), "approxConsumptionW": watts(now)}},
        "poolGroups": [{"name": "farm", "pools": _graph_pools(machine, now)}],
    }
    bos = {
        "hostname": machine.hostname,
        "faultLight": machine.settings.locating,
        "info": {"version": {"full": version_of(machine)}},
        "uptime": {"durationS": now.uptime_s + BOOT_S},
    }
    return {"bos": bos, "bosminer": {"info": info}, "events": {"appeals": []}}


def _solver(machine: Machine, now: Snapshot, at: int) -> Row:
    board_c = float(now.board_c[at])
    temps = {"Max Board": board_c, "Max Chip": chip_c(machine, now, at)}
    temps |= {"Inlet": board_c - 15, "Outlet": board_c}
    details: Row = {
        "chips": machine.chips_at(at),
        "frequencyMhz": float(machine.frequency_mhz),
        "voltageV": VOLTS,
    }
    if not machine.model.extra.get("old"):
        details["hbSerialNumber"] = machine.board_serials[at]
    return {
        "name": f"{connector(machine, at)}",
        "realHashrate": {"mhs5S": now.board_ghs[at] * 1000},
        "nominalMhs": nominal_ghs(machine, at) * 1000,
        "hwDetails": details,
        "temperatures": [{"name": name, "degreesC": value} for name, value in temps.items()],
    }


def _graph_pools(machine: Machine, now: Snapshot) -> list[Row]:
    return [
        {
            "url": pool.url,
            "user": pool.user,
            "status": "ALIVE" if machine.pool_alive else "DEAD",
            "active": at == 0 and machine.pool_alive,
            "shares": {
                "acceptedSolutions": now.accepted if at == 0 else 0,
                "rejectedSolutions": now.rejected if at == 0 else 0,
            },
        }
        for at, pool in enumerate(machine.pools)
    ]
