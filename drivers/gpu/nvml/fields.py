"""Values that NVML gives by number, many in one call. A table: number, pace, name, unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pynvml

from drivers.gpu.errors import Cause, cause_of
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.session import FATAL, translated
from drivers.gpu.nvml.words import RECOVERY_ACTIONS, word
from drivers.gpu.protocol import Tier

ALL_LINKS = 0xFFFFFFFF


def _watts(milliwatts: int) -> float:
    return milliwatts / 1000


def _joules(millijoules: int) -> float:
    return millijoules / 1000


def _bytes(kibibytes: int) -> int:
    return kibibytes * 1024


class Field(NamedTuple):
    """One value: NVML's number of it, when it is due, and the field of a reading."""

    number: int
    tier: Tier
    name: str
    convert: Callable[[Any], Any]
    scope: int = 0
    since: tuple[int, ...] = ()
    """The first driver in which the number means this."""


# The numbers of the thermal counters were 251 to 253 in drivers 575 to 580.65, and stood for power
# smoothing before and after; 269 to 271 stood for power smoothing there (the bindings 12.570.86,
# 12.575.51, 13.580.65 and 13.580.82 differ). A number of the wrong meaning would be believed.
_RENUMBERED = (580, 82)
_F, _M = Tier.FAST, Tier.MEDIUM
FIELDS: tuple[Field, ...] = (
    Field(pynvml.NVML_FI_DEV_POWER_AVERAGE, _F, "power_w", _watts),
    Field(pynvml.NVML_FI_DEV_POWER_INSTANT, _F, "power_instant_w", _watts),
    Field(pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, _F, "energy_j", _joules),
    Field(pynvml.NVML_FI_DEV_MEMORY_TEMP, _F, "memory_temp_c", float),
    Field(pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, _M, "recovery_action",
          lambda number: word(number, RECOVERY_ACTIONS)),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP, _M, "throttled_power_cap_ns", int),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST, _M, "throttled_sync_boost_ns", int),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN, _M,
          "throttled_sw_thermal_ns", int, 0, _RENUMBERED),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, _M,
          "throttled_hw_thermal_ns", int, 0, _RENUMBERED),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN, _M,
          "throttled_power_brake_ns", int, 0, _RENUMBERED),
    Field(pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER, _M, "pcie_replays", int),
    Field(pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, _M, "pcie_tx_bytes", int),
    Field(pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, _M, "pcie_rx_bytes", int),
    Field(pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, _M, "ecc_corrected", int),
    Field(pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, _M, "ecc_uncorrected", int),
    Field(pynvml.NVML_FI_DEV_ECC_SBE_AGG_TOTAL, _M, "ecc_corrected_lifetime", int),
    Field(pynvml.NVML_FI_DEV_ECC_DBE_AGG_TOTAL, _M, "ecc_uncorrected_lifetime", int),
    Field(pynvml.NVML_FI_DEV_RETIRED_SBE, _M, "pages_retired_single_bit", int),
    Field(pynvml.NVML_FI_DEV_RETIRED_DBE, _M, "pages_retired_double_bit", int),
    Field(pynvml.NVML_FI_DEV_RETIRED_PENDING, _M, "page_retirement_pending", bool),
    Field(pynvml.NVML_FI_DEV_REMAPPED_COR, _M, "rows_remapped_corrected", int),
    Field(pynvml.NVML_FI_DEV_REMAPPED_UNC, _M, "rows_remapped_uncorrected", int),
    Field(pynvml.NVML_FI_DEV_REMAPPED_PENDING, _M, "row_remap_pending", bool),
    Field(pynvml.NVML_FI_DEV_REMAPPED_FAILURE, _M, "row_remap_failed", bool),
    Field(pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _M, "nvlink_tx_bytes", _bytes, ALL_LINKS),
    Field(pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _M, "nvlink_rx_bytes", _bytes, ALL_LINKS),
)  # fmt: skip

_UNKNOWN_FIELD = pynvml.NVML_ERROR_INVALID_ARGUMENT
"""What drivers answer for a number that is newer than they are."""


def read_fields(
    gpu: Held, tiers: Iterable[Tier], values: dict[str, Any], why: dict[str, str]
) -> None:
    """Put the values that are due into `values`, and the reasons of the others into `why`."""
    wanted = []
    for field in FIELDS:
        if field.tier not in tiers:
            continue
        if field.since and gpu.driver_version < field.since:
            why[field.name] = Cause.OLD_DRIVER
        elif f"#{field.name}" in gpu.absent:
            why[field.name] = gpu.absent[f"#{field.name}"]
        else:
            wanted.append(field)
    if not wanted:
        return
    asked = [(field.number, field.scope) for field in wanted]
    reasons: dict[str, str] = {}
    answers = gpu.learn("fields", lambda held: ask_fields(held, asked), reasons)
    if answers is None:
        why.update((field.name, reasons["fields"]) for field in wanted)
        return
    for field, answer in zip(wanted, answers, strict=True):
        if isinstance(answer, Cause):
            why[field.name] = answer
            if answer in _FOR_GOOD:
                gpu.absent[f"#{field.name}"] = answer
        else:
            values[field.name] = field.convert(answer)


_FOR_GOOD = (Cause.NOT_SUPPORTED, Cause.OLD_DRIVER)


def ask_fields(gpu: Held, asked: list[tuple[int, int]]) -> list[Any]:
    """The values by number and scope, a `Cause` in the place of each that is missing."""
    return [_value(answer) for answer in gpu.ask("nvmlDeviceGetFieldValues", asked)]


def _value(answer: Any) -> Any:
    code = int(answer.nvmlReturn)
    if code == pynvml.NVML_SUCCESS:
        return getattr(answer.value, _MEMBERS.get(int(answer.valueType), "ullVal"))
    if code == _UNKNOWN_FIELD:
        return Cause.OLD_DRIVER
    error = translated(code, "nvmlDeviceGetFieldValues")
    if isinstance(error, FATAL):
        raise error
    return cause_of(error)


_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
"""The member of the union by NVML's number of its type."""
