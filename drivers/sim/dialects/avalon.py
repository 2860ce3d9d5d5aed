"""Canaan Avalon: cgminer's protocol with a telemetry string in `stats`.

Follows Canaan's driver of the Nano 3s, the A10 API manual and recordings of a 1346 asleep and of
a Q. Home machines put the string under another key and the chips beside it, and know `litestats`.
"""

from __future__ import annotations

from functools import partial

from drivers.sim.answers import Asked, Command, Dialect
from drivers.sim.dialects.avalon_orders import mode_of, modes_w, respond
from drivers.sim.dialects.classic import commands_of
from drivers.sim.dialects.rows import CGMINER, Answer, summary_row
from drivers.sim.face import Face
from drivers.sim.machine import Condition, Machine
from drivers.sim.protocol import Row

EFFICIENCY = 0.94
BOARD_VOLTS = {False: 1305, True: 2421}
"""Hundredths of a volt, on the A series and at home."""
CONTROL_VOLTS = 1210
NO_CHIP = -273
_COLD_FANS = 0


def _works(machine: Machine) -> bool:
    return machine.condition in (Condition.RUNNING, Condition.BOARD_LOST)


def _version(home: bool, asked: Asked) -> Answer:
    model, machine = asked.machine.model, asked.machine
    name = str(model.extra["model"])
    builds = ("LVERSION", "BVERSION", "CGVERSION") if home else ("VERSION",)
    row: Row = {
        "CGMiner": "4.11.1",
        "API": "3.7",
        "PROD": f"Avalon {name}" if home else f"AvalonMiner {name}",
        "MODEL": name,
        "HWTYPE": "Q_MM1v1_X1" if home else "MM4v1_X3",
        "SWTYPE": "MM319" if home else "MM317",
        **dict.fromkeys(builds, model.firmware),
        "DNA": machine.miner_id,
        "MAC": machine.mac.replace(":", "").lower(),
        "UPAPI": "2",
    }
    return 22, (CGMINER.brand,), (row,)


def _summary(home: bool, asked: Asked) -> Answer:
    row = summary_row(CGMINER, asked)
    # The log shows the rate as the string has it: two digits of GH/s.
    now_mhs = round(asked.now.ghs_5s, 2) * 1000
    del row["MHS 5s"]
    return 11, (), (row | {"MHS 5s" if home else "MHS 30s": now_mhs},)


def _listed(values: object) -> str:
    return " ".join(str(value) for value in values) if isinstance(values, list) else str(values)


def _string(home: bool, asked: Asked) -> str:
    """The string without the lists of the chips."""
    found = {**_head(home, asked), **_heat(home, asked), **_work(home, asked)}
    return " ".join(f"{key}[{_listed(value)}]" for key, value in found.items())


def _head(home: bool, asked: Asked) -> dict[str, object]:
    machine = asked.machine
    boards = machine.model.boards
    lost = machine.condition is Condition.BOARD_LOST
    word = "In Idle" if machine.condition is Condition.SLEEPING else "In Work"
    return {
        "Ver": f"{machine.model.extra['model']}-{machine.model.firmware}",
        "DNA": machine.miner_id,
        "MEMFREE": 67896,
        "NETFAIL": [0] * 8,
        "SYSTEMSTATU": f"Work: {word}, Hash Board: {boards - lost}" + ("" if home else " "),
        "Elapsed": asked.now.uptime_s,
        "BOOTBY": "0x01.00000000",
        "LW": asked.now.works,
        "HW": asked.now.hw_errors,
        "DH": "1.299%",
    }


def _heat(home: bool, asked: Asked) -> dict[str, object]:
    machine, now = asked.machine, asked.now
    works = _works(machine)
    hottest = max(now.chip_c) if works else 0
    inlet = round(now.inlet_c)
    fans = {f"Fan{at}": rpm for at, rpm in enumerate(now.fan_rpm, 1)}
    held = machine.settings.fan_percent
    duty = {"FanR": f"{60 if held is None else round(held)}%" if works else f"{_COLD_FANS}%"}
    if home:
        board = now.board_c[0]
        sensors = {"ITemp": inlet, "HBITemp": board - 2, "HBOTemp": board, "TMax": hottest}
        return {**sensors, "TAvg": max(0, hottest - 5), "TarT": 65, **fans, **duty}
    alive = [bool(machine.chips_at(at)) and works for at in range(machine.model.boards)]
    maxima = [c if on else NO_CHIP for c, on in zip(now.chip_c, alive, strict=True)]
    return {"Temp": inlet, "TMax": hottest, **fans, **duty, "MTmax": maxima}


