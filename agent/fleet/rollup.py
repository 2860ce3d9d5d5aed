"""Totals over the fleet, kept up to date reading by reading. Pure.

Sums are whole numbers (MH/s, mW), so that millions of additions and subtractions leave no
rounding error behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from drivers.model import MinerReading, PowerSource, Reading
from drivers.model_gpu import GpuReading

_MHS_PER_THS = 1_000_000
_MW_PER_W = 1000


class GpuTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What this host's GPUs showed, each by its last reading."""

    devices: int
    utilisation_percent: float | None
    """The mean over those that show one; null where none does."""
    with_utilisation: int
    """How many show one."""
    memory_total_bytes: int
    memory_used_bytes: int
    power_metered_w: float
    power_reported_w: float
    power_modelled_w: float
    without_power: int
    by_state: dict[str, int]
    """States without a GPU are left out."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet showed, each device by its last reading. Watts by their source."""

    devices: int
    """Devices with a reading; the host itself is not counted."""
    hashrate_ths: float
    hashrate_nominal_ths: float
    """Of the devices that state one."""
    power_metered_w: float
    power_reported_w: float
    power_modelled_w: float
    without_power: int
    """Devices whose watts nobody knows; they are in none of the sums."""
    by_state: dict[str, int]
    """Devices in each state; states without a device are left out."""
    gpus: GpuTotals
    """Of GPUs alone, which are in the sums above as well."""


class Rollup:
    """Adds readings up; each device counts with the reading given last."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int, int, PowerSource | None, int | None]] = {}
        self._states: Counter[str] = Counter()
        self._watts: Counter[PowerSource | None] = Counter()
        self._hashrate_mhs = 0
        self._nominal_mhs = 0
        self._without_power = 0
        self._gpus: dict[str, GpuReading] = {}

    def replace(self, reading: Reading) -> None:
        """Count a device by this reading from now on."""
        self.remove(reading.device_id)
        if isinstance(reading, GpuReading):
            self._gpus[reading.device_id] = reading
        share = _share(reading)
        self._last[reading.device_id] = share
        self._count(share, 1)

    def remove(self, device_id: str) -> None:
        """Count a device no more; unknown ids are no error."""
        self._gpus.pop(device_id, None)
        share = self._last.pop(device_id, None)
        if share is not None:
            self._count(share, -1)

    def totals(self) -> Totals:
        """The sums as of now."""
        watts = {source: self._watts[source] / _MW_PER_W for source in PowerSource}
        return Totals(
            devices=len(self._last),
            hashrate_ths=self._hashrate_mhs / _MHS_PER_THS,
            hashrate_nominal_ths=self._nominal_mhs / _MHS_PER_THS,
            power_metered_w=watts[PowerSource.METERED],
            power_reported_w=watts[PowerSource.REPORTED],
            power_modelled_w=watts[PowerSource.MODELLED],
            without_power=self._without_power,
            by_state={state: count for state, count in sorted(self._states.items()) if count},
            gpus=gpu_totals(list(self._gpus.values())),
        )

    def _count(
        self, share: tuple[str, int, int, PowerSource | None, int | None], sign: int
    ) -> None:
        state, hashrate_mhs, nominal_mhs, source, milliwatts = share
        self._states[state] += sign
        self._hashrate_mhs += sign * hashrate_mhs
        self._nominal_mhs += sign * nominal_mhs
        if milliwatts is None:
            self._without_power += sign
        else:
            self._watts[source] += sign * milliwatts


def _share(reading: Reading) -> tuple[str, int, int, PowerSource | None, int | None]:
    state = reading.state.value
    if not isinstance(reading, MinerReading):
        source = reading.power_source if isinstance(reading, GpuReading) else None
        return state, 0, 0, source, _milliwatts(reading)
    return (
        state,
        round((reading.hashrate_ths or 0.0) * _MHS_PER_THS),
        round((reading.hashrate_nominal_ths or 0.0) * _MHS_PER_THS),
        reading.power_source,
        _milliwatts(reading),
    )


def _milliwatts(reading: Reading) -> int | None:
    if not isinstance(reading, MinerReading | GpuReading):
        return None
    known_w = reading.power_w if reading.power_source else None
    return None if known_w is None else round(known_w * _MW_PER_W)


def gpu_totals(readings: Sequence[GpuReading]) -> GpuTotals:
    """The sums over the last readings of some GPUs: of a host's few, afresh each time."""
    busy = [r.utilisation_percent for r in readings if r.utilisation_percent is not None]
    watts: Counter[PowerSource | None] = Counter()
    for reading in readings:
        watts[reading.power_source] += _milliwatts(reading) or 0
    states = Counter(reading.state.value for reading in readings)
    return GpuTotals(
        devices=len(readings),
        utilisation_percent=round(sum(busy) / len(busy), 1) if busy else None,
        with_utilisation=len(busy),
        memory_total_bytes=sum(reading.memory_total_bytes or 0 for reading in readings),
        memory_used_bytes=sum(reading.memory_used_bytes or 0 for reading in readings),
        power_metered_w=watts[PowerSource.METERED] / _MW_PER_W,
        power_reported_w=watts[PowerSource.REPORTED] / _MW_PER_W,
        power_modelled_w=watts[PowerSource.MODELLED] / _MW_PER_W,
        without_power=sum(_milliwatts(reading) is None for reading in readings),
        by_state=dict(sorted(states.items())),
    )
