"""What the agent is given of the GPUs that are built into its host: who is there, what happens."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from drivers.api import Driver
from drivers.errors import DriverError
from drivers.model import Fault, Identity, State
from drivers.model_gpu import GpuFacts


@runtime_checkable
class HasFacts(Protocol):
    """A driver that knows of its GPU what stays the same."""

    @property
    def facts(self) -> GpuFacts | None:
        """What it is and can, as it was found last."""
        ...


class GpuSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the GPUs of this host are reached, and how old their dearer values may be."""

    socket: Path
    medium_s: float
    slow_s: float
    fault_table: Path | None = None
    """What is laid over the built-in table of fault codes."""


class BuiltIn(msgspec.Struct, frozen=True):
    """A GPU that is there, or was and should be: then with what is wrong."""

    identity: Identity
    address: str
    """Where it is on the bus: `pci:0000:3b:00.0`."""
    driver: Driver
    facts: GpuFacts | None = None
    problem: DriverError | None = None


class Happened(StrEnum):
    """What can happen to a GPU beside what its readings show."""

    FAULT = "fault"
    """It, or the kernel for it, reported an error with a code."""
    ADVICE = "advice"
    """What its driver says has to be done has changed; `none` where nothing has."""
    LOST = "lost"
    BACK = "back"
    UNAVAILABLE = "unavailable"
    """The driver does not let it be used, and is about to say why."""
    HUNG = "hung"
    SLOW = "slow"
    FREED = "freed"
    """What hung or was slow came back, or was given up."""
    RESET = "reset"
    RELEASED = "released"
    """All GPUs were let go on request."""
    RESUMED = "resumed"
    DRIVER = "driver"
    """The host has another driver now."""
    FOUND = "found"
    OTHER = "other"
    """It concerns the service that reads them alone."""


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault code means, and what is to be done."""

    title: str
    severity: str
    """`info`, `warning`, `error` (a job suffered) or `fatal` (of no use until it is mended)."""
    cause: str
    """Where the cause lies as a rule: `application`, `gpu`, `memory`, `link` ..."""
    action: str
    """`none`, `restart_job`, `reset`, `reboot` ..."""
    quarantine: bool
    """Whether it takes no more jobs until that is done."""
    note: str = ""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, told once, by whomever it was heard."""

    what: Happened
    at: datetime
    message: str
    device_id: str | None = None
    """None where the GPU is known by its address alone, and where it is about all of them."""
    address: str | None = None
    code: str | None = None
    """Of a fault: `xid-79`."""
    meaning: Meaning | None = None
    source: str | None = None
    """Who told it first: `driver` or `kernel_log`."""
    action: str | None = None
    """Of advice: `none`, `reset`, `node_reboot` ..."""
    process: str | None = None
    """Who used it then: a number, and a name where there is one."""
    gpu_instance: int | None = None
    compute_instance: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What an error says of the GPU that could not be read."""

    state: State
    fault: Fault
    everywhere: bool
    """It is not about this GPU: whoever reads GPUs is not there, or the whole driver."""
    absent: bool = False
    """So it is on a host without GPUs."""


class Mark(msgspec.Struct, frozen=True):
    """How far what happens has been heard; behind it an agent that starts goes on."""

    epoch: str = ""
    seq: int = 0
    recent: tuple[tuple[str, str, int, float], ...] = ()
    """What was told of late: it may be told by another source as well."""


class HostGpus(Protocol):
    """The GPUs of this host, and what happens to them."""

    driver_name: str

    @property
    def mark(self) -> Mark:
        """How far what happens has been told."""
        ...

    async def run(self) -> None:
        """Keep in touch with whoever reads them, until cancelled."""
        ...

    @property
    def problem(self) -> DriverError | None:
        """Why nobody reads them now."""
        ...

    async def survey(self) -> tuple[BuiltIn, ...]:
        """All that were ever seen since their service began. Raises a `DriverError`."""
        ...

    def driver(self, device_id: str) -> Driver:
        """The driver of one by its id, seen or not."""
        ...

    def verdict(self, error: DriverError) -> Verdict:
        """What an error of `read` says of the GPU."""
        ...

    def report(self, line: str, at: float) -> bool:
        """Take in a line of the kernel's log, written at `at` (seconds since the epoch).

        True where it says something of a GPU.
        """
        ...
