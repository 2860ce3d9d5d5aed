"""Whatever a reading shows and whatever is ordered: nothing is claimed that it does not show."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.command.params import Limit, Pool, Pools
from agent.command.verbs import VERBS, Load, Verb
from drivers.model import MinerReading, Reading, State, pool_target
from drivers.model import Pool as ShownPool
from tests.readings import BEGIN, readings

WATTS = st.floats(1.0, 20_000.0)
PERCENTS = st.floats(1.0, 100.0)
WORDS = st.sampled_from(["eco", "Normal", "2500W"])
POOL = st.builds(
    Pool,
    url=st.sampled_from(["stratum+tcp://a.example:3333", "stratum+ssl://B.example:443/p"]),
    user=st.sampled_from(["site.1", "site.2"]),
)
CUTS = st.sampled_from(["1g.10gb", "2g.20gb", "3g.40gb"])
PARAMS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "power.limit": {"watts": WATTS},
    "power.throttle": {"percent": PERCENTS},
    "power.preset": {"preset": WORDS},
    "power.mode": {"mode": WORDS},
    "pools.set": {"pools": st.lists(POOL, min_size=1, max_size=3).map(tuple)},
    "locate": {"on": st.booleans()},
    "fans.set": {"percent": st.none() | PERCENTS},
    "temperature.set": {"celsius": st.floats(20.0, 100.0)},
    "hostname.set": {"hostname": st.just("b7-12")},
    "gpu.clocks.lock": {"min_mhz": st.just(900), "max_mhz": st.integers(900, 3000)},
    "gpu.memory_clocks.lock": {"min_mhz": st.just(900), "max_mhz": st.integers(900, 3000)},
    "gpu.persistence": {"on": st.booleans()},
    "gpu.compute_mode": {"mode": st.sampled_from(["default", "exclusive_process", "prohibited"])},
    "gpu.ecc": {"on": st.booleans()},
    "gpu.mig.mode": {"on": st.booleans()},
    "gpu.mig.layout": {"profiles": st.lists(CUTS, max_size=7).map(tuple)},
    "gpu.fan": {"percent": st.none() | PERCENTS},
}
SECONDS = st.floats(0.1, 90_000.0)


@st.composite
def miners(draw: st.DrawFn) -> MinerReading:
    """A miner as it may show itself: each value may be missing."""
    some = {
        "uptime_s": st.floats(0, 1e7),
        "hashrate_ths": st.sampled_from([0.0, 110.0]),
        "power_w": st.floats(0, 20_000),
        "power_limit_w": WATTS,
        "mode": WORDS,
        "preset": WORDS,
        "throttle_percent": st.floats(0, 100),
        "temp_target_c": st.floats(0, 120),
        "locating": st.booleans(),
    }
    values = {name: draw(st.none() | strategy) for name, strategy in some.items()}
    state = draw(st.sampled_from(State))
    return MinerReading(device_id="a", kind="asic", taken_at=BEGIN, state=state, **values)


@st.composite
def orders(draw: st.DrawFn) -> tuple[Verb, Any]:
    """Any verb with parameters that it takes."""
    verb = draw(st.sampled_from(list(VERBS.values())))
    values = draw(st.fixed_dictionaries(PARAMS.get(verb.name, {})))
    return verb, verb.params(**values)


SHOWN_BY = {
    "mining.pause": ("state",),
    "mining.resume": ("state",),
    "mining.restart": ("uptime_s",),
    "device.reboot": ("uptime_s",),
    "power.limit": ("power_limit_w",),
    "power.throttle": ("throttle_percent",),
    "power.preset": ("preset",),
    "power.mode": ("mode",),
    "pools.set": ("pools",),
    "locate": ("locating",),
    "fans.set": ("fans",),
    "temperature.set": ("temp_target_c",),
    "hostname.set": (),
    "device.factory_reset": (),
}
"""What of a miner's reading shows it; of what is for GPUs alone none shows anything."""


