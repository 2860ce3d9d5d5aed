"""The GPUs of this host as the agent sees them: who is there, what happens, what errors mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from drivers.api import Clock
from drivers.api_gpu import BuiltIn, GpuSettings, Happened, Happening, Mark, Meaning, Verdict
from drivers.errors import DriverError, Unreachable
from drivers.gpu.answers import Event, EventKind, GpuFound, Inventoried
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause, cause_of
from drivers.gpu.gpu import Gpu, GpuHost
from drivers.gpu.kernel_log import KernelLog
from drivers.gpu.merging import TOGETHER_S, Source, XidMerge
from drivers.gpu.pci import pci_address
from drivers.gpu.xid import XidMeaning, load_table
from drivers.model import Fault, State

RECENT_MOST = 100
"""Of so many is kept over a restart that they were told."""

Told = Callable[[Happening], None]


class Front:
    """Joins the client of `stoker-gpu`, the drivers of its GPUs, and both sources of faults."""

    driver_name = "nvml"

    def __init__(self, settings: GpuSettings, clock: Clock, told: Told, mark: Mark) -> None:
        self._clock = clock
        self._told = told
        self._socket = settings.socket
        self._table = load_table(settings.fault_table)
        self._merge = XidMerge(self._table)
        self._log = KernelLog()
        self._recent = deque(mark.recent, maxlen=RECENT_MOST)
        for source, place, code, at_s in mark.recent:
            self._merge.is_new(Source(source), place, code, at_s)
        after = (mark.epoch, mark.seq)
        self._client = GpuClient(settings.socket, told=self._heard, after=after)
        self._host = GpuHost(
            self._client, clock, medium_s=settings.medium_s, slow_s=settings.slow_s
        )
        self._gpus: dict[str, Gpu] = {}
        self._places: dict[str, str] = {}
        """The PCI address of each GPU, by its UUID, as it was seen last."""

    @property
    def mark(self) -> Mark:
        """How far what happens has been told."""
        since_s = self._clock.now() - 2 * TOGETHER_S
        recent = tuple(each for each in self._recent if each[3] > since_s)
        return Mark(*self._client.heard, recent)

    @property
    def problem(self) -> DriverError | None:
        """Why `stoker-gpu` cannot be asked now."""
        return self._client.problem

    async def run(self) -> None:
        """Keep the connection, until cancelled."""
        await self._client.run()

    async def survey(self) -> tuple[BuiltIn, ...]:
        """All GPUs that `stoker-gpu` ever saw. Raises a `DriverError`."""
        inventory = await self._host.inventory(fresh=True)
        return tuple(self._built_in(found, inventory) for found in inventory.gpus)

    def _built_in(self, found: GpuFound, inventory: Inventoried) -> BuiltIn:
        gpu = self._gpu(found.uuid)
        identity = gpu.shown_as(found, inventory.driver)
        if found.facts and found.facts.pci_address:
            self._places[found.uuid] = pci_address(found.facts.pci_address)
        place = self._places.get(found.uuid, found.uuid)
        problem = found.problem.error() if found.problem else None
        return BuiltIn(identity, f"pci:{place}", gpu, gpu.facts, problem)

    def driver(self, device_id: str) -> Gpu:
        """The driver of a GPU by its id."""
        known = (uuid for uuid, gpu in self._gpus.items() if gpu.device_id == device_id)
        return self._gpu(next(known, f"GPU-{device_id.removeprefix('gpu-')}"))

    def _gpu(self, uuid: str) -> Gpu:
        gpu = self._gpus.get(uuid)
        if gpu is None:
            gpu = self._gpus[uuid] = Gpu(self._host, self._client, self._clock, uuid)
        return gpu

    def verdict(self, error: DriverError) -> Verdict:
        """What an error says of the GPU that was to be read."""
        cause = cause_of(error)
        if isinstance(error, Unreachable):
            absent = not self._socket.exists()
            return Verdict(State.UNREACHABLE, Fault("service", str(error)), True, absent)
        state = State.FAULT if cause in _BROKEN else State.UNREACHABLE
        fault = Fault(_CODES.get(cause, cause.value), str(error))
        return Verdict(state, fault, cause in _EVERYWHERE, cause is Cause.NOT_LOADED)

    # --- what happens ------------------------------------------------------------------------

    def report(self, line: str, at: float) -> bool:
        """Take in a line of the kernel's log; true where it says something of a GPU."""
        said = self._log.read(line)
        if said is None:
            return False
        place = said.pci_address
        if self._is_new(Source.KERNEL_LOG, place, said.xid, at, plain=said.plain):
            who = " ".join(str(each) for each in (said.pid, said.process) if each is not None)
            heard = Happening(
                what=Happened.FAULT,
                at=datetime.fromtimestamp(at, UTC),
                message=said.message,
                device_id=self._id_at(place),
                address=f"pci:{place}",
                source=Source.KERNEL_LOG.value,
                process=who or None,
                gpu_instance=said.gpu_instance,
            )
            self._tell_fault(said.xid, heard)
        return True

    def _heard(self, event: Event) -> None:
        place = pci_address(event.pci_address) if event.pci_address else None
        if event.uuid and place:
            self._places[event.uuid] = place
        heard = Happening(
            what=_HAPPENED.get(event.kind, Happened.OTHER),
            at=datetime.fromtimestamp(event.at, UTC),
            message=event.message,
            device_id=self._gpu(event.uuid).device_id if event.uuid else None,
            address=f"pci:{place}" if place else None,
            action=event.recovery_action,
            source=Source.DRIVER.value,
            gpu_instance=event.gpu_instance,
            compute_instance=event.compute_instance,
        )
        if event.xid is None:
            self._told(heard)
        elif place is None or self._is_new(Source.DRIVER, place, event.xid, event.at):
            self._tell_fault(event.xid, heard)

    def _is_new(
        self, source: Source, place: str, xid: int, at_s: float, *, plain: bool = False
    ) -> bool:
        self._recent.append((source.value, place, xid, at_s))
        return self._merge.is_new(source, place, xid, at_s, plain=plain)

    def _tell_fault(self, xid: int, heard: Happening) -> None:
        meaning = self._table.of(xid)
        words = f": {heard.message}" if heard.message else ""
        self._told(
            msgspec.structs.replace(
                heard,
                code=f"xid-{xid}",
                message=f"XID {xid}: {meaning.title}{words}",
                meaning=_meaning(meaning),
            )
        )

    def _id_at(self, place: str) -> str | None:
        uuid = next((uuid for uuid, at in self._places.items() if at == place), None)
        return self._gpu(uuid).device_id if uuid else None


