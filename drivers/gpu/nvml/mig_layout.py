"""Cuts a GPU in MIG mode: what is there and wanted stays, the rest goes, what is missing comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ctypes import byref, c_uint
from typing import Any, NamedTuple

import pynvml

from drivers.errors import OutOfRange, Refused
from drivers.gpu.errors import OldDriver
from drivers.gpu.nvml import mig
from drivers.gpu.nvml.held import Held

Values = dict[str, Any]
_COMPUTE_PROFILES = 9
_WHOLE = 0
"""An instance's engines are its own (NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED)."""


class _Instance(NamedTuple):
    handle: Any
    profile: str
    slices: int


def show(gpu: Held) -> Values:
    """The instances that there are."""
    mig.mode(gpu, {})
    return mig.instances(gpu)


def rearrange(gpu: Held, profiles: Sequence[str]) -> str:
    """Have these instances, each with one compute instance over all of it.

    Raises `InUse` where an instance that would have to go is in use, or where the order of those
    that stay leaves no room for a new one.
    """
    if not gpu.kept.get("mig"):
        raise Refused(None, "the GPU is not in MIG mode")
    known = {profile["name"]: profile for profile in mig.profiles(gpu)}
    if not known:
        raise OldDriver(None, "this driver does not name its profiles")
    for name in profiles:
        if name not in known:
            raise OutOfRange(name, ", ".join(known))
    there = _instances(gpu, known)
    surplus = Counter(each.profile for each in there) - Counter(profiles)
    missing = Counter(profiles) - Counter(each.profile for each in there)
    for instance in there:
        if surplus[instance.profile]:
            surplus[instance.profile] -= 1
            _destroy(gpu, instance)
    # the large ones first: they fit in few places
    for name in sorted(missing.elements(), key=lambda name: -known[name]["slices"]):
        _create(gpu, known[name])
    return f"{len(profiles)} instances, {missing.total()} of them new"


def _instances(gpu: Held, known: dict[str, Values]) -> list[_Instance]:
    found: list[_Instance] = []
    for name, profile in known.items():
        room = (pynvml.c_nvmlGpuInstance_t * profile["most"])()
        count = c_uint(profile["most"])
        gpu.ask("nvmlDeviceGetGpuInstances", profile["id"], room, byref(count))
        found += [_Instance(room[at], name, profile["slices"]) for at in range(count.value)]
    return found


def _destroy(gpu: Held, instance: _Instance) -> None:
    for profile in _compute_profiles(gpu, instance.handle):
        room = (pynvml.c_nvmlComputeInstance_t * profile.instanceCount)()
        count = c_uint(profile.instanceCount)
        gpu.ask_of(
            instance.handle, "nvmlGpuInstanceGetComputeInstances", profile.id, room, byref(count)
        )
        for at in range(count.value):
            gpu.ask_of(room[at], "nvmlComputeInstanceDestroy")
    gpu.ask_of(instance.handle, "nvmlGpuInstanceDestroy")


def _create(gpu: Held, profile: Values) -> None:
    handle = gpu.ask("nvmlDeviceCreateGpuInstance", profile["id"])
    whole = [
        each for each in _compute_profiles(gpu, handle) if each.sliceCount == profile["slices"]
    ]
    if not whole:
        raise Refused(None, f"{profile['name']}: no compute instance spans all of it")
    gpu.ask_of(handle, "nvmlGpuInstanceCreateComputeInstance", whole[0].id)


def _compute_profiles(gpu: Held, handle: Any) -> list[Any]:
    found: list[Any] = []
    for kind in range(_COMPUTE_PROFILES):
        try:
            found.append(
                gpu.ask_of(handle, "nvmlGpuInstanceGetComputeInstanceProfileInfo", kind, _WHOLE)
            )
        except OldDriver:
            raise
        except Refused:  # Unsupported among it: an instance of this size has no such profile
            continue
    return found
