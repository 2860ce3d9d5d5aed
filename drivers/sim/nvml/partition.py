"""MIG instances made from the steering side, for tests that start with some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drivers.sim.nvml.layout import STRUCTS


def partition(gpu: Any, profiles: Sequence[str]) -> list[int]:
    """Puts a GPU into MIG mode with these instances; gives their ids.

    Each has one compute instance over all of it. Raises ValueError where they do not fit.
    """
    known = {
        each.name.decode(): each for each in gpu.model.mig_profiles[: gpu.model.mig_profile_count]
    }
    if wrong := [name for name in profiles if name not in known]:
        raise ValueError(f"no MIG profile {', '.join(wrong)}; there are {', '.join(known)}")
    starts = _place([known[name] for name in profiles])
    gpu.mig_mode = gpu.mig_pending = 1
    _clear(gpu)
    for number, (name, start) in enumerate(zip(profiles, starts, strict=True)):
        _make(gpu, number, known[name], start)
    return [number + 1 for number in range(len(profiles))]


def _place(profiles: list[Any]) -> list[int]:
    """The first way in which they fit, each as far left as it goes."""
    taken = 0
    starts = []
    for profile in profiles:
        width = (1 << profile.memory_slices) - 1
        free = [at for at in range(8) if profile.starts >> at & 1 and not taken & width << at]
        if not free:
            raise ValueError("these MIG profiles do not fit together")
        taken |= width << free[0]
        starts.append(free[0])
    return starts


def _clear(gpu: Any) -> None:
    for instance in gpu.gpu_instances:
        instance.used = 0
    for instance in gpu.compute_instances:
        instance.used = 0


def _make(gpu: Any, number: int, profile: Any, start: int) -> None:
    gpu.gpu_instances[number] = STRUCTS["fake_gpu_instance"](
        used=1, id=number + 1, profile=profile.id, start=start, size=profile.memory_slices
    )
    kind = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4}[profile.slices]
    gpu.compute_instances[number] = STRUCTS["fake_compute_instance"](
        used=1, gpu_instance=number + 1, profile=kind, size=profile.slices
    )
