"""GPUs of a host as the fleet meets them, in memory: they do what a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from drivers.api_gpu import BuiltIn, Happened, Happening, Mark, Meaning, Verdict
from drivers.errors import DriverError, Unreachable
from drivers.model import Fault, Identity, Kind, Sample, State
from drivers.model_gpu import GpuFacts, GpuReading

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
FATAL = Meaning(
    title="fell off the bus", severity="fatal", cause="gpu", action="reboot", quarantine=True
)
MILD = Meaning(
    title="page fault",
    severity="error",
    cause="application",
    action="restart_job",
    quarantine=False,
)


class Lost(DriverError):
    """A GPU that is not there."""


class Hung(DriverError):
    """A GPU that does not answer."""


class FakeGpu:
    """A driver of one GPU."""

    def __init__(self, device_id: str, address: str = "pci:0000:1b:00.0") -> None:
        self.device_id = device_id
        self.address = address
        self.facts: GpuFacts | None = GpuFacts(uuid=device_id.upper())
        self.values: dict[str, Any] = {"power_w": 70.0}
        self.state = State.OK
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.reads = 0

    async def identify(self) -> Identity:
        return Identity(id=self.device_id, kind=Kind.GPU, make="NVIDIA", model="NVIDIA H100")

    async def read(self) -> Sample:
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Sample(self.reading())

    def reading(self, **values: Any) -> GpuReading:
        return GpuReading(
            device_id=self.device_id,
            kind=Kind.GPU,
            taken_at=AT + timedelta(hours=1),
            state=self.state,
            **{**self.values, **values},
        )

    async def close(self) -> None:
        """Nothing is held."""


class FakeHost:
    """What `drivers.registry.gpus` would give."""

    driver_name = "fake"

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = {gpu.device_id: gpu for gpu in gpus}
        self.gone: set[str] = set()
        self.unlisted: set[str] = set()
        self.silent: set[str] = set()
        """There, and nothing can be learnt of them now."""
        self.trouble: DriverError | None = None
        self.absent = False
        self.surveys = 0
        self.lines: list[str] = []
        self.mark = Mark("epoch", 7)
        self.told: Callable[[Happening], None] = lambda _happening: None

    def opened(self, told: Callable[[Happening], None], mark: Mark) -> FakeHost:
        """What is handed to `Gpus`."""
        self.told, self.begun_at = told, mark
        return self

    async def run(self) -> None:
        await asyncio.Event().wait()

    @property
    def problem(self) -> DriverError | None:
        return self.trouble

    async def survey(self) -> tuple[BuiltIn, ...]:
        self.surveys += 1
        if self.trouble:
            raise self.trouble
        listed = [gpu for gpu in self.gpus.values() if gpu.device_id not in self.unlisted]
        return tuple([await self._built_in(gpu) for gpu in listed])

    async def _built_in(self, gpu: FakeGpu) -> BuiltIn:
        if gpu.device_id in self.silent | self.gone:
            problem = Lost("gone") if gpu.device_id in self.gone else Hung("does not return")
            bare = Identity(id=gpu.device_id, kind=Kind.GPU, make="NVIDIA")
            return BuiltIn(bare, f"pci:{gpu.device_id}", gpu, None, problem)
        return BuiltIn(await gpu.identify(), gpu.address, gpu, gpu.facts, None)

    def driver(self, device_id: str) -> FakeGpu:
        if device_id not in self.gpus:
            self.gpus[device_id] = FakeGpu(device_id)
            self.gpus[device_id].error = Lost("never seen by this service")
            self.unlisted.add(device_id)
        return self.gpus[device_id]

    def verdict(self, error: DriverError) -> Verdict:
        if isinstance(error, Unreachable):
            return Verdict(State.UNREACHABLE, Fault("service", str(error)), True, self.absent)
        if isinstance(error, Lost):
            return Verdict(State.FAULT, Fault("lost", str(error)), everywhere=False)
        code = "hung" if isinstance(error, Hung) else "failed"
        return Verdict(State.UNREACHABLE, Fault(code, str(error)), everywhere=False)

    def report(self, line: str, at: float) -> bool:
        self.lines.append(line)
        return False


def fault(device_id: str | None = "gpu-a", meaning: Meaning = FATAL, **changes: Any) -> Happening:
    """Something that a GPU, or the kernel for it, reported."""
    values = {"code": "xid-79", "address": "pci:0000:1b:00.0", "source": "driver", "at": AT}
    return Happening(
        what=Happened.FAULT,
        message="XID 79",
        device_id=device_id,
        meaning=meaning,
        **(values | changes),
    )


def happening(what: Happened, device_id: str | None = "gpu-a", **changes: Any) -> Happening:
    """Something else."""
    return Happening(
        what=what, device_id=device_id, **({"at": AT, "message": what.value} | changes)
    )
