"""What a Goldshell is told over its web side, and what each type of it can be told.

Sources: the request module of the web page's own code, two public tools that were tried on an SC
Box, an HS Box and an SC Lite, and four public programs that change pools. `PUT /mcb/setting` takes
the whole object that `GET` gave; it is obeyed within seconds and restarts the program that
drives the fans, which are loud for some minutes. `PUT /mcb/restart` boots the controller; on
firmware 2.2 a `GET` does nothing there. Port 4028 lets nobody write.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from drivers.actions import Expectation, Latency
from drivers.api import WebReply
from drivers.asic.effects import among, asleep, awake, shows, within
from drivers.asic.fields import Row, integer, text
from drivers.asic.goldshell.answers import SETTING_PAGE
from drivers.asic.goldshell.plans import (
    RESTING_LEVEL,
    clock_in,
    mode_of,
    plans_of,
    target_range,
)
from drivers.errors import BadReply, OutOfRange, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, decoded

RESTART_PAGE = "/mcb/restart"
ACT_S = 20.0
"""A busy backend takes seconds; it is never asked two things at once."""
APPLIED_S, STARTED_S, BOOTING_S = 8.0, 75.0, 30.0
SHOWN_S, ASLEEP_S, AWAKE_S, BOOTED_S = 60.0, 240.0, 600.0, 600.0
"""Settings are taken within seconds; `MHS 20s` needs most of a minute to fall to nothing, and a
boot was seen to take 60 to 90 s (both public tools' accounts)."""
_LATENCIES = {
    "pause": Latency.MINUTE,
    "resume": Latency.MINUTES,
    "set_mode": Latency.MINUTE,
    "set_pools": Latency.MINUTE,
    "reboot": Latency.MINUTES,
    "locate": Latency.SECONDS,
    "set_temp_target": Latency.SECONDS,
}
_ALWAYS = frozenset({"set_pools", "reboot"})
_JSON = {"Content-Type": "application/json"}


@cache
def _some(names: frozenset[str]) -> Mapping[str, Latency]:
    return {name: latency for name, latency in _LATENCIES.items() if name in names}


UNSEEN = _some(_ALWAYS)
"""What can be done to a machine whose settings were not read yet."""


def able(setting: Any) -> Mapping[str, Latency]:
    """What the machine with these settings can be told; one mapping for all that are alike."""
    if not isinstance(setting, dict):
        return UNSEEN
    plans = plans_of(setting)
    names = set(_ALWAYS)
    names |= {"pause", "resume"} if _resting(plans) is not None and _running(plans) else set()
    names |= {"set_mode"} if len(plans) > 1 else set()
    names |= {"locate"} if isinstance(setting.get("ledcontrol"), bool) else set()
    names |= {"set_temp_target"} if target_range(setting) else set()
    return _some(frozenset(names))


# --- the settings, changed ---------------------------------------------------------------------


class Awake(msgspec.Struct, frozen=True):
    """The plan that a machine ran before it was told to rest."""

    level: int
    manual: bool


def before_rest(setting: Row) -> Awake | None:
    """The plan that runs now; None where it is the resting one, or none is said."""
    level, manual = integer(setting.get("select")), setting.get("manual") is True
    if level is None or (not manual and level == _resting(plans_of(setting))):
        return None
    return Awake(level, manual)


def at_rest(setting: Row) -> Row:
    """The settings with the plan that stands still; raises `Refused` where there is none."""
    level = _resting(plans_of(setting))
    if level is None:
        raise Refused(None, "none of this machine's power plans stands still")
    return {**setting, "select": level, "manual": False}


def at_work(setting: Row, before: Awake | None) -> Row:
    """The settings with the plan of before its rest, else the first that runs."""
    if before_rest(setting) is not None:
        return setting
    running = _running(plans_of(setting))
    if before is not None and (before.manual or before.level in running):
        return {**setting, "select": before.level, "manual": before.manual}
    if not running:
        raise Refused(None, "none of this machine's power plans runs")
    return {**setting, "select": min(running), "manual": False}


def in_mode(setting: Row, mode: str) -> tuple[Row, Expectation]:
    """The settings with the plan of this name, and how it shows; raises `OutOfRange`."""
    levels = {mode_of(level): level for level in plans_of(setting)}
    among(mode, tuple(levels), "mode")
    changed = {**setting, "select": levels[mode], "manual": False}
    if levels[mode] == _resting(plans_of(setting)):
        return changed, asleep(ASLEEP_S, look_after_s=10.0)
    return changed, shows("mode", mode, SHOWN_S, look_after_s=APPLIED_S)


def with_target(setting: Row, temp_c: float) -> Row:
    """The settings with another target of the fans, which takes whole degrees."""
    ends = target_range(setting)
    if ends is None:
        raise OutOfRange(f"{temp_c:g} °C", "no target for its fans")
    within(temp_c, *ends, "°C")
    return {**setting, "temp_target": round(temp_c)}


def kept(field: str, value: float | bool) -> Expectation:
    """The settings show it once they were taken."""
    return shows(field, value, SHOWN_S, look_after_s=APPLIED_S)


def resumed() -> Expectation:
    """The boards hash again."""
    return awake(AWAKE_S, look_after_s=STARTED_S)


def _resting(plans: Mapping[int, str]) -> int | None:
    still = (level for level, words in plans.items() if clock_in(words) == 0)
    unsaid = RESTING_LEVEL if clock_in(plans.get(RESTING_LEVEL)) is None else None
    return next(still, unsaid if unsaid in plans else None)


def _running(plans: Mapping[int, str]) -> list[int]:
    return [level for level, words in plans.items() if clock_in(words)]


# --- the requests ------------------------------------------------------------------------------


async def setting_of(web: WebClient, deadline: Deadline) -> Row:
    """The settings; raises where they cannot be read whole."""
    page = await web.json(SETTING_PAGE, deadline)
    if not isinstance(page, dict) or not {"select", "powerplans"} <= page.keys():
        raise BadReply("the settings are not all there")
    return page


async def put(web: WebClient, path: str, payload: object, deadline: Deadline) -> str:
    """Order something; gives the device's words, and raises `Refused` where they say no."""
    body = None if payload is None else msgspec.json.encode(payload)
    headers = {} if payload is None else _JSON
    return _words(await web.request("PUT", path, deadline, headers=headers, body=body), path)


def _words(reply: WebReply, path: str) -> str:
    """Answers repeat the pools with their passwords: of the body nothing but `msg` is told."""
    if reply.status != 200:
        decoded(reply, path)  # raises what the status says
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return "HTTP status 200"
    code, words = integer(found.get("code")), text(found.get("msg"))
    if code:
        raise Refused(code, words or "no reason given")
    return words or "HTTP status 200"
