"""What the driver tells by itself: a thread waits for it, and calls nothing else of NVML."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pynvml

from drivers.errors import DriverError, Unsupported
from drivers.gpu.answers import EventKind
from drivers.gpu.errands import Noticed
from drivers.gpu.errors import HandlesGone
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.parts import NO_INSTANCE
from drivers.gpu.nvml.session import DRIVER, Nvml, translated

WAIT_MS = 500
"""How long a wait lasts, and so how long it takes to let go."""
KINDS: dict[int, EventKind] = {
    pynvml.nvmlEventTypeXidCriticalError: EventKind.XID,
    pynvml.nvmlEventTypeGpuUnavailableError: EventKind.UNAVAILABLE,
    pynvml.nvmlEventTypeGpuRecoveryAction: EventKind.RECOVERY_ACTION,
}
MASK = sum(KINDS)


class EventWatch:
    """Hears the events of opened GPUs from its birth until `close`, and says so when it fails."""

    def __init__(self, nvml: Nvml, gpus: Iterable[Held], tell: Callable[[Noticed], None]) -> None:
        """Raises a `DriverError` where the driver tells no events."""
        self._nvml = nvml
        self._tell = tell
        self._ending = False
        self._deaf = False
        self._by_handle: dict[int | None, Held] = {}
        self._set = self._registered(list(gpus))
        self._thread = threading.Thread(target=self._wait, name="nvml-events", daemon=True)
        self._thread.start()

    @property
    def hears(self) -> bool:
        """False once a wait has failed; a new watch may hear again."""
        return bool(self._by_handle) and not self._deaf

    def close(self) -> None:
        """Wait no longer, and free what was held."""
        self._ending = True
        self._thread.join(2 * WAIT_MS / 1000)
        self._free()

    def _free(self) -> None:
        with contextlib.suppress(DriverError):
            self._nvml.call(DRIVER, "nvmlEventSetFree", self._set)

    def _registered(self, gpus: list[Held]) -> Any:
        """A set with all GPUs that can be heard. One that fails spoils a set: it is made anew."""
        while True:
            self._set = self._nvml.call(DRIVER, "nvmlEventSetCreate")
            self._by_handle.clear()
            spoilt = next((gpu for gpu in gpus if not self._register(gpu)), None)
            if spoilt is None:
                return self._set
            self._free()
            gpus.remove(spoilt)

    def _register(self, gpu: Held) -> bool:
        try:
            kinds = gpu.ask("nvmlDeviceGetSupportedEventTypes") & MASK
            if kinds:
                gpu.ask("nvmlDeviceRegisterEvents", kinds, self._set)
                self._by_handle[_address(gpu.handle)] = gpu
        except Unsupported:  # leaves the set as good as it was
            return True
        except HandlesGone:
            self._free()
            raise
        except DriverError:
            return False
        return True

    def _wait(self) -> None:
        while not self._ending:
            try:
                event = pynvml.nvmlEventSetWait_v2(self._set, WAIT_MS)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_TIMEOUT:
                    continue
                self._deaf = True
                if not self._ending:
                    self._tell(_deaf(translated(error.value, "nvmlEventSetWait_v2")))
                return
            self._tell(self._noticed(event))

    def _noticed(self, event: Any) -> Noticed:
        gpu = self._by_handle.get(_address(event.device))
        kind = KINDS.get(event.eventType, EventKind.UNAVAILABLE)
        xid = int(event.eventData) if kind is EventKind.XID else None
        return Noticed(
            kind=kind,
            at=time.time(),
            message=f"XID {xid}" if xid is not None else _MESSAGES[kind],
            uuid=gpu.uuid if gpu else None,
            pci_address=gpu.pci_address if gpu else None,
            xid=xid,
            gpu_instance=_instance(event.gpuInstanceId),
            compute_instance=_instance(event.computeInstanceId),
        )


_MESSAGES = {
    EventKind.UNAVAILABLE: "the driver says that the GPU is not available",
    EventKind.RECOVERY_ACTION: "the driver says that something else has to be done",
}


def _deaf(error: DriverError) -> Noticed:
    return Noticed(kind=EventKind.EVENTS_DEAF, at=time.time(), message=str(error))


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _instance(number: int) -> int | None:
    return None if number == NO_INSTANCE else int(number)
