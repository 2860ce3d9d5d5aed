"""What `stoker-gpu` answers, and the events that it tells."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from drivers.errors import DriverError
from drivers.gpu.errors import Cause, cause_of, error_of
from drivers.model_gpu import GpuFacts


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why something was not done: the cause as a word, and a sentence."""

    cause: Cause
    message: str
    operation: str = ""
    """The driver's function that said so, or does not return."""
    sent: bool = False
    """The driver was asked and has not answered: it may still do it, or have done it."""

    def error(self) -> DriverError:
        """The same as an exception."""
        error = error_of(self.cause, self.message)
        error.sent = self.sent
        return error


def problem_of(error: DriverError, operation: str = "") -> Problem:
    """An exception as it goes on the wire."""
    words = getattr(error, "message", None) or str(error)
    return Problem(cause_of(error), words, operation, error.sent)


class _Answers(Struct, frozen=True, kw_only=True, tag_field="is", omit_defaults=True):
    id: int


class Welcome(Struct, frozen=True, tag_field="is", tag="welcome"):
    """The answer to `Hello`. Numbers of events count within an epoch, which a restart ends."""

    version: int
    epoch: str
    last_event: int


class Failed(Struct, frozen=True, tag_field="is", tag="failed", omit_defaults=True):
    """The request was not carried out. Without an id it could not be read."""

    problem: Problem
    id: int | None = None


class DriverFacts(Struct, frozen=True, omit_defaults=True):
    """The driver of this host."""

    driver_version: str | None = None
    nvml_version: str | None = None
    cuda_version: str | None = None


class GpuFound(Struct, frozen=True, omit_defaults=True):
    """A GPU that is there, or was and should be: then with the problem."""

    uuid: str
    facts: GpuFacts | None = None
    problem: Problem | None = None


class Inventoried(_Answers, frozen=True, kw_only=True, tag="inventoried"):
    """All GPUs seen since the start, those that are gone with their problem."""

    driver: DriverFacts
    gpus: tuple[GpuFound, ...]


class GpuScan(Struct, frozen=True, omit_defaults=True):
    """What one GPU showed: fields of `GpuReading` by name, and why others are missing."""

    uuid: str
    at: float
    values: dict[str, Any] = {}
    absent: dict[str, str] = {}
    problem: Problem | None = None


class Scanned(_Answers, frozen=True, kw_only=True, tag="scanned"):
    """One result for each GPU that was asked for, in that order."""

    gpus: tuple[GpuScan, ...]


class WasSet(_Answers, frozen=True, kw_only=True, tag="was_set"):
    """The driver took it. `after` is what it shows now, in the fields of `GpuReading`."""

    uuid: str
    before: dict[str, Any]
    after: dict[str, Any]
    words: str


class Done(_Answers, frozen=True, kw_only=True, tag="done"):
    """What was asked for is done."""

    words: str = ""


class Stuck(Struct, frozen=True):
    """A child that waits in a call."""

    pid: int
    uuid: str
    operation: str
    for_s: float
    kernel_state: str
    """As /proc has it: `D` cannot be killed."""
    waits_in: str


class Statement(_Answers, frozen=True, kw_only=True, tag="statement"):
    """How `stoker-gpu` fares."""

    state: str
    """`serving`, `starting`, `stuck`, `waiting` (for its next attempt) or `released`."""
    since: float
    child_pid: int | None = None
    children_started: int = 0
    answered: int = 0
    waiting: int = 0
    clients: int = 0
    driver: DriverFacts | None = None
    expected: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    problem: Problem | None = None
    again_in_s: float | None = None
    events_heard: bool = True
    last_event: int = 0


class EventKind(StrEnum):
    """What can happen."""

    XID = "xid"
    RECOVERY_ACTION = "recovery_action"
    UNAVAILABLE = "unavailable"
    GPU_FOUND = "gpu_found"
    GPU_LOST = "gpu_lost"
    GPU_BACK = "gpu_back"
    SLOW = "slow"
    HUNG = "hung"
    FREED = "freed"
    """A call that hung came back, or its process is gone."""
    CHILD_STARTED = "child_started"
    CHILD_ENDED = "child_ended"
    DRIVER_CHANGED = "driver_changed"
    EVENTS_DEAF = "events_deaf"
    """The driver tells no events for the time being."""
    EVENTS_HEARD = "events_heard"
    RELEASED = "released"
    RESUMED = "resumed"
    RESET = "reset"


class Event(Struct, frozen=True, kw_only=True, tag_field="is", tag="event", omit_defaults=True):
    """Something happened. Numbers rise by one; a gap means that events were lost."""

    seq: int
    at: float
    kind: EventKind
    message: str
    uuid: str | None = None
    pci_address: str | None = None
    xid: int | None = None
    recovery_action: str | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    operation: str | None = None


ServerMessage = Welcome | Failed | Inventoried | Scanned | WasSet | Done | Statement | Event
