"""What is read of a GPU, at which pace, and into which fields of a reading: one table.

The paces follow what a call costs the driver, which whoever uses the GPU waits for: some
microseconds for the fast ones, 0.1 to 5 ms for lists of processes and fans, 20 ms and more for
PCIe throughput. What NVML gives by number stands in `fields`, and is asked first, all in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import pynvml

from drivers.gpu.errors import Cause
from drivers.gpu.nvml import gpm, mig, parts
from drivers.gpu.nvml.fields import FIELDS, read_fields
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.words import COMPUTE_MODES, throttle_reasons, word
from drivers.gpu.protocol import Tier

NOT_YET = "not_yet"
"""The reason for a value that takes two readings, at the first of them."""

Values = dict[str, Any]
Way = Callable[[Held], Values]


class Metric(NamedTuple):
    """One thing to read. Of its ways the first that this GPU supports is used.

    A way that gives nothing at all has nothing to say yet.
    """

    tier: Tier
    fields: tuple[str, ...]
    ways: tuple[Way, ...]


def _plain(name: str, function: str, *arguments: Any, convert: Callable[[Any], Any] = int) -> Way:
    """A function that gives one number."""
    return lambda gpu: {name: convert(gpu.ask(function, *arguments))}


def _watts(milliwatts: int) -> float:
    return milliwatts / 1000


def _utilisation(gpu: Held) -> Values:
    rates = gpu.ask("nvmlDeviceGetUtilizationRates")
    return {"utilisation_percent": rates.gpu, "memory_utilisation_percent": rates.memory}


def _memory(gpu: Held) -> Values:
    memory = gpu.ask("nvmlDeviceGetMemoryInfo", pynvml.nvmlMemory_v2)
    return _memory_values(memory) | {"memory_reserved_bytes": memory.reserved}


def _memory_with_reserved(gpu: Held) -> Values:
    """The old form, in which what the driver keeps for itself counts as used."""
    return _memory_values(gpu.ask("nvmlDeviceGetMemoryInfo"))


def _memory_values(memory: Any) -> Values:
    return {
        "memory_total_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "memory_free_bytes": memory.free,
    }


def _reasons(function: str) -> Way:
    def read(gpu: Held) -> Values:
        bits = gpu.ask(function)
        return {"throttle_bits": bits, "throttle_reasons": throttle_reasons(bits)}

    return read


def _pair(function: str, now: str, later: str) -> Way:
    def read(gpu: Held) -> Values:
        current, pending = gpu.ask(function)
        return {now: bool(current), later: bool(pending)}

    return read


def _limits(gpu: Held) -> Values:
    least, most = gpu.ask("nvmlDeviceGetPowerManagementLimitConstraints")
    return {"power_limit_min_w": least / 1000, "power_limit_max_w": most / 1000}


def _codec(name: str, function: str) -> Way:
    return lambda gpu: {name: gpu.ask(function)[0]}


def _throughput(name: str, counter: int) -> Way:
    return lambda gpu: {name: gpu.ask("nvmlDeviceGetPcieThroughput", counter) * 1024.0}


def _remapped(gpu: Held) -> Values:
    corrected, uncorrected, pending, failed = gpu.ask("nvmlDeviceGetRemappedRows")
    return {
        "rows_remapped_corrected": corrected,
        "rows_remapped_uncorrected": uncorrected,
        "row_remap_pending": bool(pending),
        "row_remap_failed": bool(failed),
    }


def _ecc(name: str, error: int, counter: int) -> Way:
    return _plain(name, "nvmlDeviceGetTotalEccErrors", error, counter)


def _metrics() -> tuple[Metric, ...]:
    fast, medium, slow, costly = Tier.FAST, Tier.MEDIUM, Tier.SLOW, Tier.COSTLY
    nv = pynvml

    def one(tier: Tier, name: str, *ways: Way) -> Metric:
        return Metric(tier, (name,), ways)

    def clock(tier: Tier, name: str, kind: int) -> Metric:
        return one(tier, name, _plain(name, "nvmlDeviceGetClockInfo", kind))

    return (
        Metric(fast, ("utilisation_percent", "memory_utilisation_percent"), (_utilisation,)),
        Metric(fast, ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes",
                      "memory_reserved_bytes"), (_memory, _memory_with_reserved)),
        one(fast, "power_w", _plain("power_w", "nvmlDeviceGetPowerUsage", convert=_watts)),
        one(fast, "energy_j", _plain("energy_j", "nvmlDeviceGetTotalEnergyConsumption",
                                     convert=_watts)),
        one(fast, "temp_c",
            _plain("temp_c", "nvmlDeviceGetTemperatureV", nv.NVML_TEMPERATURE_GPU, convert=float),
            _plain("temp_c", "nvmlDeviceGetTemperature", nv.NVML_TEMPERATURE_GPU, convert=float)),
        clock(fast, "sm_clock_mhz", nv.NVML_CLOCK_SM),
        clock(fast, "memory_clock_mhz", nv.NVML_CLOCK_MEM),
        Metric(fast, ("throttle_bits", "throttle_reasons"),
               (_reasons("nvmlDeviceGetCurrentClocksEventReasons"),
                _reasons("nvmlDeviceGetCurrentClocksThrottleReasons"))),
        # --- medium ---
        one(medium, "temp_margin_c",
            _plain("temp_margin_c", "nvmlDeviceGetMarginTemperature", convert=float)),
        clock(medium, "graphics_clock_mhz", nv.NVML_CLOCK_GRAPHICS),
        clock(medium, "video_clock_mhz", nv.NVML_CLOCK_VIDEO),
        one(medium, "performance_state",
            _plain("performance_state", "nvmlDeviceGetPerformanceState")),
        one(medium, "power_limit_w",
            _plain("power_limit_w", "nvmlDeviceGetPowerManagementLimit", convert=_watts)),
        one(medium, "power_limit_enforced_w",
            _plain("power_limit_enforced_w", "nvmlDeviceGetEnforcedPowerLimit", convert=_watts)),
        one(medium, "power_limit_default_w",
            _plain("power_limit_default_w", "nvmlDeviceGetPowerManagementDefaultLimit",
                   convert=_watts)),
        Metric(medium, ("power_limit_min_w", "power_limit_max_w"), (_limits,)),
        one(medium, "pcie_generation",
            _plain("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration")),
        one(medium, "pcie_width", _plain("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth")),
        one(medium, "pcie_replays", _plain("pcie_replays", "nvmlDeviceGetPcieReplayCounter")),
        Metric(medium, ("ecc_enabled", "ecc_pending"),
               (_pair("nvmlDeviceGetEccMode", "ecc_enabled", "ecc_pending"),)),
        one(medium, "ecc_corrected", _ecc("ecc_corrected", 0, nv.NVML_VOLATILE_ECC)),
        one(medium, "ecc_uncorrected", _ecc("ecc_uncorrected", 1, nv.NVML_VOLATILE_ECC)),
        one(medium, "ecc_corrected_lifetime",
            _ecc("ecc_corrected_lifetime", 0, nv.NVML_AGGREGATE_ECC)),
        one(medium, "ecc_uncorrected_lifetime",
            _ecc("ecc_uncorrected_lifetime", 1, nv.NVML_AGGREGATE_ECC)),
        Metric(medium, ("rows_remapped_corrected", "rows_remapped_uncorrected",
                        "row_remap_pending", "row_remap_failed"), (_remapped,)),
        one(medium, "page_retirement_pending",
            _plain("page_retirement_pending", "nvmlDeviceGetRetiredPagesPendingStatus",
                   convert=bool)),
        one(medium, "persistence",
            _plain("persistence", "nvmlDeviceGetPersistenceMode", convert=bool)),
        one(medium, "compute_mode",
            _plain("compute_mode", "nvmlDeviceGetComputeMode",
                   convert=lambda mode: word(mode, COMPUTE_MODES))),
        one(medium, "accounting",
            _plain("accounting", "nvmlDeviceGetAccountingMode", convert=bool)),
        Metric(medium, gpm.FIELDS, (gpm.read,)),  # before the instances, which need it
        one(medium, "mig_instances", mig.instances),
        one(medium, "nvlinks", parts.links),
        Metric(medium, ("fabric_state", "fabric_health"), (parts.fabric, parts.fabric_state)),
        one(medium, "processes", parts.processes, parts.processes_before_515),
        # --- slow ---
        one(slow, "fans", parts.fans),
        one(slow, "encoder_percent",
            _codec("encoder_percent", "nvmlDeviceGetEncoderUtilization")),
        one(slow, "decoder_percent",
            _codec("decoder_percent", "nvmlDeviceGetDecoderUtilization")),
        Metric(slow, ("row_banks_low", "row_banks_exhausted"), (parts.row_banks,)),
        one(slow, "sram_threshold_exceeded", parts.sram),
        one(slow, "repair_pending", parts.repair),
        one(slow, "vgpu_licensed", parts.vgpu_licence),
        # --- costly ---
        one(costly, "pcie_tx_bytes_s",
            _throughput("pcie_tx_bytes_s", nv.NVML_PCIE_UTIL_TX_BYTES)),
        one(costly, "pcie_rx_bytes_s",
            _throughput("pcie_rx_bytes_s", nv.NVML_PCIE_UTIL_RX_BYTES)),
    )  # fmt: skip


METRICS = _metrics()


def fields_of(tiers: Collection[Tier]) -> frozenset[str]:
    """Every field of a reading that these paces give."""
    named = {field.name for field in FIELDS if field.tier in tiers}
    read = {name for metric in METRICS if metric.tier in tiers for name in metric.fields}
    mode = {"mig_enabled", "mig_pending"} if Tier.MEDIUM in tiers else set()
    return frozenset(named | read | mode)


def scan(gpu: Held, tiers: Collection[Tier]) -> tuple[Values, dict[str, str]]:
    """Read a GPU: the values, and for each that is missing why.

    Raises what concerns the whole GPU, and where not one value could be had.
    """
    values: Values = {}
    why: dict[str, str] = {}
    if Tier.MEDIUM in tiers:  # first, since in MIG mode other things are supported than before
        values.update(mig.mode(gpu, why))
    read_fields(gpu, tiers, values, why)
    for metric in METRICS:
        if metric.tier in tiers and not all(name in values for name in metric.fields):
            _read(gpu, metric, values, why)
    return values, {name: reason for name, reason in why.items() if name not in values}


def _read(gpu: Held, metric: Metric, values: Values, why: dict[str, str]) -> None:
    name = metric.fields[0]
    reasons: dict[str, str] = {}
    for number in range(gpu.way.get(name, 0), len(metric.ways)):
        found = gpu.learn(f"{name}/{number}", metric.ways[number], reasons)
        if found is not None:
            gpu.way[name] = number
            values.update({key: value for key, value in found.items() if value is not None})
            reasons = {} if found else {name: NOT_YET}
            break
        if reasons[f"{name}/{number}"] not in (Cause.NOT_SUPPORTED, Cause.OLD_DRIVER):
            break
    reason = next(reversed(reasons.values()), str(Cause.NOT_SUPPORTED))
    why.update((field, reason) for field in metric.fields)
