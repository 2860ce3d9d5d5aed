"""What can be ordered: the table against schema and drivers, its parameters, its load."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest

from agent.command import shown
from agent.command.audit_notes import shown as audited
from agent.command.orders import Order
from agent.command.params import Pool, Pools
from agent.command.verb import raises
from agent.command.verbs import VERBS, Load
from agent.config.schema import Control, VerbName
from drivers.capabilities import ACTIONS, PoolSetting
from drivers.mock import MockMiner, mock_identity
from drivers.mock_gpu import MockGpu, mock_gpu_identity
from drivers.model import Kind, MinerReading, Reading, State
from drivers.model_gpu import GpuReading
from tests.fakes import FakeClock

SECRET = "hunter2"
ROWS = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
EXAMPLES: dict[str, dict[str, Any]] = {
    "power.limit": {"watts": 3000.0},
    "power.throttle": {"percent": 60.0},
    "power.preset": {"preset": "2500W"},
    "power.mode": {"mode": "eco"},
    "pools.set": {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "site.1"}]},
    "locate": {"on": True},
    "fans.set": {"percent": 80.0},
    "temperature.set": {"celsius": 65.0},
    "hostname.set": {"hostname": "b7-12"},
    "gpu.clocks.lock": {"min_mhz": 900, "max_mhz": 1200},
    "gpu.memory_clocks.lock": {"min_mhz": 1593, "max_mhz": 1593},
    "gpu.persistence": {"on": True},
    "gpu.compute_mode": {"mode": "exclusive_process"},
    "gpu.ecc": {"on": False},
    "gpu.mig.mode": {"on": True},
    "gpu.mig.layout": {"profiles": ["3g.40gb", "1g.10gb+me"]},
    "gpu.fan": {"percent": 80.0},
}


def params(verb_name: str, content: dict[str, Any]) -> Any:
    return msgspec.convert(content, VERBS[verb_name].params)


def refused(verb_name: str, content: dict[str, Any]) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        params(verb_name, content)
    return str(caught.value)


# --- the table ----------------------------------------------------------------------------------


def test_the_schema_knows_the_same_verbs() -> None:
    assert set(get_args(VerbName)) == set(VERBS)
    assert len(get_args(VerbName)) == len(VERBS)


@ROWS
def test_every_action_is_known_to_the_drivers(verb) -> None:
    assert verb.action in ACTIONS
    assert inspect.iscoroutinefunction(getattr(ACTIONS[verb.action], verb.action))


@ROWS
def test_every_verb_calls_its_action_and_no_other(verb) -> None:
    called: list[str] = []

    class Heard:
        def __getattr__(self, name: str) -> Any:
            return lambda *_args, **_named: called.append(name)

    verb.call(Heard(), params(verb.name, EXAMPLES.get(verb.name, {})))
    assert called == [verb.action]


@ROWS
def test_parameters_that_nobody_knows_are_refused_by_name(verb) -> None:
    content = {**EXAMPLES.get(verb.name, {}), "force": True}
    assert "force" in refused(verb.name, content)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"fans.set", "gpu.fan"}))
def test_parameters_that_are_needed_are_asked_for(name) -> None:
    for key in EXAMPLES[name]:
        rest = {each: value for each, value in EXAMPLES[name].items() if each != key}
        assert key in refused(name, rest)


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        (
            "dangerous",
            {"device.factory_reset", "gpu.mig.mode", "gpu.mig.layout", "gpu.reset", "gpu.fan"},
        ),
        ("always_sheds", {"mining.pause"}),
        ("past_locks", {"mining.pause", "locate"}),
    ],
)
def test_what_is_dangerous_and_what_passes_locks(attribute, names) -> None:
    assert {name for name, verb in VERBS.items() if getattr(verb, attribute)} == names


def test_what_must_not_be_repeated() -> None:
    deeds = {"mining.restart", "device.reboot", "device.factory_reset", "gpu.reset"}
    assert {name for name, verb in VERBS.items() if not verb.repeatable} == deeds


@ROWS
def test_every_row_says_how_long_it_is_meant_and_how_its_effect_shows(verb) -> None:
    assert all(callable(each) for each in (verb.shown, verb.foreseen))
    assert (verb.settles_s is None) is (verb.shown is shown.never)
    assert verb.settles_s is None or 60.0 <= verb.settles_s <= LONGEST_EFFECT_S
    assert 60.0 <= verb.expiry_s <= 24 * 3600.0
    if verb.always_sheds:
        assert verb.expiry_s == 60.0


LONGEST_EFFECT_S = 900.0


@pytest.mark.parametrize("verb", [each for each in VERBS.values() if each.load is raises])
def test_ten_thousand_starts_at_their_rate_fit_into_the_default_time(verb) -> None:
    assert verb.expiry_s >= 10_000 / Control().starts_per_minute * 60.0


async def test_a_miner_takes_what_the_verbs_send() -> None:
    miner = MockMiner(mock_identity(), FakeClock())
    for name in ("power.limit", "pools.set", "locate"):
        await VERBS[name].call(miner, params(name, EXAMPLES[name]))
    pool = PoolSetting("stratum+tcp://pool.example:3333", "site.1", "x")
    assert miner.script.calls == [("limit_power", 3000.0), ("set_pools", (pool,)), ("locate", True)]


async def test_a_gpu_takes_what_the_verbs_send() -> None:
    gpu = MockGpu(mock_gpu_identity(), FakeClock())
    taken = [verb for verb in VERBS.values() if hasattr(gpu, verb.action)]
    for verb in taken:
        await verb.call(gpu, params(verb.name, EXAMPLES.get(verb.name, {})))
    assert gpu.script.calls == [
        ("limit_power", 3000.0),
        ("lock_clocks", 900, 1200),
        ("free_clocks",),
        ("lock_memory_clocks", 1593, 1593),
        ("free_memory_clocks",),
        ("set_persistence", True),
        ("set_compute_mode", "exclusive_process"),
        ("set_ecc", False),
        ("set_mig_mode", True),
        ("set_mig_layout", ("3g.40gb", "1g.10gb+me")),
        ("reset_gpu",),
        ("override_fans", 80.0),
    ]


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *(("power.limit", "watts", each) for each in (0, -1, 1_000_001, "3000", None, True)),
        *(("power.limit", "watts", float(each)) for each in ("nan", "inf", "-inf")),
        *(("power.throttle", "percent", each) for each in (0, 100.1, float("nan"))),
        *(("fans.set", "percent", each) for each in (0, 101)),
        *(("temperature.set", "celsius", each) for each in (19, 101, float("nan"))),
        *(("power.preset", "preset", each) for each in ("", "x" * 65, 3)),
        *(("power.mode", "mode", each) for each in ("", "x" * 65, None)),
        *(("locate", "on", each) for each in ("on", 1, None)),
        *(
            ("hostname.set", "hostname", each)
            for each in ("", "-a", "a-", "a.b", "a b", "a\n", "é", "x" * 64)
        ),
        *(("gpu.persistence", "on", each) for each in ("on", 1, None)),
        *(("gpu.compute_mode", "mode", each) for each in ("exclusive", "DEFAULT", 0, None)),
        *(("gpu.fan", "percent", each) for each in (0, 101, "auto")),
        *(
            ("gpu.mig.layout", "profiles", each)
            for each in ("1g.10gb", None, ["1g"], ["1g.10gb\n"], ["1g.10gb; reset"], [7])
        ),
        ("gpu.mig.layout", "profiles", ["1g.10gb"] * 17),
    ],
)
def test_values_out_of_bounds_are_refused_with_their_place(name, key, value) -> None:
    assert f"$.{key}" in refused(name, {key: value})


@pytest.mark.parametrize("name", ["gpu.clocks.lock", "gpu.memory_clocks.lock"])
@pytest.mark.parametrize(
    ("least", "most", "place"),
    [
        (0, 900, "$.min_mhz"),
        (-1, 900, "$.min_mhz"),
        (900, 100_001, "$.max_mhz"),
        (900.5, 1200, "$.min_mhz"),
        (900, None, "$.max_mhz"),
        (1200, 900, "`min_mhz` is above `max_mhz`"),
    ],
)
def test_clocks_that_are_no_range(name, least, most, place) -> None:
    assert place in refused(name, {"min_mhz": least, "max_mhz": most})


def test_a_gpu_may_be_left_without_instances() -> None:
    assert params("gpu.mig.layout", {"profiles": []}).profiles == ()


@pytest.mark.parametrize("hostname", ["a", "B7", "b7-12", "x" * 63])
def test_names_of_hosts(hostname) -> None:
    assert params("hostname.set", {"hostname": hostname}).hostname == hostname


def test_fans_without_a_duty_are_left_to_the_firmware() -> None:
    assert params("fans.set", {}).percent is None


# --- pools ----------------------------------------------------------------------------------------

POOL = {"url": "stratum+tcp://pool.example:3333", "user": "site.1", "password": SECRET}
FOUL = ['"', "'", "`", " ", "\t", "\n", "\r", "|", ";", ",", "\\", "\x00", "\x1b", "\x7f", "\u2028"]


def pools(**values: Any) -> dict[str, Any]:
    return {"pools": [{**POOL, **values}]}


@pytest.mark.parametrize("place", ["{0}{1}", "{1}{0}", "a{1}{0}"])
@pytest.mark.parametrize("foul", FOUL, ids=ascii)
@pytest.mark.parametrize("key", ["url", "user", "password"])
def test_what_could_end_a_word_on_its_way_to_the_firmware_is_refused(key, foul, place) -> None:
    words = refused("pools.set", pools(**{key: place.format(foul, POOL[key])}))
    assert f"$.pools[0].{key}" in words
    assert SECRET not in words


@pytest.mark.parametrize(
    "url",
    [
        "stratum+tcp://pool.example:3333",
        "stratum+ssl://pool.example:443/path",
        "stratum2+tcp://pool.example:3336/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh",
        "http://10.1.2.3:8332",
        "stratum+tcp://[fd00::1]:3333",
    ],
)
def test_pools_as_they_are_written(url) -> None:
    assert params("pools.set", pools(url=url)).pools[0].url == url


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("url", each) for each in ("", "pool.example:3333", "://pool", "a://b", "A+B://c", 3)),
        ("url", "stratum+tcp://" + "x" * 201),
        ("url", "stratum+tcp://"),
        ("user", ""),
        ("user", "u" * 121),
        ("password", "p" * 65),
        ("password", None),
    ],
)
def test_pools_that_are_none(key, value) -> None:
    assert f"$.pools[0].{key}" in refused("pools.set", pools(**{key: value}))


@pytest.mark.parametrize("count", [0, 4])
def test_one_to_three_pools(count) -> None:
    assert "$.pools" in refused("pools.set", {"pools": [POOL] * count})


# --- passwords are shown nowhere ------------------------------------------------------------------


def secret_pools() -> Pools:
    return Pools((Pool(POOL["url"], "site.1", SECRET), Pool("http://b:1", "b", SECRET)))


@pytest.mark.parametrize(
    "shown",
    [
        lambda: repr(secret_pools().pools[0]),
        lambda: repr(secret_pools()),
        lambda: str(secret_pools()),
        lambda: f"{secret_pools()}",
        lambda: repr(
            Order(id="1", verb=VERBS["pools.set"], params=secret_pools(), who="local:ana")
        ),
        lambda: repr(PoolSetting("http://b:1", "b", SECRET)),
        lambda: repr([PoolSetting("http://b:1", "b", SECRET)]),
        lambda: repr(audited(secret_pools())),
    ],
)
def test_no_password_is_shown(shown) -> None:
    assert SECRET not in shown()


@pytest.mark.parametrize(
    "content",
    [
        pools(password=SECRET + " "),
        pools(password=[SECRET]),
        pools(password={"is": SECRET}),
        pools(passwort=SECRET),
        {"pools": [SECRET]},
        {"pools": SECRET},
        {"pools": [POOL] * 4},
    ],
)
def test_no_error_tells_a_password(content) -> None:
    assert SECRET not in refused("pools.set", content)


def test_the_audit_shows_pools_and_all_else() -> None:
    first, second = audited(secret_pools())["pools"]
    assert first == {"url": POOL["url"], "user": "site.1"}
    assert second == {"url": "http://b:1", "user": "b"}
    assert secret_pools().pools[0].password == SECRET  # the order itself keeps it
    assert audited(params("power.limit", {"watts": 3000})) == {"watts": 3000.0}
    assert audited(params("mining.pause", {})) == {}


# --- what it does to the load ---------------------------------------------------------------------

SHEDS, RAISES, KEEPS = Load.SHEDS, Load.RAISES, Load.KEEPS


def miner(state: State = State.MINING, **values: Any) -> MinerReading:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MinerReading(device_id="a", kind=Kind.ASIC, taken_at=at, state=state, **values)


def gpu(**values: Any) -> GpuReading:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return GpuReading(device_id="g", kind=Kind.GPU, taken_at=at, state=State.OK, **values)


def load(name: str, reading: Reading | None, **content: Any) -> Load:
    content = content or EXAMPLES.get(name, {})
    return VERBS[name].load(params(name, content), reading)


@pytest.mark.parametrize("reading", [None, miner(), miner(State.SLEEPING), miner(State.UNKNOWN)])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mining.pause", SHEDS),
        ("mining.resume", RAISES),
        ("mining.restart", RAISES),
        ("device.reboot", RAISES),
        ("device.factory_reset", RAISES),
        ("power.preset", RAISES),
        ("power.mode", RAISES),
        ("locate", KEEPS),
        ("fans.set", KEEPS),
        ("temperature.set", KEEPS),
        ("hostname.set", KEEPS),
        ("gpu.clocks.reset", RAISES),
        ("gpu.memory_clocks.reset", RAISES),
        ("gpu.persistence", KEEPS),
        ("gpu.compute_mode", KEEPS),
        ("gpu.ecc", KEEPS),
        ("gpu.mig.mode", KEEPS),
        ("gpu.mig.layout", KEEPS),
        ("gpu.reset", RAISES),
        ("gpu.fan", KEEPS),
    ],
)
def test_the_load_that_needs_no_reading(name, wanted, reading) -> None:
    assert load(name, reading) is wanted


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (None, RAISES),
        (miner(), RAISES),
        (miner(power_limit_w=3250.0), SHEDS),
        (miner(power_limit_w=3000.0), SHEDS),
        (miner(power_limit_w=2999.0), RAISES),
        (miner(power_w=3100.0), SHEDS),
        (miner(power_w=2900.0), RAISES),
        (miner(State.SLEEPING, power_limit_w=3250.0), RAISES),
        (miner(State.SLEEPING, power_w=25.0), RAISES),
        (gpu(), RAISES),
        (gpu(power_limit_w=3000.0), SHEDS),
        (gpu(power_limit_w=2999.0, power_w=3100.0), RAISES),
        (gpu(power_w=3100.0), SHEDS),
    ],
)
def test_a_limit_sheds_where_it_is_known_to_be_no_higher(reading, wanted) -> None:
    assert load("power.limit", reading, watts=3000) is wanted


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (None, RAISES),
        (miner(), RAISES),
        (gpu(), RAISES),
        (gpu(sm_clock_mhz=1980, memory_clock_mhz=2619), SHEDS),
        (gpu(sm_clock_mhz=1200, memory_clock_mhz=1200), SHEDS),
        (gpu(sm_clock_mhz=1199, memory_clock_mhz=1199), RAISES),
    ],
)
@pytest.mark.parametrize("name", ["gpu.clocks.lock", "gpu.memory_clocks.lock"])
def test_a_lock_sheds_where_it_is_not_above_the_clock(name, reading, wanted) -> None:
    assert load(name, reading, min_mhz=900, max_mhz=1200) is wanted


@pytest.mark.parametrize("name", ["gpu.clocks.lock", "gpu.memory_clocks.lock"])
def test_each_lock_looks_at_its_own_clock(name) -> None:
    reading = gpu(sm_clock_mhz=1980, memory_clock_mhz=1199)
    wanted = SHEDS if name == "gpu.clocks.lock" else RAISES
    assert load(name, reading, min_mhz=900, max_mhz=1200) is wanted


@pytest.mark.parametrize(
    ("held", "percent", "wanted"),
    [
        (None, 60, SHEDS),
        (None, 99.9, SHEDS),
        (None, 100, RAISES),
        (80.0, 60, SHEDS),
        (80.0, 80, SHEDS),
        (80.0, 81, RAISES),
        (100.0, 100, RAISES),
        (0.0, 60, RAISES),
    ],
)
def test_a_share_sheds_where_it_is_no_higher(held, percent, wanted) -> None:
    assert load("power.throttle", miner(throttle_percent=held), percent=percent) is wanted


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (miner(State.MINING), KEEPS),
        (miner(State.IDLE), RAISES),
        (miner(State.SLEEPING), RAISES),
        (miner(State.UNKNOWN), RAISES),
        (None, RAISES),
    ],
)
def test_pools_may_give_work_to_one_without(reading, wanted) -> None:
    assert load("pools.set", reading) is wanted
