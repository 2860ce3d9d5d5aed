"""What is said about GPUs: the reading and its parts, and what stays the same."""

from __future__ import annotations

import re

import msgspec

from drivers.model import Fan, PowerSource, Reading


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A process that holds a GPU. Shares are those of its last sample; none while it idles."""

    pid: int
    kind: str
    """`compute`, `graphics` or `mps` (a client of the multi-process service)."""
    memory_bytes: int | None = None
    sm_percent: int | None = None
    memory_percent: int | None = None
    encoder_percent: int | None = None
    decoder_percent: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None


class NvLink(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One NVLink; errors are counters since the driver was loaded."""

    index: int
    active: bool | None = None
    replay_errors: int | None = None
    recovery_errors: int | None = None
    crc_errors: int | None = None
    receive_errors: int | None = None
    """NVLink 5 and later, as the next one."""
    failed_recoveries: int | None = None


class MigInstance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One compute instance of a GPU in MIG mode; shares are of the GPU instance it lives in."""

    uuid: str
    gpu_instance: int | None = None
    compute_instance: int | None = None
    profile: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    graphics_active_percent: float | None = None
    sm_active_percent: float | None = None
    sm_occupancy_percent: float | None = None
    tensor_active_percent: float | None = None
    dram_active_percent: float | None = None

    @property
    def cut(self) -> str | None:
        """The profile of its GPU instance: a `1c.2g.20gb` is a part of a `2g.20gb`."""
        return None if self.profile is None else _PART.sub("", self.profile)


_PART = re.compile(r"^\d+c\.")


class GpuReading(Reading, frozen=True, kw_only=True):
    """A GPU. What comes at a slower pace stands as it was last read (`medium_age_s`, `slow_age_s`).

    Counters run since the driver was loaded, those called `lifetime` since the GPU was made.
    """

    utilisation_percent: int | None = None
    """Time in which anything ran, however little of the GPU it used; none in MIG mode."""
    memory_utilisation_percent: int | None = None
    encoder_percent: int | None = None
    decoder_percent: int | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Without what the driver keeps for itself, where it tells that apart."""
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    power_w: float | None = None
    """Mean of a second, on older GPUs (GA100 and before) of an instant."""
    power_instant_w: float | None = None
    power_source: PowerSource | None = None
    power_limit_w: float | None = None
    """The limit that was asked for."""
    power_limit_enforced_w: float | None = None
    """The lowest of all there are: the asked one, the board's, the management controller's."""
    power_limit_min_w: float | None = None
    power_limit_max_w: float | None = None
    power_limit_default_w: float | None = None
    energy_j: float | None = None
    """Grows while it is watched, also over the driver's own restarts, which begin anew at 0."""
    energy_restarts: int | None = None
    """How often the GPU's own counter was seen to begin anew."""
    temp_c: float | None = None
    memory_temp_c: float | None = None
    temp_margin_c: float | None = None
    """Degrees below the temperature at which it slows down."""
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    graphics_clock_mhz: int | None = None
    video_clock_mhz: int | None = None
    performance_state: int | None = None
    """0 is the fastest, 15 the slowest."""
    throttle_bits: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    """The same in words: why the clocks are lower than they could be."""
    throttled_power_cap_ns: int | None = None
    throttled_sync_boost_ns: int | None = None
    throttled_sw_thermal_ns: int | None = None
    throttled_hw_thermal_ns: int | None = None
    throttled_power_brake_ns: int | None = None
    fans: tuple[Fan, ...] | None = None
    """The duty is what is intended, not measured."""
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_replays: int | None = None
    pcie_tx_bytes: int | None = None
    pcie_rx_bytes: int | None = None
    pcie_tx_bytes_s: float | None = None
    pcie_rx_bytes_s: float | None = None
    nvlinks: tuple[NvLink, ...] | None = None
    nvlink_tx_bytes: int | None = None
    nvlink_rx_bytes: int | None = None
    nvlink_tx_bytes_s: float | None = None
    nvlink_rx_bytes_s: float | None = None
    fabric_state: str | None = None
    """A job that uses several GPUs must not start before it is `completed`."""
    fabric_health: str | None = None
    ecc_enabled: bool | None = None
    ecc_pending: bool | None = None
    """What it will be after the next reset."""
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    ecc_corrected_lifetime: int | None = None
    ecc_uncorrected_lifetime: int | None = None
    sram_threshold_exceeded: bool | None = None
    """So many errors in its SRAM that it has to be exchanged."""
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    row_remap_pending: bool | None = None
    """A reset will remap."""
    row_remap_failed: bool | None = None
    """No spare row is left: it has to be exchanged."""
    row_banks_low: int | None = None
    """Banks of memory with few spare rows left."""
    row_banks_exhausted: int | None = None
    pages_retired_single_bit: int | None = None
    pages_retired_double_bit: int | None = None
    page_retirement_pending: bool | None = None
    repair_pending: bool | None = None
    """A memory channel or a part of the GPU will be repaired at the next reset."""
    recovery_action: str | None = None
    """What the driver says has to be done: `none`, `reset`, `node_reboot` and so on."""
    graphics_active_percent: float | None = None
    """From here on: means since the reading before, Hopper and later."""
    sm_active_percent: float | None = None
    sm_occupancy_percent: float | None = None
    tensor_active_percent: float | None = None
    dram_active_percent: float | None = None
    integer_active_percent: float | None = None
    fp64_active_percent: float | None = None
    fp32_active_percent: float | None = None
    fp16_active_percent: float | None = None
    processes: tuple[GpuProcess, ...] | None = None
    persistence: bool | None = None
    compute_mode: str | None = None
    accounting: bool | None = None
    mig_enabled: bool | None = None
    mig_pending: bool | None = None
    mig_instances: tuple[MigInstance, ...] | None = None
    vgpu_licensed: bool | None = None
    medium_age_s: float | None = None
    """How old the values of the medium pace are; the same for the slow one."""
    slow_age_s: float | None = None

    @property
    def fan_duty_percent(self) -> float | None:
        """The duty of the slowest fan."""
        duties = (fan.duty_percent for fan in self.fans or () if fan.duty_percent is not None)
        return min(duties, default=None)

    @property
    def mig_layout(self) -> tuple[str, ...] | None:
        """The profiles of its instances in the order of their names, one for each GPU instance."""
        if self.mig_instances is None:
            return None
        cuts = {each.gpu_instance: each.cut for each in self.mig_instances}
        return tuple(sorted(cut for cut in cuts.values() if cut is not None))


class MigProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One way to cut a GPU: how many slices it takes, and how many of it there can be."""

    name: str
    id: int
    slices: int
    memory_mib: int
    most: int


class NvLinkPeer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stands at the other end of a link, and where."""

    index: int
    kind: str | None = None
    pci_address: str | None = None


class GpuFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a GPU is and can: changes with a reset, another driver or another screwdriver."""

    uuid: str
    index: int | None = None
    """The driver's number of it, which changes when another falls off the bus."""
    minor: int | None = None
    """The number of its device node, `/dev/nvidia<minor>`."""
    pci_address: str | None = None
    name: str | None = None
    serial: str | None = None
    part_number: str | None = None
    module: int | None = None
    """Its place on an SXM baseboard."""
    architecture: str | None = None
    compute_capability: str | None = None
    cores: int | None = None
    driver_version: str | None = None
    """Of the host, and the same for all its GPUs, like the next two."""
    library_version: str | None = None
    cuda_version: str | None = None
    """The highest that this driver is good for."""
    vbios: str | None = None
    inforom: str | None = None
    virtualization: str | None = None
    memory_total_bytes: int | None = None
    memory_bus_bits: int | None = None
    power_limit_min_w: float | None = None
    power_limit_max_w: float | None = None
    power_limit_default_w: float | None = None
    sm_clock_max_mhz: int | None = None
    memory_clock_max_mhz: int | None = None
    temp_slowdown_c: int | None = None
    temp_shutdown_c: int | None = None
    memory_temp_max_c: int | None = None
    fans: int | None = None
    pcie_generation_max: int | None = None
    pcie_width_max: int | None = None
    numa_node: int | None = None
    nvlinks: int | None = None
    nvlink_version: int | None = None
    nvlink_peers: tuple[NvLinkPeer, ...] | None = None
    gpm: bool | None = None
    """Whether it measures how busy its parts are."""
    events: int | None = None
    """The kinds of events it can tell, as NVML's bit mask."""
    mig_enabled: bool | None = None
    mig_profiles: tuple[MigProfile, ...] | None = None
    mig_instances: tuple[MigInstance, ...] | None = None
    absent: dict[str, str] = {}
    """Why a value is missing, by its name."""
