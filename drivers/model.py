"""The shared language of drivers and agent: identities and readings, unit in every name.

A value that the device did not give is `None`, never 0. Structs are frozen: a reading
describes one moment and nobody changes it afterwards.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What sort of device it is."""

    ASIC = "asic"
    GPU = "gpu"
    PDU = "pdu"
    UPS = "ups"
    SENSOR = "sensor"
    HOST = "host"


class State(StrEnum):
    """What a device is doing."""

    MINING = "mining"
    STARTING = "starting"
    """Powered and preparing: booting, tuning, ramping up."""
    SLEEPING = "sleeping"
    """Told not to mine; it would if asked."""
    IDLE = "idle"
    """Ready to mine, but nothing to do: no pool answers."""
    FAULT = "fault"
    """Should mine and does not, for a reason in the device."""
    OK = "ok"
    """For kinds that do not mine: doing its work."""
    QUARANTINED = "quarantined"
    """It answers, and must not be used until what its faults say was done."""
    UNKNOWN = "unknown"
    """It answers, but not what it is doing."""
    UNREACHABLE = "unreachable"


class PowerSource(StrEnum):
    """Where a figure in watts comes from; they are never added up unlabelled."""

    METERED = "metered"
    """Measured at the wall by a meter or a power supply that measures its input."""
    REPORTED = "reported"
    """The device's own figure, of unknown making."""
    MODELLED = "modelled"
    """Computed from a model of the device."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a device is, independent of its address.

    `id` is `asic-<mac>`, `gpu-<uuid>`, `pdu-<serial>`, `host-<machine-id>`, or the
    provisional `asic-at-<address>` where the device has shown neither MAC nor serial.
    """

    id: str
    kind: Kind
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    """Its name, such as `stock` or `cgminer`."""
    firmware_version: str | None = None
    """In the vendor's own notation."""
    serial: str | None = None
    mac: str | None = None
    """Lower case with colons."""
    hostname: str | None = None
    algorithm: str | None = None
    """What it hashes, such as `sha256` or `scrypt`; rates of different ones do not add up."""

    @property
    def provisional(self) -> bool:
        """True where the id names an address because nothing better was seen."""
        return self.id.startswith(f"{self.kind}-at-")


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Something the device itself says is wrong: the vendor's code and a plain sentence."""

    code: str | None
    message: str
    at: datetime | None = None
    """When the device says it happened, where it says so with its time zone."""


