"""What can be done to a device: one small Protocol per capability.

A capability check is `isinstance`, narrowed by `latencies` where one driver serves devices that
can do different things. Each method sends the order once, raises a `DriverError` where it could
not be sent, and else returns the device's answer as a `Receipt`. Methods name the wanted state,
so that a repeat is harmless; those that do not (`restart_mining`, `reboot`, `reset_gpu`) say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from drivers.actions import Latency, Receipt
from drivers.capabilities_gpu import (
    CanLockClocks,
    CanLockMemoryClocks,
    CanOverrideFans,
    CanResetGpu,
    CanSetComputeMode,
    CanSetEcc,
    CanSetMigLayout,
    CanSetMigMode,
    CanSetPersistence,
)


@runtime_checkable
class Acts(Protocol):
    """A driver that can do something to its device."""

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """How soon each action shows, by the name of its method.

        An action that is not listed this device cannot do, whatever methods its driver has.
        """
        ...


@runtime_checkable
class CanPause(Protocol):
    """Stop mining and take it up again, the machine staying powered."""

    async def pause(self) -> Receipt:
        """Stop hashing; harmless when it already has."""
        ...

    async def resume(self) -> Receipt:
        """Hash again; harmless when it already does."""
        ...


@runtime_checkable
class CanReboot(Protocol):
    """Restart the whole machine."""

    async def reboot(self) -> Receipt:
        """Reboot; expect no answer. Never to be repeated blindly."""
        ...


@runtime_checkable
class CanRestartMining(Protocol):
    """Restart the mining program alone."""

    async def restart_mining(self) -> Receipt:
        """Restart the mining program. Never to be repeated blindly."""
        ...


@runtime_checkable
class CanLimitPower(Protocol):
    """Hold the machine at or below a power in watts."""

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit; raises `OutOfRange` before anything is sent where it knows the range."""
        ...


@runtime_checkable
class CanThrottle(Protocol):
    """Hold the machine at a share of its full power."""

    async def throttle(self, percent: float) -> Receipt:
        """Set the share, 100 ends it; raises `OutOfRange` as `limit_power` does."""
        ...


@runtime_checkable
class CanChoosePreset(Protocol):
    """Choose among the machine's own presets (VNish presets, LuxOS profiles)."""

    async def choose_preset(self, preset: str) -> Receipt:
        """Choose one by its name; raises `OutOfRange` naming those there are."""
        ...


@runtime_checkable
class CanSetMode(Protocol):
    """Choose among the firmware's named power modes."""

    async def set_mode(self, mode: str) -> Receipt:
        """Set the mode; raises `OutOfRange` naming those there are."""
        ...


class PoolSetting(msgspec.Struct, frozen=True):
    """One pool as it is to be configured."""

    url: str
    user: str
    password: str = "x"  # noqa: S105  the customary placeholder: pools ignore it

    def __repr__(self) -> str:
        return f"PoolSetting(url={self.url!r}, user={self.user!r}, password=...)"


@runtime_checkable
class CanSetPools(Protocol):
    """Replace the list of pools."""

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools, first one first."""
        ...


@runtime_checkable
class CanLocate(Protocol):
    """Blink, so that a person finds the machine."""

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the locating light."""
        ...


