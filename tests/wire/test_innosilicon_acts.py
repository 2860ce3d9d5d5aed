"""What an Innosilicon is told, on the simulator: effects, lies, and writes that were cut off."""

from typing import Any, cast

import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.asic.innosilicon.driver import Innosilicon
from drivers.asic.innosilicon.orders import stored_in
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import AccessDenied, BadReply, OutOfRange, Refused
from drivers.model import pool_target
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.around import Canned, Deadly, Spy, through
from tests.wire.simsite import on_site

NETWORK = "127.92.0.0/16"
PORT, PAGES = "Innosilicon T3-43T", "Innosilicon T2Tz-30T"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.a", "pw-a"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "farm.b", "pw-b"),
)
ACTIONS: list[tuple[str, str, tuple[Any, ...]]] = [
    (PORT, "restart_mining", ()),
    (PORT, "reboot", ()),
    (PORT, "set_pools", (NEW,)),
    (PAGES, "set_pools", (NEW,)),
]
POOLS, STORE = "/api/pools", "/api/updatePools"


def targets(pools: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(pool_target(pool.url, pool.user), pool.password) for pool in pools]


def is_write(_: str, path: str) -> bool:
    return path == STORE


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("model", "action", "args"), ACTIONS)
async def test_every_habit_comes_to_its_verdict(
    model: str, action: str, args: Any, lie: Lie | None
) -> None:
    async with acting(model, NETWORK, lie) as (where, driver):
        outcome = await act(where, driver, action, *args)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert UNFINISHED not in cast("KeptMemory", where.context.memory).kept


async def test_what_it_can_do_and_a_reset_that_nothing_proves() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        able = {*capabilities(driver)}
        assert able == {"restart_mining", "reboot", "set_pools", "factory_reset"}
        outcome = await act(where, driver, "factory_reset")
        assert (outcome.receipt.answer, outcome.verdict) == (Answer.ACCEPTED, Verdict.NOT_VERIFIED)
        where.clock.at += 5
        assert where.machine().pools == ()


async def test_a_token_that_ended_is_got_anew_before_the_order() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        where.clock.at += 7200
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert where.asked.count("/api/reboot") == 1


async def test_a_wrong_password_orders_nothing() -> None:
    async with on_site(PORT, NETWORK, memory=KeptMemory()) as where:
        where.machine().credential = ("admin", "something else")
        driver = Innosilicon(where.endpoint(), where.context)
        for order in (driver.reboot(), driver.set_pools(NEW)):
            with pytest.raises(AccessDenied):
                await order
        assert not {"/api/reboot", STORE} & {*where.asked}


async def test_the_form() -> None:
    async with acting(PORT, NETWORK) as (where, _):
        spy = Spy(where.context.web)
        await Innosilicon(where.endpoint(), through(where.context, spy)).set_pools(NEW[:1])
        body = next(body for _, path, body in spy.sent if path == STORE)
    url = "stratum%2Btcp%3A%2F%2Fnew-a.example.com%3A3333"
    assert body == f"Pool1={url}&UserName1=farm.a&Password1=pw-a".encode()


@pytest.mark.parametrize("wanted", [(), NEW * 2])
async def test_a_list_that_does_not_fit_is_not_sent(wanted: Any) -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        with pytest.raises(OutOfRange):
            await cast("Innosilicon", driver).set_pools(wanted)
        assert STORE not in where.asked


async def test_a_list_that_cannot_be_read_is_not_replaced() -> None:
    async with acting(PORT, NETWORK) as (where, _):
        web = Canned(where.context.web, {POOLS: b'{"success":true,"pools":[]}'})
        driver = Innosilicon(where.endpoint(), through(where.context, web))
        with pytest.raises(Refused, match="booting"):
            await driver.set_pools(NEW)
        for body in (b'{"success":true}', b'{"pools":[{"pass":"pw-a"', b"[]"):
            web.bodies[POOLS] = body
            with pytest.raises(BadReply) as caught:
                await driver.set_pools(NEW)
            assert "pw-a" not in str(caught.value)
        assert STORE not in where.asked


async def test_a_machine_that_forgets() -> None:
    async with acting(PORT, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        where.clock.at += 600
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert len((await reading_of(driver)).pools) == 3


async def test_a_machine_that_loses_its_pools_to_a_write() -> None:
    async with acting(PORT, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = targets(where.machine().pools)
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert "empty now" in outcome.receipt.words
        where.site.lie(where.endpoint().address, None)
        again = Innosilicon(where.endpoint(), where.context)
        assert await again.recover() is not None
        assert targets(where.machine().pools) == old
        assert await again.recover() is None


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize(
    ("when", "at"), [("memory", 0), ("memory", 1), ("before", 0), ("after", 0)]
)
async def test_a_killed_write_leaves_a_machine_with_pools(when: str, at: int, wiped: bool) -> None:
    async with acting(PORT, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, when, at, is_write)
        if when == "memory":
            memory.before_write = deadly.count
        with pytest.raises(Killed):
            await Innosilicon(where.endpoint(), through(where.context, deadly)).set_pools(NEW)
        memory.before_write = lambda: None
        if wiped and UNFINISHED in memory.kept:
            machine.pools = ()
        await Innosilicon(where.endpoint(), where.context).recover()
        assert targets(machine.pools) in (old, targets(NEW))
        assert UNFINISHED not in memory.kept


def test_both_names_of_a_password() -> None:
    rows = [{"url": "a:1", "user": "u", "password": "p"}, {"url": "b:1", "pass": "q"}, {"url": ""}]
    assert [pool.password for pool in stored_in({"pools": rows}).pools] == ["p", "q"]
