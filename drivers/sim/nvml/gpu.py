"""One fake GPU, steered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from drivers.sim.nvml.kernel import fallen_message, xid_message
from drivers.sim.nvml.layout import ANY, NUMBERS, STRUCTS

SBE, DBE, XID, RECOVERY = 1, 2, 8, 0x8000
"""Event types."""

PROCESS_KINDS = ("compute", "graphics", "mps")
ECC_LOCATIONS = ("l1", "l2", "dram", "registers", "texture", "texture_shm", "cbu", "sram")
LINK_ERRORS = ("replay", "recovery", "crc_flit", "crc_data", "ecc_data")

_SHARES = {
    "gpu_pct": 1.0, "memory_pct": 0.45, "sm_active_pct": 0.92, "sm_occupancy_pct": 0.5,
    "tensor_pct": 0.4, "dram_pct": 0.45, "fp32_pct": 0.2, "fp16_pct": 0.1, "integer_pct": 0.15,
    "pcie_tx_kib_s": 5_000.0, "pcie_rx_kib_s": 8_000.0,
}  # fmt: skip
_LINK_SHARES = {"nvlink_tx_kib_s": 200_000.0, "nvlink_rx_kib_s": 200_000.0}

_UNKNOWN = (1 << 64) - 1

Change = Callable[[], AbstractContextManager[None]]
Post = Callable[[int, int, int, int, int], None]


class FakeGpu:
    """A GPU by the place where it stands, whatever its index is now.

    What is set here holds from now on: power, heat, clocks and counters follow by themselves.
    """

    def __init__(self, slot: int, raw: Any, change: Change, post: Post) -> None:
        self.slot = slot
        self.raw = raw
        """Its part of the shared state; see `src/state.h`. Read it as you like."""
        self._change = change
        self._post = post

    @property
    def uuid(self) -> str:
        """As NVML has it."""
        return str(self.raw.uuid.decode())

    @property
    def pci_bus_id(self) -> str:
        """As the kernel has it: `0000:1b:00.0`."""
        return f"{self.raw.pci_domain:04x}:{self.raw.pci_bus:02x}:00.0"

    @property
    def limit_w(self) -> float:
        """The power limit that was ordered last, by whomever."""
        with self._change():
            return float(self.raw.limit_mw / 1e3)

    @property
    def power_w(self) -> float:
        """What it draws now."""
        with self._change():
            return float(self.raw.power_w)

    @property
    def energy_j(self) -> float:
        """What it has drawn since the driver was loaded."""
        with self._change():
            return float(self.raw.energy_j)

    def load(self, percent: float, **kinds: float) -> None:
        """Keep it busy to this share; members of `fake_load` by name override what follows."""
        with self._change():
            self.raw.load = self._loaded(percent, kinds)

    def _loaded(self, percent: float, kinds: dict[str, float]) -> Any:
        shares = _SHARES | (_LINK_SHARES if self.raw.model.links else {})
        return STRUCTS["fake_load"](**{key: share * percent for key, share in shares.items()}
                                    | kinds)  # fmt: skip

    def hold_memory(self, size: int) -> None:
        """Bytes in use that belong to no process."""
        with self._change():
            self.raw.memory_base_bytes = size

    def pin(
        self,
        *,
        power_w: float = math.nan,
        temperature_c: float = math.nan,
        memory_temperature_c: float = math.nan,
    ) -> None:
        """Fix values that else follow from the load; what is not named follows again."""
        with self._change():
            self.raw.pinned_power_w = power_w
            self.raw.pinned_temperature_c = temperature_c
            self.raw.pinned_memory_temperature_c = memory_temperature_c

    def throttle(self, reasons: int) -> None:
        """Reasons for low clocks beside those that follow: 0x80 is the power brake."""
        with self._change():
            self.raw.forced_reasons = reasons

    def start(
        self,
        pid: int,
        percent: float = 0.0,
        memory: int | None = 0,
        *,
        kind: str = "compute",
        gpu_instance: int = ANY,
        compute_instance: int = ANY,
        **kinds: float,
    ) -> None:
        """A process comes to the GPU, with a load and memory of its own; None is not told."""
        with self._change():
            place = self.raw.process_count
            if place == NUMBERS["MAX_PROCESSES"]:
                raise ValueError("no room for another process")
            self.raw.processes[place] = STRUCTS["fake_process"](
                pid=pid,
                kind=PROCESS_KINDS.index(kind),
                gpu_instance=gpu_instance,
                compute_instance=compute_instance,
                memory_bytes=_UNKNOWN if memory is None else memory,
                started_s=self.raw.settled_s,
                load=self._loaded(percent, kinds),
            )
            self.raw.process_count += 1

    def stop(self, pid: int) -> None:
        """The process is gone; accounting remembers it where it is on."""
        with self._change():
            kept = [each for each in self._processes() if each.pid != pid]
            gone = [each for each in self._processes() if each.pid == pid]
            for each in gone if self.raw.accounting_mode else []:
                self._account(each)
            copies = [STRUCTS["fake_process"].from_buffer_copy(each) for each in kept]
            for place, each in enumerate(copies):
                self.raw.processes[place] = each
            self.raw.process_count = len(copies)

    def _processes(self) -> list[Any]:
        return [self.raw.processes[place] for place in range(self.raw.process_count)]

    def _account(self, process: Any) -> None:
        self.raw.accounted[self.raw.accounted_count % NUMBERS["MAX_ACCOUNTED"]] = STRUCTS[
            "fake_accounted"
        ](
            pid=process.pid,
            gpu_pct=int(process.load.gpu_pct),
            memory_pct=int(process.load.memory_pct),
            memory_bytes=process.memory_bytes,
            started_s=process.started_s,
            ended_s=self.raw.settled_s,
        )
        self.raw.accounted_count = min(self.raw.accounted_count + 1, NUMBERS["MAX_ACCOUNTED"])

    def xid(self, code: int, *, gpu_instance: int = ANY, compute_instance: int = ANY) -> str:
        """An XID for all who wait for one; gives the line that the kernel's log would have."""
        self.event(XID, code, gpu_instance=gpu_instance, compute_instance=compute_instance)
        return xid_message(self.pci_bus_id, code)

    def event(
        self, kind: int, data: int = 0, *, gpu_instance: int = ANY, compute_instance: int = ANY
    ) -> None:
        """Any event."""
        with self._change():
            self._post(self.slot, kind, data, gpu_instance, compute_instance)

    def ecc(self, location: str, *, corrected: int = 0, uncorrected: int = 0) -> None:
        """Errors more in a place of ECC_LOCATIONS, with the events that go with them."""
        place = ECC_LOCATIONS.index(location)
        with self._change():
            for kind, (count, event) in enumerate(((corrected, SBE), (uncorrected, DBE))):
                for lifetime in (0, 1):
                    self.raw.ecc[kind][lifetime][place] += count
                if count:
                    self._post(self.slot, event, 0, ANY, ANY)

    def remap(
        self,
        *,
        corrected: int = 0,
        uncorrected: int = 0,
        pending: bool = False,
        failure: bool = False,
    ) -> None:
        """Rows remapped, in all; pending ones wait for a reset."""
        with self._change():
            self.raw.remapped_corrected = corrected
            self.raw.remapped_uncorrected = uncorrected
            self.raw.remap_pending = pending
            self.raw.remap_failure = failure

    def retire(self, address: int, *, double_bit: bool, pending: bool = True) -> None:
        """A page more is retired."""
        with self._change():
            place = self.raw.retired_count
            if place == NUMBERS["MAX_RETIRED"]:
                raise ValueError("no room for another page")
            page = STRUCTS["fake_retired"](address=address, cause=int(double_bit))
            self.raw.retired[place] = page
            self.raw.retired_count = place + 1
            self.raw.retired_pending = pending

    def recommend(self, action: int) -> str:
        """The driver recommends another recovery action: XID 154 and an event say so."""
        with self._change():
            self.raw.recovery_action = action
            self._post(self.slot, RECOVERY, action, ANY, ANY)
        return self.xid(154)

    def fall_off(self) -> str:
        """XID 79, and gone: handles say so at once, the count when a client starts anew."""
        with self._change():
            self._lose()
            self._post(self.slot, XID, 79, ANY, ANY)
        return xid_message(self.pci_bus_id, 79)

    def vanish(self) -> str:
        """Gone without an XID; the line that the kernel's log has instead."""
        with self._change():
            self._lose()
            # No set wants an event without a type; those who wait look again, and find it lost.
            self._post(self.slot, 0, 0, ANY, ANY)
        return fallen_message(self.pci_bus_id, self.raw.model.pci_device)

    def _lose(self) -> None:
        self.raw.lost = 1
        self.raw.process_count = 0

    def come_back(self) -> None:
        """It is there again for whoever starts anew."""
        with self._change():
            self.raw.lost = 0

    def set_limit(self, watts: float) -> None:
        """Another hand writes the power limit, once."""
        with self._change():
            self.raw.limit_mw = int(watts * 1e3)

    def rival(self, limits_w: Sequence[float], period_s: float) -> None:
        """Another hand writes one or two limits in turn, for ever. `[]` ends it."""
        with self._change():
            rival = self.raw.rival
            for place, watts in enumerate([*limits_w, *limits_w][:2]):
                rival.limits_mw[place] = int(watts * 1e3)
            rival.turn = 0
            rival.period_s = period_s if limits_w else 0
            rival.next_s = self.raw.settled_s + period_s

    def cap(self, watts: float) -> None:
        """A cap from outside the host, as a BMC sets it; 0 ends it."""
        with self._change():
            self.raw.outside_cap_mw = int(watts * 1e3)

    def round_limits(self, step_w: float) -> None:
        """Limits that are ordered are rounded down to steps."""
        with self._change():
            self.raw.limit_step_mw = max(1, int(step_w * 1e3))

    def pcie(self, *, generation: int = 0, width: int = 0, replays: int = 0) -> None:
        """The link comes up slower or narrower (0: as it should), with so many replays more."""
        with self._change():
            self.raw.pinned_pcie_generation = generation
            self.raw.pinned_pcie_width = width
            self.raw.pcie_replays += replays

    def link(self, number: int, *, active: bool = True, **errors: int) -> None:
        """A link is up or down, with so many errors more: members of LINK_ERRORS by name."""
        with self._change():
            link = self.raw.links[number]
            link.active = active
            for name, count in errors.items():
                link.errors[LINK_ERRORS.index(name)] += count

    def fabric(self, state: int, *, status: int = 0, health: int = 0, summary: int = 0) -> None:
        """How far it is registered with the fabric: 3 is done."""
        with self._change():
            self.raw.fabric_state, self.raw.fabric_status = state, status
            self.raw.fabric_health, self.raw.fabric_summary = health, summary

    def reset_energy(self) -> None:
        """The energy counter starts again at 0."""
        with self._change():
            self.raw.energy_j = 0.0
