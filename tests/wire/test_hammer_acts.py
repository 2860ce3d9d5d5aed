"""What Hammer, blackMiner and VolcMiner are told, on the simulator: effects, lies, cut-offs."""

from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.asic.hammer.driver import Hammer
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import BadReply, OutOfRange, Refused, Unsupported
from drivers.model import State, pool_target
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.around import Canned, Deadly, Spy, through
from tests.wire.simsite import OnSite

NETWORK = "127.91.0.0/16"
D10, VOLC, BLACK = "Hammer D10", "VolcMiner D1", "Blackminer F1-ULTRA"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.a", "pw-a"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "farm.b", "pw-b"),
)
ACTIONS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    (D10, "locate", (), {"on": True}),
    (D10, "reboot", (), {}),
    (BLACK, "locate", (), {"on": True}),
    (BLACK, "reboot", (), {}),
    (BLACK, "set_pools", (NEW,), {}),
    (VOLC, "reboot", (), {}),
    (VOLC, "set_pools", (NEW,), {}),
    (VOLC, "pause", (), {}),
]
CONFIG, STORE = "/cgi-bin/get_miner_conf.cgi", "/cgi-bin/set_miner_conf.cgi"


def watts(where: OnSite) -> float:
    return cast("float", where.machine().at(where.clock.at).power_w)


def targets(pools: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(pool_target(pool.url, pool.user), pool.password) for pool in pools]


def is_write(method: str, _: str) -> bool:
    return method == "POST"


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("model", "action", "args", "kwargs"), ACTIONS)
async def test_every_habit_comes_to_its_verdict(
    model: str, action: str, args: Any, kwargs: Any, lie: Lie | None
) -> None:
    async with acting(model, NETWORK, lie) as (where, driver):
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert UNFINISHED not in cast("KeptMemory", where.context.memory).kept


@pytest.mark.parametrize("lie", WORDS)
async def test_resuming_with_every_habit(lie: Lie | None) -> None:
    async with acting(VOLC, NETWORK) as (where, driver):
        full_w, pools = watts(where), targets(where.machine().pools)
        outcome = await act(where, driver, "pause")
        assert outcome.after is not None
        assert (outcome.after.state, outcome.after.mode) == (State.SLEEPING, "sleep")
        assert watts(where) < 0.1 * full_w
        where.site.lie(where.endpoint().address, lie)
        assert (await act(where, driver, "resume")).verdict is WORDS[lie]
        where.clock.at += 900
        idle = (Lie.DOES_NOTHING, Lie.DEAF, Lie.REFUSES)
        assert (watts(where) > 0.9 * full_w) is (lie not in idle)
        assert targets(where.machine().pools) == pools


async def test_each_make_has_its_own_orders() -> None:
    able = {}
    for model in (D10, BLACK, VOLC):
        async with acting(model, NETWORK) as (where, driver):
            able[model] = {*capabilities(driver)}
            assert capabilities(Hammer(where.endpoint(), where.context)) == {}
            if model != VOLC:
                with pytest.raises(Unsupported):
                    await cast("Hammer", driver).pause()
    assert able[D10] == {"locate", "reboot"}
    assert able[BLACK] == able[D10] | {"set_pools"}
    assert able[VOLC] == able[BLACK] | {"pause", "resume"}


async def test_the_lights_of_a_volcminer_are_switched_and_not_proved() -> None:
    async with acting(VOLC, NETWORK) as (where, driver):
        outcome = await act(where, driver, "locate", on=True)
        assert (outcome.receipt.answer, outcome.verdict) == (Answer.ACCEPTED, Verdict.NOT_VERIFIED)
        assert where.machine().settings.locating


