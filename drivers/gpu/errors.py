"""What can go wrong with a GPU, a class and a word per cause; all of it under `drivers.errors`."""

from __future__ import annotations

from enum import StrEnum

from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    DriverFault,
    OutOfRange,
    Refused,
    Unsupported,
)


class Cause(StrEnum):
    """The same as a word, which passes between processes."""

    LOST = "lost"
    RESET_REQUIRED = "reset_required"
    UNKNOWN_GPU = "unknown_gpu"
    HUNG = "hung"
    TIMEOUT = "timeout"
    NOT_LOADED = "not_loaded"
    VERSION_MISMATCH = "version_mismatch"
    HANDLES_GONE = "handles_gone"
    NO_PERMISSION = "no_permission"
    NOT_SUPPORTED = "not_supported"
    OLD_DRIVER = "old_driver"
    OUT_OF_RANGE = "out_of_range"
    IN_USE = "in_use"
    NOT_ALLOWED = "not_allowed"
    RELEASED = "released"
    RESTARTING = "restarting"
    BUSY = "busy"
    BAD_REQUEST = "bad_request"
    REFUSED = "refused"
    FAILED = "failed"


class GpuLost(DriverError):
    """The GPU fell off the bus, or the driver gave it up: a reset or a reboot may bring it back."""


class GpuNeedsReset(DriverError):
    """The driver says that this GPU works again only after a reset."""


class GpuUnknown(DriverError):
    """No GPU with this UUID was ever seen on this host."""


class DriverHung(DeviceTimeout):
    """A call into the driver does not return. Other GPUs are served without this one."""


class DriverNotLoaded(DriverError):
    """There is no NVIDIA driver on this host, or its library is missing."""

    transient = True


class VersionMismatch(DriverError):
    """The library is of another version than the loaded driver: the host has to be rebooted,
    or the driver reloaded.
    """  # noqa: D205


class HandlesGone(DriverError):
    """The driver was reloaded under us: everything has to be opened anew."""

    transient = True


class OldDriver(Unsupported):
    """This driver has no such function; a newer one has."""


class InUse(Refused):
    """Somebody uses the GPU, and this can be done to an idle one alone."""


class NotAllowed(AccessDenied):
    """The configuration of this host does not let it be done."""


class Released(DriverError):
    """All GPUs were let go on request, so that somebody else can reset or reload them."""

    transient = True


class Restarting(DriverError):
    """The process that calls the driver ended and begins anew."""

    transient = True


class NvmlFailed(DriverFault):
    """NVML failed for a reason of its own."""

    transient = True


class GpuOutOfRange(OutOfRange):
    """As `OutOfRange`, said by the process at the other end."""

    def __init__(self, message: str) -> None:
        Refused.__init__(self, None, message)


CLASSES: dict[Cause, type[DriverError]] = {
    Cause.LOST: GpuLost,
    Cause.RESET_REQUIRED: GpuNeedsReset,
    Cause.UNKNOWN_GPU: GpuUnknown,
    Cause.HUNG: DriverHung,
    Cause.TIMEOUT: DeviceTimeout,
    Cause.NOT_LOADED: DriverNotLoaded,
    Cause.VERSION_MISMATCH: VersionMismatch,
    Cause.HANDLES_GONE: HandlesGone,
    Cause.NO_PERMISSION: AccessDenied,
    Cause.NOT_SUPPORTED: Unsupported,
    Cause.OLD_DRIVER: OldDriver,
    Cause.OUT_OF_RANGE: GpuOutOfRange,
    Cause.IN_USE: InUse,
    Cause.NOT_ALLOWED: NotAllowed,
    Cause.RELEASED: Released,
    Cause.RESTARTING: Restarting,
    Cause.BUSY: Restarting,
    Cause.BAD_REQUEST: BadReply,
    Cause.REFUSED: Refused,
    Cause.FAILED: NvmlFailed,
}


def error_of(cause: Cause, message: str) -> DriverError:
    """The error of a cause, saying `message`."""
    kind = CLASSES[cause]
    if issubclass(kind, Refused) and kind is not GpuOutOfRange:
        return kind(None, message)
    return kind(message)


def cause_of(error: DriverError) -> Cause:
    """The cause of an error, by the nearest of its classes that has one."""
    for kind in type(error).__mro__:
        if (cause := _CAUSES.get(kind)) is not None:
            return cause
    return Cause.FAILED


_CAUSES: dict[type, Cause] = {
    kind: cause for cause, kind in CLASSES.items() if cause is not Cause.BUSY
}
_CAUSES[OutOfRange] = Cause.OUT_OF_RANGE
