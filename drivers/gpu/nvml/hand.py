"""Carries out errands, one after the other, on the GPUs that it holds open."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from drivers.errors import DriverError
from drivers.gpu.answers import DriverFacts, GpuScan
from drivers.gpu.errands import (
    Enumerate,
    Enumerated,
    Errand,
    Examine,
    Examined,
    Noticed,
    Put,
    Read,
    Returned,
    Seat,
    WasPut,
    WasRead,
)
from drivers.gpu.errors import GpuUnknown, HandlesGone
from drivers.gpu.nvml import gpm, settings
from drivers.gpu.nvml.ear import Ear
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.inventory import driver_facts, examine
from drivers.gpu.nvml.metrics import scan
from drivers.gpu.nvml.session import DRIVER, Nvml
from drivers.gpu.pci import pci_address
from drivers.gpu.wants import FanDuty


class Hand:
    """Holds the driver open from the first `Enumerate` until `close`."""

    def __init__(self, nvml: Nvml, tell: Callable[[Noticed], None]) -> None:
        self._nvml = nvml
        self._ear = Ear(nvml, tell)
        self._open = False
        self._gpus: dict[str, Held] = {}
        self._facts = DriverFacts()
        self._blown: set[str] = set()

    def carry_out(self, errand: Errand) -> Returned:
        """Do it; raises a `DriverError`."""
        if isinstance(errand, Enumerate):
            return self._enumerate(errand)
        gpu = self._gpus.get(errand.uuid)
        if gpu is None:
            raise GpuUnknown(f"{errand.uuid}: no such GPU is open")
        if isinstance(errand, Read):
            values, absent = scan(gpu, errand.tiers)
            found = GpuScan(uuid=gpu.uuid, at=time.time(), values=values, absent=absent)
            return WasRead(id=errand.id, scan=found)
        if isinstance(errand, Examine):
            gpu.fresh()
            return Examined(id=errand.id, facts=examine(gpu))
        return self._put(gpu, errand)

    def listen(self) -> None:
        """Hear events again where that failed."""
        if self._open:
            self._ear.look()

    def close(self) -> None:
        """Let go of everything; what fails at that is not told: the process ends after it."""
        for uuid in sorted(self._blown):
            with contextlib.suppress(DriverError, KeyError):
                settings.put(self._gpus[uuid], FanDuty(None))
        self._shut()

    # --- opening -----------------------------------------------------------------------------

    def _enumerate(self, errand: Enumerate) -> Enumerated:
        if errand.renew:
            self._shut()
            self._nvml.forget_version()
        if not self._open:
            self._nvml.call(DRIVER, "nvmlInit")
            self._open = True
        self._facts = driver_facts(self._nvml)
        if any(not each.startswith("#") for each in errand.skip):
            seen, unopened = self._by_address(errand)
        else:
            seen, unopened = self._by_number(errand.skip)
        before, self._gpus = self._gpus, seen
        if before.keys() != seen.keys():
            self._ear.turn_to(seen.values())
        return Enumerated(
            id=errand.id,
            driver=self._facts,
            seats=tuple(Seat(gpu.uuid, gpu.pci_address, gpu.index) for gpu in seen.values()),
            unopened=unopened,
            hears_events=self._ear.hears,
        )

    def _by_number(self, skip: Collection[str]) -> tuple[dict[str, Held], int]:
        numbers = range(self._nvml.call(DRIVER, "nvmlDeviceGetCount"))
        return self._seats(
            (f"#{number}", "nvmlDeviceGetHandleByIndex", number)
            for number in numbers
            if f"#{number}" not in skip
        )

    def _by_address(self, errand: Enumerate) -> tuple[dict[str, Held], int]:
        return self._seats(
            (uuid, "nvmlDeviceGetHandleByPciBusId", address)
            for uuid, address in errand.known.items()
            if uuid not in errand.skip
        )

    def _seats(self, places: Iterable[tuple[str, str, Any]]) -> tuple[dict[str, Held], int]:
        """Open GPUs: under which name each call is noted, the function, and what it is given."""
        found: dict[str, Held] = {}
        unopened = 0
        for label, function, place in places:
            try:
                gpu = self._seat(label, self._nvml.call(label, function, place))
                found[gpu.uuid] = gpu
            except HandlesGone:
                raise
            except DriverError:  # lost, or kept from us: the others are read all the same
                unopened += 1
        return found, unopened

    def _seat(self, label: str, handle: Any) -> Held:
        uuid = self._nvml.call(label, "nvmlDeviceGetUUID", handle)
        index = self._nvml.call(label, "nvmlDeviceGetIndex", handle)
        known = self._gpus.get(uuid)
        if known is not None:  # what was learnt of it still holds
            known.handle, known.index = handle, index
            return known
        bus = self._nvml.call(label, "nvmlDeviceGetPciInfo", handle).busId
        return Held(self._nvml, uuid, handle, pci_address(bus), index)

    def _shut(self) -> None:
        self._ear.close()
        for gpu in self._gpus.values():
            with contextlib.suppress(DriverError):
                gpm.let_go(gpu)
        self._gpus = {}
        if self._open:
            self._open = False
            with contextlib.suppress(DriverError):
                self._nvml.call(DRIVER, "nvmlShutdown")

    # --- setting -----------------------------------------------------------------------------

    def _put(self, gpu: Held, errand: Put) -> WasPut:
        if isinstance(errand.setting, FanDuty):
            self._blown.add(gpu.uuid)
        before, after, words = settings.put(gpu, errand.setting)
        if isinstance(errand.setting, FanDuty) and errand.setting.percent is None:
            self._blown.discard(gpu.uuid)
        return WasPut(id=errand.id, before=before, after=after, words=words)
