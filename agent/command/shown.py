"""Whether a reading shows the state that a verb names, by the generic model alone. Pure.

A driver's own expectation says more, and is lost with the agent that waited for it. What is asked
here is only what every dialect shows in the same way. True: it does; False: it shows another state;
None: it shows neither.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agent.command.params import (
    Clocks,
    ComputeMode,
    Fans,
    Layout,
    Limit,
    Mode,
    Pools,
    Preset,
    Share,
    Switch,
    Temperature,
)
from drivers.model import MinerReading, Reading, State, pool_target
from drivers.model_gpu import GpuReading

_WATT, _HALF, _STEP_MHZ = 1.0, 0.5, 15
"""Firmwares take whole watts, and whole percents and degrees; clocks come in steps."""
_ROUNDED_S = 2.0
"""Ages are whole seconds, and read a moment before the reading is dated."""
_UNSEEN = frozenset({State.UNKNOWN, State.UNREACHABLE})
_AWAKE = frozenset({State.MINING, State.STARTING, State.IDLE})


def never(_params: Any, _reading: Reading, _since_s: float) -> bool | None:
    """No reading shows it."""
    return None


def asleep(_params: Any, reading: Reading, _since_s: float) -> bool | None:
    """It says that it sleeps, and shows no hashrate."""
    if reading.state in _UNSEEN:
        return None
    hashes = isinstance(reading, MinerReading) and bool(reading.hashrate_ths)
    return reading.state is State.SLEEPING and not hashes


def awake(_params: Any, reading: Reading, _since_s: float) -> bool | None:
    """It mines, is about to, or would if a pool gave it work."""
    return None if reading.state in _UNSEEN else reading.state in _AWAKE


def begun_anew(_params: Any, reading: Reading, since_s: float) -> bool | None:
    """It has not run for as long as the order is old."""
    return None if reading.uptime_s is None else reading.uptime_s + _ROUNDED_S < since_s


def limit(params: Limit, reading: Reading, _since_s: float) -> bool | None:
    """The limit that it shows is this one."""
    return _near(getattr(reading, "power_limit_w", None), params.watts, _WATT)


def share(params: Share, reading: Reading, _since_s: float) -> bool | None:
    """The share that it shows is this one."""
    return _near(_of_miner(reading, "throttle_percent"), params.percent, _HALF)


def preset(params: Preset, reading: Reading, _since_s: float) -> bool | None:
    """The preset that it shows is this one."""
    return _same(_of_miner(reading, "preset"), params.preset)


def mode(params: Mode, reading: Reading, _since_s: float) -> bool | None:
    """The mode that it shows is this one."""
    return _same(_of_miner(reading, "mode"), params.mode)


def pools(params: Pools, reading: Reading, since_s: float) -> bool | None:
    """The list of pools is this one, in this order, and was read after the order."""
    if not isinstance(reading, MinerReading) or reading.pool_targets is None:
        return None
    ordered_at = reading.taken_at - timedelta(seconds=since_s)
    if reading.pools_at is not None and reading.pools_at < ordered_at:
        return None
    wanted = tuple(pool_target(pool.url, pool.user) for pool in params.pools)
    return reading.pool_targets == wanted


def light(params: Switch, reading: Reading, _since_s: float) -> bool | None:
    """The locating light is as it should be."""
    blinks = _of_miner(reading, "locating")
    return None if blinks is None else bool(blinks) is params.on


def fans(params: Fans, reading: Reading, _since_s: float) -> bool | None:
    """The duty of the fans is this one; that the firmware decides, no reading shows."""
    duty = _of_miner(reading, "fan_duty_percent")
    return None if params.percent is None else _near(duty, params.percent, _HALF)


def temperature(params: Temperature, reading: Reading, _since_s: float) -> bool | None:
    """The temperature that it keeps is this one."""
    return _near(_of_miner(reading, "temp_target_c"), params.celsius, _HALF)


# --- GPUs -------------------------------------------------------------------------------------


def clocks(params: Clocks, reading: Reading, _since_s: float) -> bool | None:
    """The clock of the processors is within its lock."""
    return _within(_of_gpu(reading, "sm_clock_mhz"), params)


def memory_clocks(params: Clocks, reading: Reading, _since_s: float) -> bool | None:
    """The clock of the memory is within its lock."""
    return _within(_of_gpu(reading, "memory_clock_mhz"), params)


def persistence(params: Switch, reading: Reading, _since_s: float) -> bool | None:
    """It is as it should be."""
    return _is(_of_gpu(reading, "persistence"), params.on)


def compute_mode(params: ComputeMode, reading: Reading, _since_s: float) -> bool | None:
    """The mode is this one."""
    return _is(_of_gpu(reading, "compute_mode"), params.mode)


def ecc(params: Switch, reading: Reading, _since_s: float) -> bool | None:
    """It will be so after the next reset, or is so by now."""
    return _is(_of_gpu(reading, "ecc_pending"), params.on)


def mig_mode(params: Switch, reading: Reading, _since_s: float) -> bool | None:
    """It will be so after the next reset, or is so by now."""
    return _is(_of_gpu(reading, "mig_pending"), params.on)


def mig_layout(params: Layout, reading: Reading, _since_s: float) -> bool | None:
    """Its instances are these."""
    return _is(_of_gpu(reading, "mig_layout"), tuple(sorted(params.profiles)))


def fans_override(params: Fans, reading: Reading, _since_s: float) -> bool | None:
    """The duty of its fans is this one; that they follow the heat, no reading shows."""
    duty = _of_gpu(reading, "fan_duty_percent")
    return None if params.percent is None else _near(duty, params.percent, 2 * _HALF)


def _within(clock_mhz: int | None, lock: Clocks) -> bool | None:
    """Below a lock it proves nothing: at rest, at its power limit and in heat a GPU is slower."""
    if clock_mhz is None or clock_mhz < lock.min_mhz - _STEP_MHZ:
        return None
    return clock_mhz <= lock.max_mhz + _STEP_MHZ


def _is(seen: Any, wanted: Any) -> bool | None:
    return None if seen is None else bool(seen == wanted)


def _of_gpu(reading: Reading, field: str) -> Any:
    return getattr(reading, field) if isinstance(reading, GpuReading) else None


def _of_miner(reading: Reading, field: str) -> Any:
    return getattr(reading, field) if isinstance(reading, MinerReading) else None


def _near(seen: float | None, wanted: float, within: float) -> bool | None:
    return None if seen is None else abs(seen - wanted) <= within


def _same(seen: str | None, wanted: str) -> bool | None:
    return None if seen is None else seen.casefold() == wanted.casefold()