@runtime_checkable
class CanSetFans(Protocol):
    """Run the fans at a fixed duty, where the machine still protects itself from heat."""

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Set the duty; None hands the fans back to the firmware."""
        ...


@runtime_checkable
class CanSetTemperature(Protocol):
    """Choose the temperature that the firmware's own fan control keeps."""

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Set the target; raises `OutOfRange` outside what the firmware allows."""
        ...


@runtime_checkable
class CanSetHostname(Protocol):
    """Change the name that the device shows in the network."""

    async def set_hostname(self, hostname: str) -> Receipt:
        """Set the name (letters, digits and hyphens, up to 63)."""
        ...


@runtime_checkable
class CanFactoryReset(Protocol):
    """Put the device back as it left the factory: pools, passwords and network are gone."""

    async def factory_reset(self) -> Receipt:
        """Reset. Dangerous: off unless the local configuration allows it by name."""
        ...


@runtime_checkable
class CanUpdateFirmware(Protocol):
    """Install another firmware."""

    async def update_firmware(self, image: bytes) -> Receipt:
        """Install an image. Dangerous: off unless the local configuration allows it by name."""
        ...


@runtime_checkable
class CanSwitchOutlet(Protocol):
    """Switch an outlet of a power distribution unit."""

    async def switch_outlet(self, outlet: str, *, on: bool) -> Receipt:
        """Switch one outlet."""
        ...


# --- what the agent may ask beside actions --------------------------------------------------


@runtime_checkable
class Recovers(Protocol):
    """A driver whose actions take several writes, noted in `Memory` before the first."""

    async def recover(self) -> Receipt | None:
        """Finish or undo what a run that was killed left half done; None where nothing was.

        Called once before anything else is written to the device. Raises as actions do.
        """
        ...


@runtime_checkable
class Refreshes(Protocol):
    """A driver that keeps slow parts of its device between polls."""

    def refresh(self) -> None:
        """Forget them: the next `read` asks for everything anew. Asks nothing itself."""
        ...


@runtime_checkable
class KeepsReady(Protocol):
    """A driver whose urgent actions need something (a token) that can be had beforehand."""

    async def keep_ready(self) -> float:
        """Get or renew it; returns after how many seconds to call again."""
        ...


@runtime_checkable
class LetsGo(Protocol):
    """A driver that shares a service of this host, which can let go of all its devices.

    They cannot be read or told anything meanwhile. Others need that who reset a device, load
    another driver or hand a device to a virtual machine.
    """

    async def let_go(self, for_s: float, reason: str) -> str:
        """Let go of all of them, for so long at the most; what came of it, in words."""
        ...

    async def take_up(self) -> str:
        """Take them up again."""
        ...


UNFINISHED = "unfinished"
"""The key under which a driver notes in `Memory` what it is in the middle of."""

ACTIONS: dict[str, type] = {
    "pause": CanPause,
    "resume": CanPause,
    "restart_mining": CanRestartMining,
    "reboot": CanReboot,
    "limit_power": CanLimitPower,
    "throttle": CanThrottle,
    "choose_preset": CanChoosePreset,
    "set_mode": CanSetMode,
    "set_pools": CanSetPools,
    "locate": CanLocate,
    "set_fan_duty": CanSetFans,
    "set_temp_target": CanSetTemperature,
    "set_hostname": CanSetHostname,
    "factory_reset": CanFactoryReset,
    "update_firmware": CanUpdateFirmware,
    "switch_outlet": CanSwitchOutlet,
    "lock_clocks": CanLockClocks,
    "free_clocks": CanLockClocks,
    "lock_memory_clocks": CanLockMemoryClocks,
    "free_memory_clocks": CanLockMemoryClocks,
    "set_persistence": CanSetPersistence,
    "set_compute_mode": CanSetComputeMode,
    "set_ecc": CanSetEcc,
    "set_mig_mode": CanSetMigMode,
    "set_mig_layout": CanSetMigLayout,
    "reset_gpu": CanResetGpu,
    "override_fans": CanOverrideFans,
}
"""Every action by the name of its method, as the inventory publishes it."""


def capabilities(driver: Any) -> dict[str, Latency]:
    """What this device can do, and how soon each shows."""
    names = _able(type(driver))
    if not names:
        return {}
    known = driver.latencies
    return {name: known[name] for name in names if name in known}


def can(driver: Any, action: str) -> bool:
    """True where this device can do it."""
    return action in _able(type(driver)) and action in driver.latencies


def _able(kind: type) -> tuple[str, ...]:
    names = _ABLE.get(kind)
    if names is None:
        acts = hasattr(kind, "latencies")
        found = (name for name, protocol in ACTIONS.items() if acts and issubclass(kind, protocol))
        names = _ABLE[kind] = tuple(found)
    return names


_ABLE: dict[type, tuple[str, ...]] = {}
"""Actions by class of driver: each Protocol is looked at once, not for each of 30,000 devices."""
