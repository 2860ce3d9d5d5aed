"""Totals over the fleet, kept up to date reading by reading. Pure.

Sums are whole numbers (MH/s, mW), so that millions of additions and subtractions leave no
rounding error behind.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from drivers.model import MinerReading, PowerSource, Reading

_MHS_PER_THS = 1_000_000
_MW_PER_W = 1000


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


class Rollup:
    """Adds readings up; each device counts with the reading given last."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int, int, PowerSource | None, int | None]] = {}
        self._states: Counter[str] = Counter()
        self._watts: Counter[PowerSource | None] = Counter()
        self._hashrate_mhs = 0
        self._nominal_mhs = 0
        self._without_power = 0

    def replace(self, reading: Reading) -> None:
        """Count a device by this reading from now on."""
        self.remove(reading.device_id)
        share = _share(reading)
        self._last[reading.device_id] = share
        self._count(share, 1)

    def remove(self, device_id: str) -> None:
        """Count a device no more; unknown ids are no error."""
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
        return state, 0, 0, None, None
    known_w = reading.power_w if reading.power_source else None
    return (
        state,
        round((reading.hashrate_ths or 0.0) * _MHS_PER_THS),
        round((reading.hashrate_nominal_ths or 0.0) * _MHS_PER_THS),
        reading.power_source,
        None if known_w is None else round(known_w * _MW_PER_W),
    )
