"""What can be done to GPUs, beside what can be done to others: one small Protocol per capability.

What holds of the methods in `capabilities` holds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from drivers.actions import Receipt


@runtime_checkable
class CanLockClocks(Protocol):
    """Hold the clock of the processors between two values, whatever the load."""

    async def lock_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Lock; raises `OutOfRange` above what the device reaches."""
        ...

    async def free_clocks(self) -> Receipt:
        """Let the clock follow the load again."""
        ...


@runtime_checkable
class CanLockMemoryClocks(Protocol):
    """The same for the clock of the memory."""

    async def lock_memory_clocks(self, min_mhz: int, max_mhz: int) -> Receipt:
        """Lock; raises `OutOfRange` above what the device reaches."""
        ...

    async def free_memory_clocks(self) -> Receipt:
        """Let it follow the load again."""
        ...


@runtime_checkable
class CanSetPersistence(Protocol):
    """Keep the driver's state of the device, limits among it, while nobody uses it."""

    async def set_persistence(self, *, on: bool) -> Receipt:
        """Switch it."""
        ...


@runtime_checkable
class CanSetComputeMode(Protocol):
    """Choose who may use the device: all, one process, nobody."""

    async def set_compute_mode(self, mode: str) -> Receipt:
        """Set the mode: `default`, `exclusive_process` or `prohibited`."""
        ...


@runtime_checkable
class CanSetEcc(Protocol):
    """Switch the error correction of the memory."""

    async def set_ecc(self, *, on: bool) -> Receipt:
        """Switch it, from the next reset on: until then only that it will be so is seen."""
        ...


@runtime_checkable
class CanSetMigMode(Protocol):
    """Have a device cut into instances, or whole. Only while nobody uses it."""

    async def set_mig_mode(self, *, on: bool) -> Receipt:
        """Switch it; some devices do so only at the next reset. Raises `Refused` while in use."""
        ...


@runtime_checkable
class CanSetMigLayout(Protocol):
    """Choose the instances that a device is cut into."""

    async def set_mig_layout(self, profiles: Sequence[str]) -> Receipt:
        """Have these, by the names of their profiles; raises `OutOfRange` naming those there are.

        What is there and wanted stays. Raises `Refused` where one that has to go is in use.
        """
        ...


@runtime_checkable
class CanResetGpu(Protocol):
    """Reset the device: what waits for that takes effect, and settings are gone."""

    async def reset_gpu(self) -> Receipt:
        """Reset it. Raises `Refused` while processes hold it. Never to be repeated blindly."""
        ...


@runtime_checkable
class CanOverrideFans(Protocol):
    """Run the fans at a fixed duty whatever the heat: nothing but throttling protects it then."""

    async def override_fans(self, percent: float | None) -> Receipt:
        """Set the duty; None hands the fans back. Dangerous, unlike `set_fan_duty`."""
        ...
