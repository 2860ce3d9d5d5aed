"""Orders to miners of the classic dialect, whose pools are changed one by one."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import OutOfRange
from drivers.registry import create
from drivers.sim.lies import Lie
from drivers.sim.machine import Condition
from tests.wire.acting import WORDS, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite
from tests.wire.tapped import TappedWire

OPEN, CLOSED = "CoinTerra TerraMiner (open API)", "CoinTerra TerraMiner"
NETWORK = "127.83.0.0/16"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm,odd\\1", "secret"),
    PoolSetting("stratum+tcp://new-b.example.com:443", "farm.2"),
)
WRITES = {"addpool", "switchpool", "removepool"}


async def driver_of(where: OnSite, **changes: Any) -> Any:
    context = msgspec.structs.replace(where.context, **changes)
    driver = create("cgminer", where.endpoint(), context)
    await driver.identify()
    return driver


def standing(where: OnSite) -> list[tuple[str, str, str]]:
    return [(pool.url, pool.user, pool.password) for pool in where.machine().pools]


NEW = [(pool.url, pool.user, pool.password) for pool in POOLS]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("action", "given"), [("set_pools", (POOLS,)), ("restart_mining", ())])
async def test_what_an_order_comes_to(action: str, given: tuple[Any, ...], lie: Lie | None) -> None:
    async with acting(OPEN, NETWORK, lie) as (where, driver):
        outcome = await act(where, driver, action, *given)
        assert outcome.verdict is WORDS[lie]
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]
        assert where.machine().pools


async def test_a_closed_api_lets_it_do_nothing() -> None:
    async with acting(CLOSED, NETWORK) as (_, driver):
        assert capabilities(driver) == {}
        old = await reading_of(driver)
        receipt = await driver.set_pools(POOLS)  # type: ignore[attr-defined]
        assert receipt.answer is Answer.REFUSED
        assert "addpool" in receipt.words
        assert (await reading_of(driver)).pool_targets == old.pool_targets
        assert (await driver.restart_mining()).answer is Answer.REFUSED  # type: ignore[attr-defined]


async def test_a_refusal_costs_one_addpool() -> None:
    async with acting(OPEN, NETWORK, Lie.REFUSES) as (where, driver):
        del where.asked[:]
        await driver.set_pools(POOLS)  # type: ignore[attr-defined]
        assert [command for command in where.asked if command in WRITES] == ["addpool"]


async def test_the_new_stand_before_the_old_go() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        del where.asked[:]
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        steps = [command for command in where.asked if command in WRITES]
        assert steps == ["addpool", "addpool", "switchpool", *["removepool"] * 3]
        assert standing(where) == NEW
        del where.asked[:]
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        assert not WRITES & set(where.asked)


async def test_a_subset_is_kept_rather_than_added() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        where.machine().pools[-1].password = "kept"
        last = where.machine().pools[-1]
        wanted = (PoolSetting(last.url, last.user, "unknown"),)
        assert (await act(where, driver, "set_pools", wanted)).verdict is Verdict.VERIFIED
        assert standing(where) == [(last.url, last.user, "kept")]


async def test_the_last_pools_are_not_taken_from_one_that_no_pool_answers() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        where.machine().become(Condition.NO_POOL, where.clock.at)
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.VERIFIED
        assert standing(where) == NEW


async def test_one_that_wipes_its_pools_shows_it() -> None:
    async with acting(OPEN, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, "set_pools", POOLS)
        assert not outcome.verdict.good
        assert UNFINISHED in where.context.memory.kept  # type: ignore[attr-defined]
        where.site.lie(where.endpoint().address, None)
        await (await driver_of(where)).recover()
        assert where.machine().pools
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]


async def test_a_new_start_brings_the_programs_own_pools() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        old = standing(where)
        await act(where, driver, "set_pools", POOLS)
        assert (await act(where, driver, "restart_mining")).verdict is Verdict.VERIFIED
        assert standing(where) == old


async def test_out_of_range_sends_nothing() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        del where.asked[:]
        for pools in ((), POOLS * 9, (PoolSetting("x" * 5000, "user"),)):
            with pytest.raises(OutOfRange):
                await driver.set_pools(pools)  # type: ignore[attr-defined]
        assert where.asked == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(16))
async def test_killed_at_any_step_it_never_lacks_pools(step: int, after: bool) -> None:
    """Steps are the requests and memory writes of one change, each before and after it is done."""
    async with acting(OPEN, NETWORK) as (where, _):
        wire = TappedWire(where.context)
        driver = await driver_of(where, wire=wire)
        memory: Any = where.context.memory
        left, old = [step], standing(where)

        def tick(*_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        setattr(wire, "after" if after else "before", tick)
        if not after:
            memory.before_write = tick
        with suppress(Killed):
            await driver.set_pools(POOLS)
        memory.before_write = lambda: None
        fresh = await driver_of(where)
        assert where.machine().pools
        noted = UNFINISHED in memory.kept
        assert (await fresh.recover() is not None) == noted
        assert standing(where) in (old, NEW)
        assert UNFINISHED not in memory.kept


async def test_passwords_are_in_no_words() -> None:
    async with acting(OPEN, NETWORK) as (_, driver):
        receipt = await driver.set_pools(POOLS)  # type: ignore[attr-defined]
        assert "secret" not in repr(receipt)
        nobody = (PoolSetting("stratum+tcp://new-a.example.com:3333", "", "secret"),)
        receipt = await driver.set_pools(nobody)  # type: ignore[attr-defined]
        assert receipt.answer is Answer.REFUSED
        assert receipt.words == "code 53: invalid details of a pool"
