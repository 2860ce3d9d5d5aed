"""What is set on a GPU: held against what it allows, written, and read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

from drivers.errors import DriverError, OutOfRange, Refused
from drivers.gpu import wants
from drivers.gpu.errors import InUse
from drivers.gpu.nvml import mig, mig_layout
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.words import COMPUTE_MODES, word

Values = dict[str, Any]
ON, OFF = 1, 0
_LIMIT_SLACK_W = 1.0
"""Drivers round limits, mostly to whole watts."""


class _Way(NamedTuple):
    """How one setting is made: what shows it, and what writes it and says how that went."""

    show: Callable[[Held], Values]
    write: Callable[[Held, Any], str]


def put(gpu: Held, setting: wants.Setting) -> tuple[Values, Values, str]:
    """Make a setting; gives what showed before, what shows after it, and a sentence.

    Raises `OutOfRange` before anything is written where the GPU's own limits do not allow it.
    """
    way = _WAYS[type(setting)]
    before = way.show(gpu)
    words = way.write(gpu, setting)
    try:
        return before, way.show(gpu), words
    except DriverError as error:  # it is written, whatever comes after
        return before, {}, f"{words}; it cannot be read back: {error}"


# --- power -----------------------------------------------------------------------------------


def _limit(gpu: Held) -> Values:
    enforced = gpu.optional("nvmlDeviceGetEnforcedPowerLimit")
    return {
        "power_limit_w": gpu.ask("nvmlDeviceGetPowerManagementLimit") / 1000,
        "power_limit_enforced_w": None if enforced is None else enforced / 1000,
    }


def _set_limit(gpu: Held, setting: wants.PowerLimit) -> str:
    if setting.limit_w is None:
        wanted_w = gpu.ask("nvmlDeviceGetPowerManagementDefaultLimit") / 1000
    else:
        wanted_w = setting.limit_w
        least, most = gpu.ask("nvmlDeviceGetPowerManagementLimitConstraints")
        if not least / 1000 <= wanted_w <= most / 1000:
            raise OutOfRange(f"{wanted_w:g} W", f"{least / 1000:g} to {most / 1000:g} W")
    gpu.ask("nvmlDeviceSetPowerManagementLimit", round(wanted_w * 1000))
    shown_mw = gpu.optional("nvmlDeviceGetPowerManagementLimit")
    if shown_mw is not None and abs(shown_mw / 1000 - wanted_w) > _LIMIT_SLACK_W:
        return f"the driver took {wanted_w:g} W and shows {shown_mw / 1000:g} W"
    enforced_mw = gpu.optional("nvmlDeviceGetEnforcedPowerLimit")
    if enforced_mw is not None and enforced_mw / 1000 < wanted_w - _LIMIT_SLACK_W:
        return f"limit {wanted_w:g} W, but another limit holds it at {enforced_mw / 1000:g} W"
    return f"limit {wanted_w:g} W"


# --- clocks ----------------------------------------------------------------------------------


def _clocks(gpu: Held) -> Values:
    """What NVML shows of locked clocks: nothing but the clocks themselves."""
    return {
        "sm_clock_mhz": gpu.optional("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM),
        "memory_clock_mhz": gpu.optional("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_MEM),
    }


def _lock_clocks(gpu: Held, setting: wants.LockedClocks) -> str:
    return _lock(gpu, setting, pynvml.NVML_CLOCK_SM, "GpuLockedClocks")


def _lock_memory_clocks(gpu: Held, setting: wants.LockedMemoryClocks) -> str:
    return _lock(gpu, setting, pynvml.NVML_CLOCK_MEM, "MemoryLockedClocks")


def _lock(
    gpu: Held, setting: wants.LockedClocks | wants.LockedMemoryClocks, kind: int, what: str
) -> str:
    least, most = setting.min_mhz, setting.max_mhz
    if least is None and most is None:
        gpu.ask(f"nvmlDeviceReset{what}")
        return "clocks are free"
    if least is None or most is None or least > most:
        raise Refused(None, "a lower and a higher clock are needed, or none of both")
    highest = gpu.optional("nvmlDeviceGetMaxClockInfo", kind)
    if highest is not None and most > highest:
        raise OutOfRange(f"{most} MHz", f"up to {highest} MHz")
    gpu.ask(f"nvmlDeviceSet{what}", least, most)
    return f"clock held at {least} to {most} MHz; NVML does not show that"


# --- modes -----------------------------------------------------------------------------------


def _persistence(gpu: Held) -> Values:
    return {"persistence": bool(gpu.ask("nvmlDeviceGetPersistenceMode"))}


def _set_persistence(gpu: Held, setting: wants.Persistence) -> str:
    gpu.ask("nvmlDeviceSetPersistenceMode", ON if setting.on else OFF)
    return f"persistence {'on' if setting.on else 'off'}"


def _compute_mode(gpu: Held) -> Values:
    return {"compute_mode": word(gpu.ask("nvmlDeviceGetComputeMode"), COMPUTE_MODES)}


_MODES = {name: number for number, name in COMPUTE_MODES.items()}


def _set_compute_mode(gpu: Held, setting: wants.ComputeMode) -> str:
    gpu.ask("nvmlDeviceSetComputeMode", _MODES[setting.mode])
    return f"compute mode {setting.mode}"


def _ecc(gpu: Held) -> Values:
    current, pending = gpu.ask("nvmlDeviceGetEccMode")
    return {"ecc_enabled": bool(current), "ecc_pending": bool(pending)}


def _set_ecc(gpu: Held, setting: wants.Ecc) -> str:
    gpu.ask("nvmlDeviceSetEccMode", ON if setting.on else OFF)
    return f"error correction {'on' if setting.on else 'off'} after the next reset"


def _mig_mode(gpu: Held) -> Values:
    return mig.mode(gpu, {})


def _set_mig_mode(gpu: Held, setting: wants.MigMode) -> str:
    activation = gpu.ask("nvmlDeviceSetMigMode", ON if setting.on else OFF)
    if activation == pynvml.NVML_ERROR_IN_USE:
        raise InUse(None, "the GPU is in use: the mode changes at the next reset")
    if activation != pynvml.NVML_SUCCESS:
        return f"MIG {'on' if setting.on else 'off'} after the next reset (NVML {activation})"
    return f"MIG {'on' if setting.on else 'off'}"


def _set_mig_layout(gpu: Held, setting: wants.MigLayout) -> str:
    return mig_layout.rearrange(gpu, setting.profiles)


# --- fans ------------------------------------------------------------------------------------


def _fans(gpu: Held) -> Values:
    count = gpu.ask("nvmlDeviceGetNumFans")
    duties = [float(gpu.ask("nvmlDeviceGetFanSpeed_v2", fan)) for fan in range(count)]
    return {"fans": [{"index": fan, "duty_percent": duty} for fan, duty in enumerate(duties)]}


def _set_fans(gpu: Held, setting: wants.FanDuty) -> str:
    count = gpu.ask("nvmlDeviceGetNumFans")
    if setting.percent is None:
        for fan in range(count):
            gpu.ask("nvmlDeviceSetDefaultFanSpeed_v2", fan)
        return "the fans follow the heat again"
    allowed = gpu.optional("nvmlDeviceGetMinMaxFanSpeed")
    least, most = allowed or (0, 100)
    if not least <= setting.percent <= most:
        raise OutOfRange(f"{setting.percent:g} %", f"{least} to {most} %")
    for fan in range(count):
        gpu.ask("nvmlDeviceSetFanSpeed_v2", fan, round(setting.percent))
    return f"fans at {round(setting.percent)} %, whatever the heat"


_WAYS: dict[type, _Way] = {
    wants.PowerLimit: _Way(_limit, _set_limit),
    wants.LockedClocks: _Way(_clocks, _lock_clocks),
    wants.LockedMemoryClocks: _Way(_clocks, _lock_memory_clocks),
    wants.Persistence: _Way(_persistence, _set_persistence),
    wants.ComputeMode: _Way(_compute_mode, _set_compute_mode),
    wants.Ecc: _Way(_ecc, _set_ecc),
    wants.MigMode: _Way(_mig_mode, _set_mig_mode),
    wants.MigLayout: _Way(mig_layout.show, _set_mig_layout),
    wants.FanDuty: _Way(_fans, _set_fans),
}
