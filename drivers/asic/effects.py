"""How the effects of actions on miners show in later readings. Pure.

`until_s` comes from the dialect's own delays; where a firmware shows the same thing in several
ways, any one of them proves it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from drivers.actions import Check, Expectation, Relation, Watched
from drivers.capabilities import PoolSetting
from drivers.errors import OutOfRange
from drivers.model import State, pool_target


def asleep(until_s: float, *, look_after_s: float = 1.0) -> Expectation:
    """It says that it sleeps, and does not hash."""
    still = Check("hashrate_ths", Relation.AT_MOST, 0.0)
    return _expect(
        (Check("state", Relation.EQUALS, State.SLEEPING), still),
        look_after_s=look_after_s,
        until_s=until_s,
    )


def awake(until_s: float, *, look_after_s: float = 5.0) -> Expectation:
    """It mines, or would if a pool gave it work."""
    return _expect(
        (Check("state", Relation.EQUALS, State.MINING),),
        (Check("state", Relation.EQUALS, State.IDLE),),
        look_after_s=look_after_s,
        until_s=until_s,
    )


def restarted(until_s: float, *, look_after_s: float = 5.0) -> Expectation:
    """Its uptime began anew. Only for dialects whose uptime does, for that action."""
    return _expect(
        (Check("uptime_s", Relation.BELOW_BEFORE),),
        (Check("uptime_s", Relation.BEGUN_SINCE),),
        look_after_s=look_after_s,
        until_s=until_s,
    )


def limited(limit_w: float, until_s: float, *, look_after_s: float = 2.0) -> Expectation:
    """The limit that it shows is this one, to the watt."""
    return _expect(
        (
            Check("power_limit_w", Relation.AT_LEAST, math.floor(limit_w)),
            Check("power_limit_w", Relation.AT_MOST, math.ceil(limit_w)),
        ),
        look_after_s=look_after_s,
        until_s=until_s,
    )


def shows(
    field: str, value: str | float | bool, until_s: float, *, look_after_s: float = 2.0
) -> Expectation:
    """A field of the reading has this value: mode, preset, throttle_percent, locating ..."""
    return _expect(
        (Check(field, Relation.EQUALS, value),), look_after_s=look_after_s, until_s=until_s
    )


def pools_are(
    pools: Sequence[PoolSetting], until_s: float, *, look_after_s: float = 2.0
) -> Expectation:
    """The list of pools is this one, in this order."""
    wanted = tuple(pool_target(pool.url, pool.user) for pool in pools)
    return _expect(
        (Check("pool_targets", Relation.EQUALS, wanted),),
        look_after_s=look_after_s,
        until_s=until_s,
    )


def named(hostname: str, until_s: float, *, look_after_s: float = 2.0) -> Expectation:
    """It calls itself so when asked who it is."""
    return Expectation(
        any_of=((Check("hostname", Relation.EQUALS, hostname),),),
        look_after_s=look_after_s,
        until_s=until_s,
        watched=Watched.IDENTITY,
    )


def within(value: float, low: float | None, high: float | None, unit: str) -> None:
    """Raise `OutOfRange` where a value is outside the machine's own range, as far as known."""
    if (low is not None and value < low) or (high is not None and value > high):
        span = (
            f"{low:g} to {high:g}"
            if low is not None and high is not None
            else (f"at least {low:g}" if high is None else f"at most {high:g}")
        )
        raise OutOfRange(f"{value:g} {unit}", f"{span} {unit}")


def among(value: str, known: Sequence[str], what: str) -> None:
    """Raise `OutOfRange` where a word is none of those that the machine knows."""
    if value not in known:
        raise OutOfRange(f"{what} {value!r}", f"{', '.join(known) or 'none'}")


def _expect(*groups: tuple[Check, ...], look_after_s: float, until_s: float) -> Expectation:
    return Expectation(any_of=groups, look_after_s=look_after_s, until_s=until_s)
