"""What the `details` of the events of GPUs hold."""

from __future__ import annotations

from datetime import datetime

from agent.contract.detail import Details
from agent.telemetry.messages import Count, Seq


class GpuFault(Details, frozen=True):
    """A GPU, or the kernel for it, reported an error with a code. The same twice is two events."""

    code: str
    """The maker's code, such as `xid-79`."""
    count: Seq
    """How often this node has seen this code on this GPU."""
    untold: Count
    """How many of them, before this one, came so fast that they had no event of their own."""
    title: str | None = None
    """This and the next five: what the table of faults says of the code."""
    severity: str | None = None
    """`info`, `warning`, `error` (a job suffered), `fatal` (of no use until it is mended)."""
    cause: str | None = None
    """Where the cause lies as a rule: `application`, `gpu`, `memory`, `link`, `driver` ..."""
    action: str | None = None
    """What is to be done: `none`, `restart_job`, `maintenance`, `reset`, `reboot` ..."""
    quarantine: bool | None = None
    """Whether the GPU takes no more jobs until that is done."""
    note: str | None = None
    source: str | None = None
    """Who told it first: `driver` or `kernel_log`."""
    process: str | None = None
    """Whose work it was: its number, and its name."""
    gpu_instance: int | None = None
    compute_instance: int | None = None


class GpuRecovery(Details, frozen=True):
    """What the driver says has to be done with a GPU has changed."""

    action: str | None = None
    """`none`, `reset`, `node_reboot`, `drain_p2p` ..."""


class GpuQuarantined(Details, frozen=True):
    """A GPU must not be used until it was mended, or there is a further reason for it."""

    reasons: list[str]
    """Codes of faults, `recovery-` and what the driver wants done, or `ordered`."""
    action: str
    """What is to be done."""
    since: datetime
    who: str | None = None
    """Who ordered it."""


class GpuRecovered(Details, frozen=True):
    """The quarantine of a GPU is over: it was mended and then seen to be well, or it was lifted."""

    reasons: list[str]
    """Why it was in quarantine."""
    by: str
    """`reset`, `driver` (loaded anew), `reboot`, `back` (on the bus), `recovered` (the driver says
    so), `lifted`."""
    since: datetime
    after_s: float
    who: str | None = None
    """Who lifted it."""


class GpuLost(Details, frozen=True):
    """A GPU is not there any more; the message says how that showed."""


class GpuBack(Details, frozen=True):
    """It is there again."""


class GpuUnavailable(Details, frozen=True):
    """The driver lets nobody use it, and is about to say why."""


class GpuSlow(Details, frozen=True):
    """A call into the driver takes long; the others are served meanwhile."""


class GpuHung(Details, frozen=True):
    """A call into the driver does not return: which, since when, and what its process waits in."""


class GpuFreed(Details, frozen=True):
    """What was slow or hung came back, or its process is gone."""


class GpuReset(Details, frozen=True):
    """It was reset on request."""


class GpuReleased(Details, frozen=True):
    """All GPUs of this host were let go on request, and are not read meanwhile."""


class GpuResumed(Details, frozen=True):
    """They were taken up again."""


class GpuDriver(Details, frozen=True):
    """The host has another version of its GPU driver."""


class GpuUnserved(Details, frozen=True):
    """Nobody reads the GPUs of this host: their service does not answer, or it has no driver."""

    error: str
    """The class of the error."""
    devices: Seq
    """How many GPUs it concerns."""


class GpuServed(Details, frozen=True):
    """They are read again."""


class GpuMissing(Details, frozen=True):
    """Fewer GPUs are there than should be, or others than before are missing."""

    expected: Count
    seen: Count
    missing: list[str]
    """Those that are known by their ids."""


class GpuComplete(Details, frozen=True):
    """All are there again."""

    expected: Count
    seen: Count


class GpuForgotten(Details, frozen=True):
    """A GPU that is gone is not expected any more: the configuration says how many there are."""