@given(orders(), readings() | miners(), SECONDS)
def test_any_reading_of_any_kind_is_judged(order, reading: Reading, since_s: float) -> None:
    verb, params = order
    assert verb.shown(params, reading, since_s) in (True, False, None)
    change_w = verb.foreseen(params, reading)
    assert change_w is None or math.isfinite(change_w)


@given(orders(), miners(), SECONDS)
def test_what_a_reading_has_no_word_for_it_does_not_show(order, reading, since_s) -> None:
    verb, params = order
    empty = {"state": State.UNKNOWN, "pools": (), "fans": ()}
    without = {name: empty.get(name) for name in SHOWN_BY.get(verb.name, ())}
    blind = msgspec.structs.replace(reading, **without)
    assert verb.shown(params, blind, since_s) is None


@given(orders(), miners(), SECONDS)
def test_other_values_than_its_own_say_nothing_of_a_verb(order, reading, since_s) -> None:
    verb, params = order
    own = {*SHOWN_BY.get(verb.name, ()), "hashrate_ths"}  # that shows a sleeping one awake
    bare = MinerReading(device_id="a", kind="asic", taken_at=BEGIN, state=State.UNKNOWN)
    kept = {name: getattr(reading, name) for name in own}
    alone = msgspec.structs.replace(bare, **kept)
    assert verb.shown(params, alone, since_s) is verb.shown(params, reading, since_s)


@given(miners(), SECONDS)
def test_no_machine_sleeps_and_is_awake(reading, since_s) -> None:
    pause, resume = (VERBS[name].shown(None, reading, since_s) for name in _SLEEP)
    assert not (pause and resume)
    assert (pause is None) is (resume is None)


_SLEEP = ("mining.pause", "mining.resume")


@given(miners(), WATTS, WATTS)
def test_a_limit_is_shown_to_the_watt(reading, watts, shown_w) -> None:
    shown = VERBS["power.limit"].shown
    same = msgspec.structs.replace(reading, power_limit_w=float(math.floor(watts)))
    assert shown(Limit(watts), same, 1.0) is True
    other = msgspec.structs.replace(reading, power_limit_w=shown_w)
    assert shown(Limit(watts), other, 1.0) is (abs(shown_w - watts) <= 1.0)


@pytest.mark.parametrize(
    ("verb", "params", "shows", "told"),
    [
        ("mining.pause", {}, {"state": State.SLEEPING}, True),
        ("mining.pause", {}, {"state": State.SLEEPING, "hashrate_ths": 0.0}, True),
        ("mining.pause", {}, {"state": State.SLEEPING, "hashrate_ths": 1.0}, False),
        ("mining.resume", {}, {"state": State.IDLE}, True),
        ("mining.resume", {}, {"state": State.FAULT}, False),
        ("device.reboot", {}, {"uptime_s": 97.0}, True),
        ("device.reboot", {}, {"uptime_s": 98.0}, False),
        ("power.limit", {"watts": 3000.0}, {"power_limit_w": 3001.0}, True),
        ("power.limit", {"watts": 3000.0}, {"power_limit_w": 2998.9}, False),
        ("power.throttle", {"percent": 60.4}, {"throttle_percent": 60.0}, True),
        ("power.throttle", {"percent": 60.0}, {"throttle_percent": 61.0}, False),
        ("temperature.set", {"celsius": 65.0}, {"temp_target_c": 66.0}, False),
        ("power.mode", {"mode": "ECO"}, {"mode": "eco"}, True),
    ],
)
def test_at_the_bounds(verb, params, shows, told) -> None:
    plain = {"device_id": "a", "kind": "asic", "taken_at": BEGIN, "state": State.MINING}
    row = VERBS[verb]
    reading = MinerReading(**{**plain, **shows})
    assert row.shown(msgspec.convert(params, row.params), reading, 100.0) is told


