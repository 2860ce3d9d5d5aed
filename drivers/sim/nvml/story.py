"""What happens to fake GPUs while somebody watches: jobs come and go, and some things go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from drivers.sim.nvml.control import FakeGpus

BUSY_SHARE = 0.7
JOB_S = (20.0, 90.0)
FIRST_PID = 40_000
_MEMORY_SHARES = (0.3, 0.6, 0.9)
_MIB = 1 << 20
_BRAKE = 0x80
_RESET = 1


class Scene(NamedTuple):
    """Something that goes wrong, on a GPU of those there are."""

    at_s: float
    slot: int
    happens: Callable[[FakeGpus, int], object]


SCENES = (
    Scene(15, 1, lambda fake, slot: fake[slot].xid(31)),
    Scene(25, 2, lambda fake, slot: fake[slot].cap(450)),
    Scene(35, 3, lambda fake, slot: fake[slot].throttle(_BRAKE)),
    Scene(50, 3, lambda fake, slot: fake[slot].throttle(0)),
    Scene(60, 4, lambda fake, slot: fake[slot].ecc("dram", uncorrected=1)),
    Scene(60, 4, lambda fake, slot: fake[slot].xid(48)),
    Scene(61, 4, lambda fake, slot: fake[slot].recommend(_RESET)),
    Scene(90, 5, lambda fake, slot: fake[slot].fall_off()),
    Scene(120, 2, lambda fake, slot: fake[slot].cap(0)),
)
"""Each once."""


class Story:
    """Plays on. The same seed gives the same jobs."""

    def __init__(self, fake: FakeGpus, seed: int) -> None:
        self._fake = fake
        self._rng = random.Random(seed)
        self._pids: Iterator[int] = iter(range(FIRST_PID, 4_000_000))
        self._jobs: dict[int, int] = {}
        """The process on each GPU that has one."""
        self._until_s: dict[int, float] = {}
        self._scenes = [scene for scene in SCENES if scene.slot < len(fake)]
        for slot in range(len(fake)):
            self._change_job(slot, 0.0)

    def go_on(self, elapsed_s: float) -> None:
        """All that is due by then."""
        for slot, until_s in self._until_s.items():
            if elapsed_s >= until_s:
                self._change_job(slot, elapsed_s)
        while self._scenes and self._scenes[0].at_s <= elapsed_s:
            scene = self._scenes.pop(0)
            scene.happens(self._fake, scene.slot)

    def _change_job(self, slot: int, now_s: float) -> None:
        gpu = self._fake[slot]
        if (pid := self._jobs.pop(slot, None)) is not None:
            gpu.stop(pid)
        self._until_s[slot] = now_s + self._rng.uniform(*JOB_S)
        if gpu.raw.lost or self._rng.random() > BUSY_SHARE:
            return
        pid = self._jobs[slot] = next(self._pids)
        memory = int(gpu.raw.model.memory_mib * _MIB * self._rng.choice(_MEMORY_SHARES))
        gpu.start(pid, self._rng.uniform(55, 99), memory)
