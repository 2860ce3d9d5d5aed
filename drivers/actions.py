"""What can be done to a device, and how the effect of an action is proved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec

from drivers.api import Driver
from drivers.model import Reading


class Answer(StrEnum):
    """What the device said to an action. None of it proves an effect."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class Relation(StrEnum):
    """How a field of the later reading must stand to `Check.value`."""

    EQUALS = "equals"
    DIFFERS = "differs"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    AT_MOST_OF_BEFORE = "at_most_of_before"
    """At most `value` times the same field of the reading before."""
    BELOW_BEFORE = "below_before"
    """Less than in the reading before (an uptime after a reboot)."""


class Check(msgspec.Struct, frozen=True):
    """One field of a reading and what it must show."""

    field: str
    relation: Relation
    value: float | str | bool | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a later reading must show before an action counts as done.

    Any one of `any_of` suffices, each a group of checks that must hold together. Look
    first `look_after_s` after the action, give up `until_s` after it.
    """

    any_of: tuple[tuple[Check, ...], ...]
    look_after_s: float
    until_s: float


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A device's answer to an action, in its own words, and how to see the effect."""

    answer: Answer
    words: str
    expectation: Expectation | None = None


def is_met(expectation: Expectation, before: Reading, after: Reading) -> bool:
    """True where `after` shows what was expected. A missing value shows nothing."""
    return any(all(_holds(check, before, after) for check in group) for group in expectation.any_of)


def _holds(check: Check, before: Reading, after: Reading) -> bool:
    seen = getattr(after, check.field, None)
    was = getattr(before, check.field, None)
    if seen is None:
        return False
    return _RELATIONS[check.relation](seen, check.value, was)


_RELATIONS: dict[Relation, Callable[[Any, Any, Any], bool]] = {
    Relation.EQUALS: lambda seen, value, _: seen == value,
    Relation.DIFFERS: lambda seen, value, _: seen != value,
    Relation.AT_MOST: lambda seen, value, _: seen <= value,
    Relation.AT_LEAST: lambda seen, value, _: seen >= value,
    Relation.AT_MOST_OF_BEFORE: lambda seen, value, was: was is not None and seen <= value * was,
    Relation.BELOW_BEFORE: lambda seen, _, was: was is not None and seen < was,
}


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
        """Reboot; expect no answer."""
        ...


@runtime_checkable
class CanRestartMining(Protocol):
    """Restart the mining program alone."""

    async def restart_mining(self) -> Receipt:
        """Restart the mining program."""
        ...


@runtime_checkable
class CanLimitPower(Protocol):
    """Hold the machine at or below a power in watts."""

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit."""
        ...


@runtime_checkable
class CanSetMode(Protocol):
    """Choose among the firmware's named power modes."""

    async def set_mode(self, mode: str) -> Receipt:
        """Set the mode."""
        ...


class PoolSetting(msgspec.Struct, frozen=True):
    """One pool as it is to be configured."""

    url: str
    user: str
    password: str = "x"  # noqa: S105  the customary placeholder: pools ignore it


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
class CanSwitchOutlet(Protocol):
    """Switch an outlet of a power distribution unit."""

    async def switch_outlet(self, outlet: str, *, on: bool) -> Receipt:
        """Switch one outlet."""
        ...


CAPABILITIES: dict[str, type] = {
    "pause": CanPause,
    "reboot": CanReboot,
    "restart_mining": CanRestartMining,
    "limit_power": CanLimitPower,
    "set_mode": CanSetMode,
    "set_pools": CanSetPools,
    "locate": CanLocate,
    "switch_outlet": CanSwitchOutlet,
}


def capabilities(driver: Driver) -> tuple[str, ...]:
    """Names of what this driver can do, as the inventory publishes them."""
    return tuple(name for name, protocol in CAPABILITIES.items() if isinstance(driver, protocol))
