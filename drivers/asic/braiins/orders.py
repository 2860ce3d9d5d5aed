"""What can be done to a machine with Braiins OS from 25.07 on: REST's actions and settings.

Source: the vendor's OpenAPI document of `/api/v1/` (actions, performance, pools, cooling, network,
configuration). Answers repeat what was asked, so nothing is proved by them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from drivers.actions import Check, Expectation, Latency, Receipt, Relation
from drivers.api import Clock
from drivers.asic.braiins.build import (
    CONSTRAINTS,
    COOLING,
    LOCATE,
    POOLS,
    SETTINGS,
    cooling_mode_of,
    reduce_constraints,
)
from drivers.asic.braiins.web import BraiinsWeb
from drivers.asic.effects import awake, limited, named, pools_are, restarted, shows, within
from drivers.asic.fields import positive, text
from drivers.asic.page_parts import POOLS_LIMIT, listed, section
from drivers.capabilities import PoolSetting
from drivers.errors import OutOfRange, Refused
from drivers.model import State
from drivers.wire.cgminer import CgminerRpc, status_of
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

ACT_S = 15.0
READY_S = 1500.0
"""How soon to use the token again: it ends after 3600 s without use (documented)."""
SHOWN_S, TUNED_S, MOVED_S = 60.0, 180.0, 120.0
HOST_CHARS = 63
_MANUAL, _AUTO = "manual", "auto"

ASLEEP = Expectation(
    any_of=(
        (
            Check("state", Relation.EQUALS, State.SLEEPING),
            Check("hashrate_ths", Relation.AT_MOST, 0.0),
        ),
        # Builds before 25.07 without the word in their answers: their state is unknown.
        (
            Check("hashrate_ths", Relation.AT_MOST, 0.0),
            Check("power_w", Relation.AT_MOST_OF_BEFORE, 0.5),
            Check("state", Relation.EQUALS, State.UNKNOWN),
        ),
    ),
    look_after_s=6.0,
    until_s=120.0,
)
AWAKE = awake(900.0, look_after_s=90.0)
BOOTED = restarted(600.0, look_after_s=120.0)

NONE: dict[str, Latency] = {}
BY_RPC: dict[str, Latency] = {"pause": Latency.SECONDS, "resume": Latency.MINUTES}
"""Where nothing but port 4028 is open."""
LATENCIES: dict[str, Latency] = {
    "pause": Latency.SECONDS,
    "resume": Latency.MINUTES,
    "restart_mining": Latency.MINUTES,
    "reboot": Latency.MINUTES,
    "limit_power": Latency.MINUTE,
    "set_pools": Latency.MINUTE,
    "locate": Latency.SECONDS,
    "set_fan_duty": Latency.SECONDS,
    "set_temp_target": Latency.SECONDS,
    "set_hostname": Latency.MINUTE,
    "factory_reset": Latency.MINUTES,
}


async def by_rpc(rpc: CgminerRpc, clock: Clock, action: str) -> str:
    """`pause` and `resume` on port 4028, which wants no login (documented)."""
    return status_of(await rpc.ask(action, deadline=Deadline(clock, ACT_S))).message


async def act(
    web: BraiinsWeb, clock: Clock, action: str, expectation: Expectation | None
) -> Receipt:
    """One of the actions that take nothing.

    A restart has none to expect: the uptime that readings carry is the machine's.
    """
    return await _write(web, clock, f"actions/{action}", None, expectation)


async def locate(web: BraiinsWeb, clock: Clock, on: bool) -> Receipt:
    """The body is a bare `true` or `false`."""
    return await _write(web, clock, LOCATE, on, shows("locating", on, SHOWN_S))


async def limit_power(web: BraiinsWeb, clock: Clock, limit_w: float) -> Receipt:
    """The power target, in whole watts."""
    page = await web.page(CONSTRAINTS, Deadline(clock, ACT_S))
    within(limit_w, *reduce_constraints(page), "W")
    whole = math.floor(limit_w)
    expectation = limited(whole, TUNED_S, look_after_s=10.0)
    return await _write(web, clock, "performance/power-target", {"watt": whole}, expectation)


async def set_pools(web: BraiinsWeb, clock: Clock, pools: Sequence[PoolSetting]) -> Receipt:
    """Every group is replaced by one (documented); it keeps the name of the first."""
    if not pools:
        raise OutOfRange("an empty list of pools", "at least one pool")
    group = {
        "name": first_name(await web.page(POOLS, Deadline(clock, ACT_S))),
        "load_balance_strategy": {"quota": {"value": 1}},
        "pools": [
            {"enabled": True, "url": pool.url, "user": pool.user, "password": pool.password}
            for pool in pools
        ],
    }
    expectation = pools_are(pools, MOVED_S, look_after_s=5.0)
    return await _write(web, clock, "pools/batch", [group], expectation)


def first_name(groups: Any) -> str:
    """What the first group of pools is called."""
    found = (text(group.get("name")) for group in listed(groups, POOLS_LIMIT))
    return next(filter(None, found), "default")


# --- cooling -------------------------------------------------------------------------------


async def set_fan_duty(web: BraiinsWeb, clock: Clock, percent: float | None) -> Receipt:
    """A fixed speed, or regulated ones again; only where the machine has fans to run.

    The rest of the mode's settings is sent as it is: a change of the mode resets what is not.
    """
    mode, settings = await _fan_mode(web, clock)
    if percent is None:
        kept = settings if mode == _AUTO else {}
        return await _write(web, clock, "cooling/mode", {_AUTO: kept}, None)
    await _check_duty(web, clock, percent)
    kept = settings if mode == _MANUAL else _limits(settings)
    wanted = {_MANUAL: {**kept, "fan_speed_ratio": round(percent / 100, 4)}}
    expectation = shows("fan_duty_percent", round(percent, 3), SHOWN_S, look_after_s=10.0)
    return await _write(web, clock, "cooling/mode", wanted, expectation)


async def set_temp_target(web: BraiinsWeb, clock: Clock, temp_c: float) -> Receipt:
    """Of the mode in which the fans are regulated."""
    mode, settings = await _fan_mode(web, clock)
    if mode != _AUTO:
        raise Refused(None, f"the miner's cooling is {mode or 'unknown'}, not regulated")
    page = await web.page(CONSTRAINTS, Deadline(clock, ACT_S))
    span = section(page, "cooling_constraints", "target_temperature")
    lowest, highest = (positive(section(span, end).get("degree_c")) for end in ("min", "max"))
    within(temp_c, lowest, highest, "°C")
    wanted = {_AUTO: {**settings, "target_temperature": {"degree_c": temp_c}}}
    expectation = shows("temp_target_c", temp_c, SHOWN_S)
    return await _write(web, clock, "cooling/mode", wanted, expectation)


async def _fan_mode(web: BraiinsWeb, clock: Clock) -> tuple[str | None, dict[str, Any]]:
    """Raises where liquid cools the machine, or nothing says that fans do."""
    deadline = Deadline(clock, ACT_S)
    mode, settings = cooling_mode_of(await web.page(SETTINGS, deadline))
    if mode is None:
        fans = listed(section(await web.page(COOLING, deadline)).get("fans"), POOLS_LIMIT)
        if not any(positive(fan.get("rpm")) for fan in fans):
            raise Refused(None, "nothing says that fans cool this miner")
    elif mode not in (_AUTO, _MANUAL):
        raise Refused(None, f"the miner's cooling is {mode}, which has no fans to run")
    return mode, dict(settings)


def _limits(settings: dict[str, Any]) -> dict[str, Any]:
    """What both modes of fans have in common, the temperatures that protect the boards first."""
    names = ("dangerous_temperature", "hot_temperature", "minimum_required_fans")
    return {name: settings[name] for name in names if settings.get(name) is not None}


async def _check_duty(web: BraiinsWeb, clock: Clock, percent: float) -> None:
    page = await web.page(CONSTRAINTS, Deadline(clock, ACT_S))
    span = section(page, "cooling_constraints", "fan_speed_ratio")
    lowest, highest = positive(span.get("min")), positive(span.get("max"))
    within(percent, (lowest or 0.0) * 100, 100.0 if highest is None else highest * 100, "%")


# --- network -------------------------------------------------------------------------------


async def set_hostname(web: BraiinsWeb, clock: Clock, hostname: str) -> Receipt:
    """A part of the network's configuration: what is not sent stays (documented)."""
    plain = hostname.replace("-", "")
    if not (plain.isascii() and plain.isalnum() and len(hostname) <= HOST_CHARS):
        raise OutOfRange(f"the name {hostname!r}", "letters, digits and hyphens, up to 63")
    deadline = Deadline(clock, ACT_S)
    await web.enter(LOCATE, deadline)
    order = web.put("network/configuration", deadline, {"hostname": hostname}, method="PATCH")
    return await ordered(order, named(hostname, MOVED_S))


async def _write(
    web: BraiinsWeb, clock: Clock, path: str, payload: object, expectation: Expectation | None
) -> Receipt:
    deadline = Deadline(clock, ACT_S)
    await web.enter(LOCATE, deadline)
    return await ordered(web.put(path, deadline, payload), expectation)
