"""Steers fake GPUs while others read them: the other end of the shared file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.sim.nvml.build import Built
from drivers.sim.nvml.faults import Fault, Kind
from drivers.sim.nvml.gpu import FakeGpu
from drivers.sim.nvml.layout import ANY, State
from drivers.sim.nvml.partition import partition
from drivers.sim.nvml.steering import load_steering

WRITERS = ("privileged", "all", "none")
"""Who may change settings: those with CAP_SYS_ADMIN, everybody, nobody. Numbered as in C."""

REALISTIC_COSTS_US = {
    "nvmlDeviceGetComputeRunningProcesses_v3": 4_500,
    "nvmlDeviceGetGraphicsRunningProcesses_v3": 4_500,
    "nvmlDeviceGetFanSpeed": 137,
    "nvmlDeviceGetFanSpeed_v2": 137,
    "nvmlDeviceGetMemoryInfo": 12,
    "nvmlDeviceGetMemoryInfo_v2": 12,
    "nvmlDeviceGetPcieThroughput": 20_000,
    "nvmlDeviceGetUtilizationRates": 3,
}
"""What calls cost on real drivers, as far as somebody published it."""


class FakeGpus:
    """The GPUs in one state file. Several processes may steer them; changes are serialised."""

    def __init__(self, path: Path, built: Built) -> None:
        """Opens a state file. Raises ValueError where there is none of this version."""
        self.path = path
        self.built = built
        self._do = load_steering(built.control)
        self._state = self._do["open"](os.fsencode(path))
        if not self._state:
            raise ValueError(f"{path}: no state of fake GPUs of this version")
        self.raw: Any = State.from_address(self._state)
        """The shared state; see `src/state.h`. Read it as you like."""
        self.gpus = [
            FakeGpu(slot, self.raw.gpus[slot], self.change, self._post)
            for slot in range(self.raw.gpu_count)
        ]

    @classmethod
    def create(
        cls, path: Path, gpus: str = "h100-sxm*8", *, built: Built, seed: int = 1
    ) -> FakeGpus:
        """Makes a state file with these GPUs: `model*count`, joined by commas, 16 at most.

        The same seed gives the same UUIDs and serials. Raises ValueError for models that there
        are not, FileExistsError where the file is there already.
        """
        if path.exists():
            raise FileExistsError(path)
        if load_steering(built.control)["make"](os.fsencode(path), gpus.encode(), seed):
            raise ValueError(f"no such GPUs: {gpus!r}")
        return cls(path, built)

    def environment(self) -> dict[str, str]:
        """What a client's environment has to hold to see these GPUs, from its start on."""
        return {"LD_LIBRARY_PATH": str(self.built.directory), "STOKER_FAKE_NVML": str(self.path)}

    def close(self) -> None:
        """Let go of the file; nothing of this object may be used afterwards."""
        self._do["close"](self._state)

    def __getitem__(self, slot: int) -> FakeGpu:
        return self.gpus[slot]

    def __len__(self) -> int:
        return len(self.gpus)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold all clients up while `raw` is changed; time before it counts under the old state.

        Not to be nested.
        """
        self._do["begin"](self._state)
        try:
            yield
        finally:
            self._do["end"](self._state)

    def _post(self, slot: int, kind: int, data: int, gi: int, ci: int) -> None:
        self._do["post"](self._state, slot, kind, data, gi, ci)

    # Time.

    @property
    def now_s(self) -> float:
        """The clock of the GPUs: seconds of no particular beginning."""
        return float(self._do["now"](self._state))

    def freeze(self) -> None:
        """Stop their clock; from now on only `advance` moves it."""
        self._do["freeze"](self._state)

    def advance(self, seconds: float) -> None:
        """Let time pass for the GPUs alone."""
        with self.change():
            self.raw.clock_offset_s += seconds

    # The driver.

    def refuse_init(self, error: int) -> None:
        """The next nvmlInit fails: 9 no driver, 18 another version of it; 0 ends that."""
        with self.change():
            self.raw.init_error = error

    def reload_driver(self) -> None:
        """Handles are void until nvmlInit, counters start anew, settings and processes are gone."""
        with self.change():
            self._do["reload"](self._state)
        self._do["wake"](self._state)

    def reset(self, slot: int) -> None:
        """A GPU is reset: what waited for that takes effect, settings and processes are gone."""
        with self.change():
            self._do["reset"](self._state, slot)

    def renumber(self, order: Sequence[int]) -> None:
        """The order in which slots are enumerated from the next nvmlInit on."""
        if sorted(order) != list(range(len(self))):
            raise ValueError(f"not an order of {len(self)} GPUs: {order}")
        with self.change():
            for index, slot in enumerate(order):
                self.raw.order[index] = slot

    def let_write(self, who: str) -> None:
        """Who may change settings: one of WRITERS."""
        with self.change():
            self.raw.writers = WRITERS.index(who)

    def partition(self, slot: int, profiles: Sequence[str]) -> list[int]:
        """MIG on, with these instances and one compute instance in each; gives their ids."""
        with self.change():
            return partition(self.raw.gpus[slot], profiles)

    # What happens to calls. Without a function it is all of them, nvmlInit too.

    def slow(self, seconds: float, function: str = "", gpu: int = ANY) -> Fault:
        """Calls take so much longer."""
        return self.strike(Kind.SLOW, int(seconds * 1e6), function, gpu)

    def hang(self, function: str = "", gpu: int = ANY, *, kind: Kind = Kind.HANG) -> Fault:
        """Calls do not return until the fault is lifted; `kind` may be HANG_IN_D."""
        return self.strike(kind, 0, function, gpu)

    def fail(
        self, error: int, function: str = "", gpu: int = ANY, *, skip: int = 0, times: int = 0
    ) -> Fault:
        """Calls return an error: all of them, or `times` after the first `skip`."""
        return self.strike(Kind.ERROR, error, function, gpu, skip=skip, times=times)

    def lie(self, function: str = "", gpu: int = ANY) -> Fault:
        """Calls that write say that all is well and write nothing."""
        return self.strike(Kind.LIE, 0, function, gpu)

    def strike(
        self,
        kind: Kind,
        value: int,
        function: str = "",
        gpu: int = ANY,
        *,
        skip: int = 0,
        times: int = 0,
    ) -> Fault:
        """Arm any fault. Raises ValueError where there are too many already."""
        place = self._do["arm"](self._state, function.encode(), gpu, kind, value, skip, times)
        if place < 0:
            raise ValueError("no room for another fault")
        return Fault(self._do, self._state, place)

    def cost(self, costs_us: dict[str, int]) -> None:
        """Have each call of these functions take so long, as REALISTIC_COSTS_US."""
        for function, microseconds in costs_us.items():
            self._do["delay"](self._state, function.encode(), microseconds)

    # What was asked.

    def calls(self, gpu: int = ANY) -> dict[str, int]:
        """How often each function was called, by whomever; of one GPU or in all."""
        counts = {}
        for entry in self.raw.functions:
            count = entry.calls if gpu == ANY else entry.calls_by_gpu[gpu]
            if entry.name and count:
                counts[entry.name.decode()] = count
        return counts

    def field_calls(self, field: int, gpu: int) -> int:
        """How often a field value was asked for."""
        return int(self.raw.field_calls[field][gpu])
