"""What an Elphapex is told, on the simulator: effects, lies, and writes that were cut off."""

from typing import Any, cast

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.asic.elphapex.driver import Elphapex
from drivers.asic.elphapex.orders import stored_in
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import BadReply, OutOfRange, Refused, Unsupported
from drivers.model import State, pool_target
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.around import Canned, Deadly, Spy, through
from tests.wire.simsite import OnSite

NETWORK = "127.90.0.0/16"
PLUS, HOME, LUCI = "DG1+", "DG-Home1", "DG1"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.a", "pw-a"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "farm.b", "pw-b"),
)
ACTIONS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    (LUCI, "pause", (), {}),
    (LUCI, "locate", (), {"on": True}),
    (LUCI, "reboot", (), {}),
    (PLUS, "locate", (), {"on": True}),
    (PLUS, "reboot", (), {}),
    (PLUS, "set_pools", (NEW,), {}),
    (HOME, "set_pools", (NEW,), {}),
]
CONFIG = "/cgi-bin/get_miner_conf.cgi"
STORE = "/cgi-bin/set_miner_conf.cgi"


def watts(where: OnSite) -> float:
    return cast("float", where.machine().at(where.clock.at).power_w)


def targets(pools: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(pool_target(pool.url, pool.user), pool.password) for pool in pools]


def is_write(method: str, path: str) -> bool:
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
    async with acting(LUCI, NETWORK) as (where, driver):
        full_w = watts(where)
        outcome = await act(where, driver, "pause")
        assert outcome.after is not None
        assert (outcome.after.state, outcome.after.mode) == (State.SLEEPING, "sleep")
        assert watts(where) < 0.1 * full_w
        where.site.lie(where.endpoint().address, lie)
        assert (await act(where, driver, "resume")).verdict is WORDS[lie]
        where.clock.at += 900
        idle = (Lie.DOES_NOTHING, Lie.DEAF, Lie.REFUSES)
        assert (watts(where) > 0.9 * full_w) is (lie not in idle)


async def test_each_folder_has_its_own_orders() -> None:
    async with acting(LUCI, NETWORK) as (_, driver):
        assert {*capabilities(driver)} == {"pause", "resume", "locate", "reboot"}
        with pytest.raises(Unsupported):
            await cast("Elphapex", driver).set_pools(NEW)
    async with acting(PLUS, NETWORK) as (where, driver):
        assert {*capabilities(driver)} == {"set_pools", "locate", "reboot"}
        with pytest.raises(Unsupported):
            await cast("Elphapex", driver).pause()
        fresh = Elphapex(where.endpoint(), where.context)
        assert capabilities(fresh) == {}


async def test_the_light_goes_out_again() -> None:
    for model in (LUCI, PLUS):
        async with acting(model, NETWORK) as (where, driver):
            await act(where, driver, "locate", on=True)
            outcome = await act(where, driver, "locate", on=False)
            assert outcome.verdict is Verdict.VERIFIED
            assert outcome.after is not None
            assert outcome.after.locating is False


async def test_the_whole_configuration_is_stored() -> None:
    async with acting(PLUS, NETWORK) as (where, _):
        spy = Spy(where.context.web)
        driver = Elphapex(where.endpoint(), through(where.context, spy))
        await driver.set_pools(NEW)
        bodies = [body for method, path, body in spy.sent if (method, path) == ("POST", STORE)]
    config = msgspec.json.decode(bodies[0] or b"")
    assert len(bodies) == 1
    assert config["fc-work-mode"] == 0
    assert config["fc-voltage"] == "1470"
    assert [row["url"] for row in config["pools"]] == [NEW[0].url, NEW[1].url, ""]


@pytest.mark.parametrize("wanted", [(), NEW * 2])
async def test_a_list_that_does_not_fit_is_not_sent(wanted: Any) -> None:
    async with acting(PLUS, NETWORK) as (where, driver):
        with pytest.raises(OutOfRange):
            await cast("Elphapex", driver).set_pools(wanted)
        assert STORE not in where.asked


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b'{"algo":"ltc","fc-work-mode":0,"pools":[{"url":"","user":"","pass":""}]}', "booting"),
        (b'{"algo":"ltc"}', "booting"),
        (b'{"fc-work-mode":0,"pools":[{"url":"a:1","user":"u","pass":"****"}]}', "hides"),
    ],
)
async def test_half_a_configuration_is_not_written_back(config: bytes, words: str) -> None:
    async with acting(PLUS, NETWORK) as (where, _):
        web = Canned(where.context.web, {CONFIG: config})
        driver = Elphapex(where.endpoint(), through(where.context, web))
        with pytest.raises(Refused, match=words):
            await driver.set_pools(NEW)
        assert STORE not in where.asked
        assert UNFINISHED not in cast("KeptMemory", where.context.memory).kept
        web.bodies[CONFIG] = b'{"pools":[{"pass":"pw-a"'
        with pytest.raises(BadReply) as caught:
            await driver.set_pools(NEW)
        assert "pw-a" not in str(caught.value)


async def test_a_machine_that_forgets() -> None:
    async with acting(LUCI, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        # Its uptime stood at nothing: no reading can show that it booted.
        assert (await act(where, driver, "reboot")).verdict is Verdict.NOT_VERIFIED
        where.clock.at += 90
        assert (await reading_of(driver)).mode == "normal"
    async with acting(PLUS, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert len((await reading_of(driver)).pools) == 3


async def test_a_machine_that_loses_its_pools_to_a_write() -> None:
    async with acting(PLUS, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = targets(where.machine().pools)
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert "empty now" in outcome.receipt.words
        assert where.machine().pools == ()
        where.site.lie(where.endpoint().address, None)
        again = Elphapex(where.endpoint(), where.context)
        assert await again.recover() is not None
        assert targets(where.machine().pools) == old
        assert await again.recover() is None


MOMENTS = [("memory", 0), ("memory", 1), ("before", 0), ("after", 0)]


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize(("when", "at"), MOMENTS)
async def test_a_killed_change_of_pools_leaves_a_machine_with_pools(
    when: str, at: int, wiped: bool
) -> None:
    async with acting(PLUS, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, when, at, is_write)
        if when == "memory":
            memory.before_write = deadly.count
        with pytest.raises(Killed):
            await Elphapex(where.endpoint(), through(where.context, deadly)).set_pools(NEW)
        memory.before_write = lambda: None
        if wiped and UNFINISHED in memory.kept:
            machine.pools = ()
        await Elphapex(where.endpoint(), where.context).recover()
        assert targets(machine.pools) in (old, targets(NEW))
        assert UNFINISHED not in memory.kept


def test_pools_are_read_with_their_passwords() -> None:
    rows = [{"url": "a:1", "user": "u", "pass": "p"}, {"url": "", "user": "", "pass": ""}]
    config = {"fc-work-mode": "0", "pools": rows}
    assert stored_in(config).pools == (PoolSetting("a:1", "u", "p"),)
    assert stored_in(config).whole is config