@pytest.mark.parametrize(("model", "fields"), [(BLACK, 15), (VOLC, 20)])
async def test_the_whole_form_is_stored(model: str, fields: int) -> None:
    async with acting(model, NETWORK) as (where, _):
        spy = Spy(where.context.web)
        driver = Hammer(where.endpoint(), through(where.context, spy))
        await driver.identify()
        await driver.set_pools(NEW)
        at = [(method, path) for method, path, _ in spy.sent].index(("POST", STORE))
        assert spy.headers[at]["Content-Type"] == "application/x-www-form-urlencoded"
        body = (spy.sent[at][2] or b"").decode()
    form = dict(parse_qsl(body, keep_blank_values=True))
    assert len(form) == fields
    assert (form["_bb_pool1pw"], form["_bb_pool3url"]) == ("pw-a", "")
    assert body.startswith("_bb_pool1url=stratum%2Btcp%3A%2F%2Fnew-a.example.com%3A3333&")
    if model == VOLC:
        assert (form["_bb_runmode"], form["_bb_voltage_customize_value"]) == ("0", "1245")
        assert (form["_bb_ema"], form["_bb_fan_customize_value_back"]) == ("3", "80")


@pytest.mark.parametrize("wanted", [(), NEW * 2])
async def test_a_list_that_does_not_fit_is_not_sent(wanted: Any) -> None:
    async with acting(BLACK, NETWORK) as (where, driver):
        with pytest.raises(OutOfRange):
            await cast("Hammer", driver).set_pools(wanted)
        assert STORE not in where.asked


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b'{"freq":"400","coin-type":"x","pools":[]}', "booting"),
        (b'{"freq":"400","coin-type":"x"}', "lacks pools"),
        (b'{"freq":"","coin-type":"x","pools":[{"url":"a:1","user":"u","pass":"x"}]}', "freq"),
        (b'{"freq":"4","coin-type":"x","pools":[{"url":"a:1","user":"u","pass":"***"}]}', "hides"),
    ],
)
async def test_half_a_configuration_is_not_written_back(config: bytes, words: str) -> None:
    async with acting(BLACK, NETWORK) as (where, _):
        web = Canned(where.context.web, {CONFIG: config})
        driver = Hammer(where.endpoint(), through(where.context, web))
        await driver.identify()
        with pytest.raises(Refused, match=words):
            await driver.set_pools(NEW)
        assert STORE not in where.asked
        web.bodies[CONFIG] = b'{"pools":[{"pass":"pw-a"'
        with pytest.raises(BadReply) as caught:
            await driver.set_pools(NEW)
        assert "pw-a" not in str(caught.value)


async def test_a_machine_that_forgets() -> None:
    async with acting(VOLC, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        reading = await reading_of(driver)
        assert (reading.mode, len(reading.pools)) == ("normal", 3)


@pytest.mark.parametrize(("action", "args"), [("set_pools", (NEW,)), ("pause", ())])
async def test_a_machine_that_loses_its_pools_to_a_write(action: str, args: Any) -> None:
    async with acting(VOLC, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = targets(where.machine().pools)
        outcome = await act(where, driver, action, *args)
        assert outcome.verdict.good is (action == "pause")
        assert "empty now" in outcome.receipt.words
        assert where.machine().pools == ()
        where.site.lie(where.endpoint().address, None)
        again = Hammer(where.endpoint(), where.context)
        assert await again.recover() is not None
        assert targets(where.machine().pools) == old
        assert await again.recover() is None


MOMENTS = [("memory", 0), ("memory", 1), ("before", 0), ("after", 0)]


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize("action", ["set_pools", "pause"])
@pytest.mark.parametrize(("when", "at"), MOMENTS)
async def test_a_killed_write_leaves_a_machine_with_pools(
    when: str, at: int, action: str, wiped: bool
) -> None:
    async with acting(VOLC, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, when, at, is_write)
        driver = Hammer(where.endpoint(), through(where.context, deadly))
        await driver.identify()
        if when == "memory":
            memory.before_write = deadly.count
        with pytest.raises(Killed):
            await (driver.set_pools(NEW) if action == "set_pools" else driver.pause())
        memory.before_write = lambda: None
        if wiped and UNFINISHED in memory.kept:
            machine.pools = ()
        await Hammer(where.endpoint(), where.context).recover()
        assert targets(machine.pools) in (old, targets(NEW))
        assert UNFINISHED not in memory.kept