def _work(home: bool, asked: Asked) -> dict[str, object]:
    machine, now = asked.machine, asked.now
    model, boards = machine.model, machine.model.boards
    lost = machine.condition is Condition.BOARD_LOST
    asleep = machine.condition is Condition.SLEEPING
    # Means since start, also while it rests, as the machines have it.
    share = now.ghs_av / (boards - lost)
    means = [f"{share if machine.chips_at(at) else 0:.2f}" for at in range(boards)]
    found: dict[str, object] = {
        "PS": _supply(home, asked),
        "GHSspd": f"{now.ghs_5s:.2f}",
        "GHSmm": f"{machine.full_ghs:.2f}",
        "GHSavg": f"{now.ghs_av:.2f}",
        "Freq": f"{machine.frequency_mhz:.2f}",
        "MGHS": means,
        "TA": boards * model.chips,
        "Core": "A3197S",
        "SoftOFF": (4 if home else 5) if asleep else 0,
        "ECHU": [0 if machine.chips_at(at) else 2048 for at in range(boards)],
        "ECMM": 0,
        **{f"PLL{at}": [0, 0, 0, model.chips] for at in range(boards)},
        **{f"SF{at}": [0, 0, 0, machine.frequency_mhz] for at in range(boards)},
        "WORKMODE": mode_of(machine),
        "MPO": modes_w(machine)[mode_of(machine)],
    }
    if home:
        return found | {"WORKLEVEL": 0, "Nonce Mask": 25}
    return {
        "Led": int(machine.settings.locating),
        "POWS": 0,
        "EEPROM": [model.chips] * boards,
        "HASHS": [int(not machine.chips_at(at)) for at in range(boards)],
    } | found


def _supply(home: bool, asked: Asked) -> list[int]:
    """Error, volts of the controller and of the boards, amperes, watts, volts set, watts drawn."""
    wall_w = round(asked.now.power_w)
    volts = BOARD_VOLTS[home]
    if not _works(asked.machine):
        return [0, CONTROL_VOLTS, 1, 0, 0, volts, wall_w]
    output_w = round(wall_w * EFFICIENCY)
    return [0, CONTROL_VOLTS, volts, round(output_w / volts * 100), output_w, volts, wall_w]


def _chips(home: bool, asked: Asked, board: int) -> str:
    """The lists of one board; a Q asleep goes on showing them as they were."""
    machine = asked.machine
    count = machine.model.chips
    alive = bool(machine.chips_at(board)) and (home or _works(machine))
    heat = asked.now.chip_c[board] if _works(machine) else 70
    temps = [heat - at % 5 if alive else NO_CHIP for at in range(count)]
    listed = " ".join(f"{temp:3d}" for temp in temps)
    volts = _listed([290 - at % 9 for at in range(count)])
    found = _listed([20 + at % 11 if alive else 0 for at in range(count)])
    return f"PVT_T{board}[ {listed}] PVT_V{board}[{volts}] MW{board}[{found}]"


def _stats(home: bool, asked: Asked) -> Answer:
    machine, now = asked.machine, asked.now
    boards = range(machine.model.boards)
    timing = {"Calls": 0, "Wait": 0.0, "Max": 0.0, "Min": 99999999.0}
    row: Row = {"STATS": 0, "ID": "AVALON0" if home else "AVA100", "Elapsed": now.uptime_s}
    lists = " ".join(_chips(home, asked, at) for at in boards)
    if home:
        row |= timing | {
            "MM ID0:Summary": f"'STATS':{{{_string(home, asked)}}}",
            "HBinfo": f"'HB0':{{{lists}}}",
        }
    else:
        row |= timing | {"MM ID0": f"{_string(home, asked)} {lists}", "MM Count": 1}
    pools = [
        {"STATS": 1 + at, "ID": f"POOL{at}", "Elapsed": now.uptime_s, **timing}
        for at in range(len(machine.pools))
    ]
    return 70, (CGMINER.brand,), (row, *pools)


def _litestats(asked: Asked) -> Answer:
    row: Row = {"MM ID0:Summary": f"'STATS':{{{_string(True, asked)}}}"}
    return 70, (CGMINER.brand,), (row,)


def _dialect(*, home: bool) -> Dialect:
    stats = Command(
        partial(_stats, home), "STATS", headed=False, shows_rate=True, shows_uptime=True
    )
    table = commands_of(CGMINER) | {
        "version": Command(partial(_version, home), "VERSION"),
        "summary": Command(partial(_summary, home), "SUMMARY", shows_rate=True, shows_uptime=True),
        "stats": stats,
        "estats": stats,
    }
    if home:
        table["litestats"] = Command(
            _litestats, "STATS", headed=False, shows_rate=True, shows_uptime=True
        )
    return Dialect(table, hides_name=True)


FACE, HOME = (Face(rpc=partial(respond, home, _dialect(home=home))) for home in (False, True))