def _meaning(meaning: XidMeaning) -> Meaning:
    return Meaning(
        title=meaning.title,
        severity=meaning.severity.value,
        cause=meaning.who.value,
        action=meaning.action.value,
        quarantine=meaning.quarantine,
        note=meaning.note,
    )


_BROKEN = frozenset({Cause.LOST, Cause.RESET_REQUIRED, Cause.UNKNOWN_GPU})
"""Causes that say that the GPU itself is at fault."""
_CODES = {Cause.UNKNOWN_GPU: "missing"}
_EVERYWHERE = frozenset(
    {
        Cause.NOT_LOADED,
        Cause.VERSION_MISMATCH,
        Cause.HANDLES_GONE,
        Cause.RELEASED,
        Cause.RESTARTING,
        Cause.NO_PERMISSION,
        Cause.BAD_REQUEST,
    }
)
_HAPPENED = {
    EventKind.XID: Happened.FAULT,
    EventKind.RECOVERY_ACTION: Happened.ADVICE,
    EventKind.UNAVAILABLE: Happened.UNAVAILABLE,
    EventKind.GPU_FOUND: Happened.FOUND,
    EventKind.GPU_LOST: Happened.LOST,
    EventKind.GPU_BACK: Happened.BACK,
    EventKind.SLOW: Happened.SLOW,
    EventKind.HUNG: Happened.HUNG,
    EventKind.FREED: Happened.FREED,
    EventKind.DRIVER_CHANGED: Happened.DRIVER,
    EventKind.RELEASED: Happened.RELEASED,
    EventKind.RESUMED: Happened.RESUMED,
    EventKind.RESET: Happened.RESET,
}
