"""What can be ordered of miners, and of any device: rows of the table of verbs."""

from __future__ import annotations

from agent.command import foreseen, shown
from agent.command.params import (
    Fans,
    Hostname,
    Limit,
    Mode,
    Pools,
    Preset,
    Share,
    Switch,
    Temperature,
)
from agent.command.verb import NOW_S, SETTING_S, START_S, Load, Verb, keeps, raises, sheds
from drivers.capabilities import PoolSetting
from drivers.model import MinerReading, Reading, State
from drivers.model_gpu import GpuReading


def _limit_load(params: Limit, reading: Reading | None) -> Load:
    """A limit at or below the one in force sheds; where none shows, one below what is drawn."""
    if not isinstance(reading, MinerReading | GpuReading):
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


ROWS = (
    Verb(
        name="mining.pause",
        aspect="sleep",
        action="pause",
        call=lambda driver, _: driver.pause(),
        load=sheds,
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
        load=raises,
        shown=shown.awake,
        settles_s=900.0,
        foreseen=foreseen.awake,
        expiry_s=START_S,
    ),
    Verb(
        name="mining.restart",
        action="restart_mining",
        call=lambda driver, _: driver.restart_mining(),
        load=raises,
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
        load=raises,
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
        load=raises,
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
        load=raises,
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
        load=keeps,
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
        load=keeps,
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
        load=keeps,
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
        load=keeps,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="device.factory_reset",
        action="factory_reset",
        call=lambda driver, _: driver.factory_reset(),
        load=raises,
        repeatable=False,
        dangerous=True,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
)
