"""The boards of LuxOS in `stats` and `temps`, and what every machine calls itself there.

Source: a recorded S19k Pro of 2025.
"""

from __future__ import annotations

from drivers.sim.dialects import bitmain
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

CHAINS = 4
"""`stats` has keys for this many chains."""

Sections = tuple[int, str, dict[str, list[Row]]]


def _asleep(machine: Machine) -> bool:
    return machine.condition is Condition.SLEEPING


def boards_of(machine: Machine) -> list[int]:
    """The boards that were found; `devs` and `temps` show no others."""
    return [at for at in range(machine.model.boards) if machine.chips_at(at)]


def type_of(machine: Machine) -> str:
    """The model's own name, without what this site's table adds to it."""
    return machine.model.name.partition(" (")[0]


def build_of(machine: Machine) -> str:
    """The version without the commit."""
    return machine.model.firmware.partition("-")[0]


def head(machine: Machine) -> Row:
    """What begins `version` and `stats`."""
    return {
        "CompileTime": machine.model.compile_time,
        "Miner": build_of(machine),
        "Type": type_of(machine),
    }


def stats(machine: Machine, now: Snapshot) -> Sections:
    """Bitmain's form."""
    asleep, boards = _asleep(machine), machine.model.boards
    row: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "ID": "BTM_SOC0",
        "fan_num": len(now.fan_rpm),
        "frequency": machine.frequency_mhz,
        "miner_count": len(boards_of(machine)),
        "miner_id": machine.mac.replace(":", "").lower(),
        "no_matching_work": 0,
        "rate_30m": round(now.ghs_30m, 2),
        "rate_unit": "GH",
        "total_rateideal": round(machine.full_ghs, 1),
    }
    row |= {f"fan{at}": rpm for at, rpm in enumerate(now.fan_rpm, 1)}
    for chain in range(1, CHAINS + 1):
        chips = machine.chips_at(chain - 1) if chain <= boards and not asleep else 0
        temps = "-".join(map(str, _quadrants(now, chain - 1))) if chips else "0-0-0-0"
        row |= {
            f"chain_acn{chain}": chips,
            f"chain_acs{chain}": bitmain.chip_map(chips) if chips else "",
            f"chain_hw{chain}": now.hw_errors // boards if chips else 0,
            # The mean since start, as recorded: not the rate of the moment.
            f"chain_rate{chain}": f"{now.ghs_av / boards:.2f}" if chips else "0",
            f"freq{chain}": float(machine.frequency_mhz) if chips else 0.0,
            # The boards' sensors once more: this firmware measures no chips here.
            f"temp_chip{chain}": temps,
            f"temp_pcb{chain}": temps,
        }
    return 70, "LUXminer stats", {"STATS": [head(machine), row]}


def _quadrants(now: Snapshot, at: int) -> tuple[int, int, int, int]:
    """Top left, top right, bottom right, bottom left: the air comes in at the right."""
    hot = now.board_c[at]
    return (hot, hot - 13, hot - 13, hot - 1) if hot else (0, 0, 0, 0)


def temps(machine: Machine, now: Snapshot) -> Sections:
    """The corners of each board."""
    names = ("TopLeft", "TopRight", "BottomRight", "BottomLeft")
    sides = ("Exhaust (top)", "Intake (top)", "Intake (bottom)", "Exhaust (bottom)")
    labels = {
        name: {"Label": f"Board {side}", "Position": [0, 0]}
        for name, side in zip(names, sides, strict=True)
    }
    rows: list[Row] = []
    for at in boards_of(machine):
        values = map(float, _quadrants(now, at))
        rows.append({"ID": at, "TEMP": at, **dict(zip(names, values, strict=True))})
    return 201, f"{len(rows)} Temp(s)", {"METADATA": [labels], "TEMPS": rows}