class Board(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One hash board; `chips` below `chips_expected` means silent chips.

    `board_temp_c` is the hottest sensor on the board, `chip_temp_c` the hottest chip;
    `inlet_temp_c` and `outlet_temp_c` are the board's sensors where the coolant comes and goes.
    """

    index: int
    """The firmware's own number."""
    serial: str | None = None
    hashrate_ths: float | None = None
    hashrate_nominal_ths: float | None = None
    chips: int | None = None
    """Chips that answer."""
    chips_expected: int | None = None
    board_temp_c: float | None = None
    chip_temp_c: float | None = None
    inlet_temp_c: float | None = None
    outlet_temp_c: float | None = None
    voltage_v: float | None = None
    frequency_mhz: float | None = None
    hw_errors: int | None = None


class Fan(msgspec.Struct, frozen=True, gc=False):
    """One fan."""

    index: int
    rpm: int | None = None
    """0 is a fan that stands."""
    duty_percent: float | None = None
    """How hard it is driven, 0 to 100."""


class Pool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One configured pool; share counts are counters since the miner started."""

    url: str | None = None
    user: str | None = None
    status: str | None = None
    """The firmware's word, such as `Alive` or `Dead`."""
    active: bool | None = None
    """Whether the miner works for this pool now."""
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a poll shows that would differ if another machine stood at the address.

    `traits` are words that a machine keeps while it runs (type, firmware build, chip
    counts, board serials); `uptime_s` and `counters` only grow while it runs.
    """

    traits: tuple[str, ...] = ()
    uptime_s: float | None = None
    counters: tuple[float, ...] = ()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one device showed at one moment; the kinds below add their own fields."""

    device_id: str
    kind: Kind
    taken_at: datetime
    state: State
    uptime_s: float | None = None
    """Since the mining program started; of a host, since boot."""
    faults: tuple[Fault, ...] = ()
    """What the device itself shows to be wrong."""
    missing: tuple[str, ...] = ()
    """Parts the device refused, did not know, or sent cut off; their values are `None`."""


class MinerReading(Reading, frozen=True, kw_only=True):
    """A miner."""

    hashrate_ths: float | None = None
    """Over the shortest window that the firmware has."""
    hashrate_avg_ths: float | None = None
    """The mean since start."""
    hashrate_nominal_ths: float | None = None
    """What the firmware says it should reach."""
    power_w: float | None = None
    """What the machine draws from the wall, as far as the device tells that apart."""
    power_source: PowerSource | None = None
    power_output_w: float | None = None
    """What its power supply gives out, where the device says both."""
    power_limit_w: float | None = None
    """The limit or target that is set."""
    power_limit_min_w: float | None = None
    """The lowest limit that it takes."""
    power_limit_max_w: float | None = None
    """The highest limit that it takes."""
    efficiency_j_th: float | None = None
    mode: str | None = None
    """The firmware's power mode, in its own words."""
    preset: str | None = None
    """The chosen one of the machine's own presets, where it has such."""
    throttle_percent: float | None = None
    """The share of its full power that the machine is held at, where it says so."""
    temp_target_c: float | None = None
    """The temperature that its fan control keeps."""
    inlet_temp_c: float | None = None
    """Of the air or coolant coming in."""
    outlet_temp_c: float | None = None
    """Of the air or coolant going out."""
    chip_temp_max_c: float | None = None
    """The hottest chip sensor."""
    shares_accepted: int | None = None
    """Counter since start, over all pools."""
    shares_rejected: int | None = None
    """Counter since start, over all pools."""
    shares_stale: int | None = None
    """Counter since start, over all pools."""
    hw_errors: int | None = None
    """Counter since start."""
    locating: bool | None = None
    """Whether the locating light blinks."""
    boards: tuple[Board, ...] = ()
    fans: tuple[Fan, ...] = ()
    pools: tuple[Pool, ...] = ()
    pools_at: datetime | None = None
    """When pools and shares were read, where that was before the rest."""

    @property
    def pool_targets(self) -> tuple[str, ...] | None:
        """The configured pools in order, as `pool_target` writes them; None where none show."""
        found = tuple(pool_target(pool.url, pool.user) for pool in self.pools if pool.url)
        return found or None

    @property
    def fan_duty_percent(self) -> float | None:
        """The duty of the slowest fan."""
        return min(
            (fan.duty_percent for fan in self.fans if fan.duty_percent is not None), default=None
        )


def pool_target(url: str | None, user: str | None) -> str:
    """`user@host:port/path`: a pool without its scheme, which firmwares leave out or change."""
    _, scheme, rest = (url or "").partition("://")
    return f"{user or ''}@{(rest if scheme else url or '').rstrip('/').lower()}"


class Volume(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A mounted file system."""

    mount: str
    total_bytes: int
    free_bytes: int
    """What the agent's user may still fill."""


class NetworkPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network interface; byte and error counts are counters since boot."""

    name: str
    up: bool | None = None
    speed_mbps: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    errors: int | None = None
    """Both directions."""
    drops: int | None = None
    """Both directions."""


class Thermometer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One temperature sensor of the host."""

    name: str
    temp_c: float


class HostReading(Reading, frozen=True, kw_only=True):
    """The host the agent runs on."""

    cpu_percent: float | None = None
    """Of all processors, since the last reading."""
    load_1m: float | None = None
    """Mean number of runnable processes over a minute."""
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    clock_synchronised: bool | None = None
    """Whether the clock follows a time source."""
    clock_offset_s: float | None = None
    """By which it still has to be moved, positive where it is behind."""
    clock_source: str | None = None
    """Who said so: `kernel`, `chrony` or `timesyncd`."""
    volumes: tuple[Volume, ...] = ()
    ports: tuple[NetworkPort, ...] = ()
    thermometers: tuple[Thermometer, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """A reading together with the fingerprint of the machine that gave it."""

    reading: Reading
    fingerprint: Fingerprint = Fingerprint()
