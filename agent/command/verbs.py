"""What can be ordered: a table of verbs, each with its parameters, its danger and its load.

A verb is one row. The parameters are a struct, so that whoever sends them is told what is wrong
with them; the load says whether the verb may raise what the site draws (then it obeys the
start-rate limit), or sheds it (then it never waits).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import msgspec

from agent.command import foreseen, shown
from agent.command.params import (
    Fans,
    Hostname,
    Limit,
    Mode,
    Params,
    Pools,
    Preset,
    Share,
    Switch,
    Temperature,
)
from drivers.actions import Receipt
from drivers.capabilities import PoolSetting
from drivers.model import MinerReading, Reading, State


class Load(StrEnum):
    """What a verb does to the power that a device draws."""

    SHEDS = "sheds"
    RAISES = "raises"
    """Or may raise: what is not known counts as raised."""
    KEEPS = "keeps"


NOW_S = 60.0
"""Shedding and lights are meant for now: what was held up on the way must not surprise anybody."""
SETTING_S = 600.0
"""Names a state, and may take its turn: 30,000 devices take two minutes; where a limit is raised, a
rack of a hundred takes under nine at the default rate of its breaker."""
START_S = 7200.0
"""Starts wait for their rate: 10,000 of them take 83 minutes at the default of 120 a minute."""


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be ordered."""

    name: str
    action: str
    """The driver's method, and its name among the capabilities."""
    params: type[Params] = Params
    call: Callable[[Any, Any], Awaitable[Receipt]]
    load: Callable[[Any, Reading | None], Load]
    shown: Callable[[Any, Reading, float], bool | None]
    """Whether a reading shows what was ordered so many seconds before it; see `shown`."""
    settles_s: float | None
    """How long the effect may take with the slowest dialect; None where no reading shows it."""
    foreseen: Callable[[Any, Reading], float | None]
    """What it is expected to change in the power drawn, in watts; see `foreseen`."""
    expiry_s: float
    """Nothing of a command begins later than this, where its sender does not say."""
    aspect: str | None = None
    """What of the device it sets: verbs of one aspect replace each other's effects."""
    repeatable: bool = True
    """Whether a repeat is harmless: the verb names a state, not a deed."""
    dangerous: bool = False
    """Off unless the local configuration names it."""
    always_sheds: bool = False
    """Whether it sheds whatever the device shows: it may be done without knowing the time."""
    past_locks: bool = False
    """Whether it reaches devices that are locked: it starts and switches nothing."""


def _sheds(_params: Any, _reading: Reading | None) -> Load:
    return Load.SHEDS


def _raises(_params: Any, _reading: Reading | None) -> Load:
    return Load.RAISES


def _keeps(_params: Any, _reading: Reading | None) -> Load:
    return Load.KEEPS


def _limit_load(params: Limit, reading: Reading | None) -> Load:
    """A limit at or below the one in force sheds; where none shows, one below what is drawn."""
    if not isinstance(reading, MinerReading):
        return Load.RAISES
    held_w = reading.power_w if reading.power_limit_w is None else reading.power_limit_w
    sheds = held_w is not None and params.watts <= held_w
    return Load.SHEDS if sheds and reading.state is not State.SLEEPING else Load.RAISES


def _share_load(params: Share, reading: Reading | None) -> Load:
    """A share at or below the one in force sheds; no machine is held above its full power."""
    held = reading.throttle_percent if isinstance(reading, MinerReading) else None
    most = 100.0 if held is None else held
    return Load.SHEDS if params.percent <= most and params.percent < 100 else Load.RAISES


def _pools_load(_params: Pools, reading: Reading | None) -> Load:
    """A machine that works goes on working; one without work may find some."""
    works = reading is not None and reading.state is State.MINING
    return Load.KEEPS if works else Load.RAISES


def _settings(params: Pools) -> list[PoolSetting]:
    return [PoolSetting(pool.url, pool.user, pool.password) for pool in params.pools]


_ROWS = (
    Verb(
        name="mining.pause",
        aspect="sleep",
        action="pause",
        call=lambda driver, _: driver.pause(),
        load=_sheds,
        always_sheds=True,
        past_locks=True,
        shown=shown.asleep,
        settles_s=240.0,
        foreseen=foreseen.asleep,
        expiry_s=NOW_S,
    ),
    Verb(
        name="mining.resume",
        aspect="sleep",
        action="resume",
        call=lambda driver, _: driver.resume(),
        load=_raises,
        shown=shown.awake,
        settles_s=900.0,
        foreseen=foreseen.awake,
        expiry_s=START_S,
    ),
    Verb(
        name="mining.restart",
        action="restart_mining",
        call=lambda driver, _: driver.restart_mining(),
        load=_raises,
        repeatable=False,
        shown=shown.begun_anew,
        settles_s=600.0,
        foreseen=foreseen.as_before,
        expiry_s=START_S,
    ),
    Verb(
        name="device.reboot",
        action="reboot",
        call=lambda driver, _: driver.reboot(),
        load=_raises,
        repeatable=False,
        shown=shown.begun_anew,
        settles_s=900.0,
        foreseen=foreseen.as_before,
        expiry_s=START_S,
    ),
    Verb(
        name="power.limit",
        aspect="power",
        action="limit_power",
        params=Limit,
        call=lambda driver, params: driver.limit_power(params.watts),
        load=_limit_load,
        shown=shown.limit,
        settles_s=900.0,
        foreseen=foreseen.limited,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="power.throttle",
        aspect="power",
        action="throttle",
        params=Share,
        call=lambda driver, params: driver.throttle(params.percent),
        load=_share_load,
        shown=shown.share,
        settles_s=900.0,
        foreseen=foreseen.throttled,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="power.preset",
        aspect="power",
        action="choose_preset",
        params=Preset,
        call=lambda driver, params: driver.choose_preset(params.preset),
        load=_raises,
        shown=shown.preset,
        settles_s=900.0,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
    Verb(
        name="power.mode",
        aspect="power",
        action="set_mode",
        params=Mode,
        call=lambda driver, params: driver.set_mode(params.mode),
        load=_raises,
        shown=shown.mode,
        settles_s=900.0,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
    Verb(
        name="pools.set",
        aspect="pools",
        action="set_pools",
        params=Pools,
        call=lambda driver, params: driver.set_pools(_settings(params)),
        load=_pools_load,
        shown=shown.pools,
        settles_s=900.0,
        foreseen=foreseen.as_before,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="locate",
        action="locate",
        params=Switch,
        call=lambda driver, params: driver.locate(on=params.on),
        load=_keeps,
        past_locks=True,
        shown=shown.light,
        settles_s=60.0,
        foreseen=foreseen.nothing,
        expiry_s=NOW_S,
    ),
    Verb(
        name="fans.set",
        aspect="fans",
        action="set_fan_duty",
        params=Fans,
        call=lambda driver, params: driver.set_fan_duty(params.percent),
        load=_keeps,
        shown=shown.fans,
        settles_s=120.0,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="temperature.set",
        aspect="temperature",
        action="set_temp_target",
        params=Temperature,
        call=lambda driver, params: driver.set_temp_target(params.celsius),
        load=_keeps,
        shown=shown.temperature,
        settles_s=240.0,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="hostname.set",
        action="set_hostname",
        params=Hostname,
        call=lambda driver, params: driver.set_hostname(params.hostname),
        load=_keeps,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="device.factory_reset",
        action="factory_reset",
        call=lambda driver, _: driver.factory_reset(),
        load=_raises,
        repeatable=False,
        dangerous=True,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
)
VERBS: dict[str, Verb] = {verb.name: verb for verb in _ROWS}
