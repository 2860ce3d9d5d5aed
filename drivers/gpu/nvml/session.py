"""Calls into NVML: each noted beforehand, and what it raises said in our own classes."""

from __future__ import annotations

import re
from typing import Any

import pynvml

from drivers.errors import (
    AccessDenied,
    DeviceTimeout,
    DriverError,
    DriverFault,
    Refused,
    Unsupported,
)
from drivers.gpu.cell import Cell
from drivers.gpu.errors import (
    DriverNotLoaded,
    GpuLost,
    GpuNeedsReset,
    GpuUnknown,
    HandlesGone,
    InUse,
    NvmlFailed,
    OldDriver,
    VersionMismatch,
)

DRIVER = ""
"""Stands for the UUID in calls that belong to no GPU."""


class Nvml:
    """The driver, through `pynvml`. One thread calls; it may never come back."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.last = ""
        """The function that was called last."""
        self._version: tuple[int, ...] | None = None

    def driver_version(self) -> tuple[int, ...]:
        """The version of the driver as numbers; empty where it cannot be told."""
        if self._version is None:
            try:
                written = self.call(DRIVER, "nvmlSystemGetDriverVersion")
            except (AccessDenied, DriverFault, Refused):
                written = ""
            self._version = parsed_version(written)
        return self._version

    def forget_version(self) -> None:
        """Another driver may have come."""
        self._version = None

    def call(self, uuid: str, function: str, *arguments: Any) -> Any:
        """Call a function of `pynvml`; raises a `DriverError`."""
        self.last = function
        self._cell.enter(function, uuid)
        try:
            return getattr(pynvml, function)(*arguments)
        except pynvml.NVMLError as error:
            raise translated(error.value, function) from None
        except (AttributeError, pynvml.NVMLLibraryMismatchError):
            raise OldDriver(None, f"{function} is not known here") from None
        except ValueError as error:  # a name that is not UTF-8
            raise NvmlFailed(f"{function}: {error}") from None
        finally:
            self._cell.leave()


def parsed_version(written: str) -> tuple[int, ...]:
    """A driver's version as numbers, for comparing: `580.95.05` is (580, 95, 5)."""
    return tuple(int(part) for part in re.findall(r"\d+", written)[:3])


def translated(code: int, function: str) -> DriverError:
    """NVML's return code as an error of ours. Asks the library nothing: it may be what hangs."""
    kind, words = _KINDS.get(code, (NvmlFailed, "failed"))
    message = f"{function}: {words} (NVML {code})"
    return kind(None, message) if issubclass(kind, Refused) else kind(message)


_KINDS: dict[int, tuple[type[DriverError], str]] = {
    pynvml.NVML_ERROR_UNINITIALIZED: (HandlesGone, "the driver was closed or reloaded"),
    pynvml.NVML_ERROR_INVALID_ARGUMENT: (Refused, "the driver does not take this value"),
    pynvml.NVML_ERROR_NOT_SUPPORTED: (Unsupported, "not supported"),
    pynvml.NVML_ERROR_NO_PERMISSION: (AccessDenied, "no permission"),
    pynvml.NVML_ERROR_NOT_FOUND: (GpuUnknown, "not found"),
    pynvml.NVML_ERROR_INSUFFICIENT_POWER: (
        GpuNeedsReset,
        "a power cable of the GPU is not connected",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (DriverNotLoaded, "the NVIDIA driver is not loaded"),
    pynvml.NVML_ERROR_TIMEOUT: (DeviceTimeout, "the driver itself waited in vain"),
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (DriverNotLoaded, "libnvidia-ml.so.1 is not installed"),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (OldDriver, "this driver has no such function"),
    pynvml.NVML_ERROR_GPU_IS_LOST: (GpuLost, "the GPU has fallen off the bus"),
    pynvml.NVML_ERROR_RESET_REQUIRED: (GpuNeedsReset, "the GPU needs a reset"),
    pynvml.NVML_ERROR_OPERATING_SYSTEM: (AccessDenied, "the operating system does not allow it"),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        VersionMismatch,
        "library and loaded driver are of different versions: reboot, or reload the driver",
    ),
    pynvml.NVML_ERROR_IN_USE: (InUse, "the GPU is in use"),
    pynvml.NVML_ERROR_INSUFFICIENT_RESOURCES: (InUse, "the GPU has no room left for it"),
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: (OldDriver, "this driver knows an older form"),
    pynvml.NVML_ERROR_DEPRECATED: (Unsupported, "no longer supported"),
    28: (GpuLost, "the driver does not find the GPU"),  # NVML_ERROR_GPU_NOT_FOUND, 13.x
}

FATAL = (GpuLost, GpuNeedsReset, HandlesGone, VersionMismatch, DriverNotLoaded)
"""What concerns the GPU or the driver as a whole: nothing further is worth asking."""
ABSENT = (Unsupported,)
"""What will be answered the same way until the GPU is opened anew."""
SOFT = (AccessDenied, DeviceTimeout, DriverFault, GpuUnknown, Refused)
"""What concerns one value, this time."""
