"""Port 4028 of VNish: the stock firmware's `stats` with some keys more, and little else."""

from __future__ import annotations

from drivers.sim.answers import Asked, Command, Dialect
from drivers.sim.dialects.rows import Answer, difficulty
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

MILLIVOLTS = 13_400
_STATES = {Condition.SLEEPING: "stopped", Condition.BOARD_LOST: "mining"}


def state(machine: Machine, now: Snapshot) -> str:
    """The miner's state in the firmware's words."""
    if machine.condition in _STATES:
        return _STATES[machine.condition]
    return "mining" if now.ghs_5s or not machine.pool_alive else "starting"


def watts(machine: Machine, now: Snapshot) -> int:
    """What the machine says it draws; 0 on one whose supply does not tell."""
    tells = machine.model.extra.get("watts", True)
    return round(now.power_w) if tells else 0


def fan_duty(machine: Machine, now: Snapshot) -> int:
    """The duty of the fans: as it was fixed, else what the firmware's control gives."""
    fixed = machine.settings.fan_percent
    return round(fixed) if fixed is not None else 72 if any(now.fan_rpm) else 0


def chain_state(machine: Machine, now: Snapshot, index: int) -> str:
    """The state of one board."""
    return state(machine, now) if machine.chips_at(index) else "failure"


def _stats(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    head: Row = {
        "Type": model.name,
        "Miner": "0.0.0",
        "Cgminer": model.firmware,
        "CompileTime": model.compile_time,
    }
    body: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": f"{now.ghs_5s:.2f}",
        "GHS av": round(now.ghs_av, 2),
        "fan_num": model.fans,
        "fan_mode": 0,
        "fan_pwm": fan_duty(machine, now),
        **{f"fan{at}": rpm for at, rpm in enumerate(now.fan_rpm, 1)},
        "state": state(machine, now),
        "total_rate": round(now.ghs_5s, 2),
        "total_rateideal": round(machine.full_ghs, 2),
        "total_acn": sum(map(machine.chips_at, range(model.boards))),
    }
    for index in range(model.boards):
        body |= _chain_keys(machine, now, index)
    return 70, ("CGMiner",), (head, body)


def _chain_keys(machine: Machine, now: Snapshot, index: int) -> Row:
    chips, at = machine.chips_at(index), index + 1
    return {
        f"temp_sens{at}": "m-m-m-m",
        f"temp{at}": now.board_c[index],
        f"temp2_{at}": now.chip_c[index],
        f"temp3_{at}": now.chip_c[index],
        f"temp_pcb{at}": "-".join([str(now.board_c[index])] * 4),
        f"temp_chip{at}": "-".join([str(now.chip_c[index])] * 4),
        f"chain_consumption{at}": watts(machine, now) // machine.model.boards,
        f"chain_hw{at}": now.hw_errors // machine.model.boards,
        f"chain_rate{at}": round(now.board_ghs[index], 3),
        f"chain_rateideal{at}": round(machine.full_ghs / machine.model.boards, 3),
        f"freq_avg{at}": float(machine.frequency_mhz) if chips else 0.0,
        f"chain_vol{at}": MILLIVOLTS if chips else 0,
        f"chain_state{at}": chain_state(machine, now, index),
        f"chain_fault{at}": "" if chips else "No chips detected",
        f"chain_acn{at}": chips,
    }


def _summary(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "Accepted": now.accepted + now.accepted // 36,
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Hardware Errors": now.hw_errors,
        "Fee Percent": 2.8,
    }
    return 11, (), (row,)


def _pools(asked: Asked) -> Answer:
    machine, now = asked.machine, asked.now
    found: list[Row] = []
    for index, pool in enumerate(machine.pools):
        used = index == 0
        found.append(
            {
                "POOL": index,
                "URL": pool.url.rpartition("://")[2],
                "Type": 0,
                "User": pool.user,
                "Status": "Alive" if machine.pool_alive else "Dead",
                "Accepted": now.accepted * used,
                "Rejected": now.rejected * used,
                "Stale": now.stale * used,
                "Stratum Active": used and machine.pool_alive,
                "Difficulty Accepted": difficulty(asked, now.accepted * used),
            }
        )
    fee: Row = {
        "POOL": len(found),
        "URL": "DevFee",
        "Type": 1,
        "User": "DevFee",
        "Status": "Alive",
        "Accepted": now.accepted // 36,
        "Rejected": 1,
        "Stale": 0,
        "Stratum Active": True,
    }
    return 7, (len(found) + 1,), (*found, fee)


DIALECT = Dialect(
    {
        "stats": Command(_stats, "STATS", shows_rate=True, shows_uptime=True),
        "summary": Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
        "pools": Command(_pools, "POOLS"),
    },
    hides_name=True,
)
"""`version` is not known to it."""