@given(miners(), st.lists(POOL, min_size=1, max_size=3), SECONDS, st.integers(-60, 60))
def test_pools_are_shown_in_their_order_and_not_by_an_older_list(
    reading, pools, since_s, later_s
) -> None:
    params = Pools(tuple(pools))
    ordered_at = reading.taken_at - timedelta(seconds=since_s)
    listed = tuple(ShownPool(url=pool.url, user=pool.user) for pool in pools)
    read_at = ordered_at + timedelta(seconds=later_s)
    same = msgspec.structs.replace(reading, pools=listed, pools_at=read_at)
    assert VERBS["pools.set"].shown(params, same, since_s) is (True if later_s >= 0 else None)
    turned = msgspec.structs.replace(same, pools=listed[::-1], pools_at=None)
    wanted = [pool_target(pool.url, pool.user) for pool in pools]
    assert VERBS["pools.set"].shown(params, turned, since_s) is (wanted == wanted[::-1])


@given(miners(), st.floats(0, 1e5), st.floats(5.0, 1e5))
def test_a_machine_that_ran_before_the_order_was_not_restarted(reading, age_s, since_s) -> None:
    ran = msgspec.structs.replace(reading, uptime_s=since_s + age_s)
    began = msgspec.structs.replace(reading, uptime_s=max(0.0, since_s - 3.0 - age_s))
    for name in ("device.reboot", "mining.restart"):
        assert VERBS[name].shown(None, ran, since_s) is False
        assert VERBS[name].shown(None, began, since_s) is True


# --- what is foreseen -----------------------------------------------------------------------------


@given(orders(), miners())
def test_nothing_sheds_more_than_is_drawn_and_what_sheds_raises_nothing(order, reading) -> None:
    verb, params = order
    change_w = verb.foreseen(params, reading)
    assume(change_w is not None)
    assert change_w >= -(reading.power_w or 0.0)
    if verb.load(params, reading) is Load.SHEDS:
        assert change_w <= 1e-9
    if verb.load(params, reading) is Load.KEEPS:
        assert change_w == 0.0


@given(miners())
def test_a_pause_sheds_all_that_is_drawn_or_nothing(reading) -> None:
    change_w = VERBS["mining.pause"].foreseen(None, reading)
    if reading.state is State.SLEEPING:
        assert change_w == 0.0
    elif reading.power_w is None or reading.state in (State.UNKNOWN, State.UNREACHABLE):
        assert change_w is None
    else:
        assert change_w == -reading.power_w


@given(miners())
def test_waking_raises_up_to_the_limit_or_nothing(reading) -> None:
    asleep = msgspec.structs.replace(reading, state=State.SLEEPING)
    change_w = VERBS["mining.resume"].foreseen(None, asleep)
    if reading.power_limit_w is None:
        assert change_w is None
    else:
        assert 0.0 <= change_w <= reading.power_limit_w


@given(miners(), WATTS)
def test_a_limit_below_what_is_drawn_sheds_the_difference(reading, watts) -> None:
    mining = msgspec.structs.replace(reading, state=State.MINING)
    change_w = VERBS["power.limit"].foreseen(Limit(watts), mining)
    if mining.power_w is None:
        assert change_w is None
    elif mining.power_w > watts:
        assert math.isclose(mining.power_w + change_w, watts)
    elif mining.power_limit_w is None or watts > mining.power_limit_w:
        assert change_w is None  # a higher limit may raise it: nobody knows how far
    else:
        assert change_w == 0.0


@given(miners(), WATTS, WATTS)
def test_a_lower_limit_sheds_no_less(reading, one_w, other_w) -> None:
    mining = msgspec.structs.replace(reading, state=State.MINING, power_w=10_000.0)
    low_w, high_w = sorted((one_w, other_w))
    low, high = (VERBS["power.limit"].foreseen(Limit(each), mining) for each in (low_w, high_w))
    assert high is None or (low is not None and low <= high)


@given(st.floats(1.0, 20_000.0), st.floats(1.0, 100.0), st.floats(1.0, 100.0))
def test_a_share_changes_it_in_proportion(drawn_w, held, percent) -> None:
    reading = MinerReading(
        device_id="a",
        kind="asic",
        taken_at=BEGIN,
        state=State.MINING,
        power_w=drawn_w,
        throttle_percent=held,
    )
    verb = VERBS["power.throttle"]
    change_w = verb.foreseen(verb.params(percent=percent), reading)
    assert math.isclose((drawn_w + change_w) / drawn_w, percent / held, rel_tol=1e-9)
