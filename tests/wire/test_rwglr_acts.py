"""Orders to Hiveon and MSKMiner: what each comes to, whatever the firmware does with it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.asic.unfinished import Note
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import OutOfRange, Refused
from drivers.model import State
from drivers.registry import create
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite
from tests.wire.tapped import Tapped, TappedWire

HIVEON, HIVEON_S9, MSK = "Antminer S19 (Hiveon)", "Antminer S9 (Hiveon)", "Antminer S19 (MSKMiner)"
NETWORK = "127.82.0.0/16"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.1", "secret"),
    PoolSetting("stratum+tcp://new-b.example.com:443", "farm.2"),
)
SETTINGS = "/api/miner_settings"


def prepare_nothing(where: OnSite) -> None:
    pass


def put_to_sleep(where: OnSite) -> None:
    where.machine().fall_asleep(where.clock.at - 60)


Order = tuple[str, str, tuple[Any, ...], dict[str, Any], Callable[[OnSite], None]]
ORDERS: list[Order] = [
    (HIVEON, "pause", (), {}, prepare_nothing),
    (HIVEON, "resume", (), {}, put_to_sleep),
    (HIVEON, "set_pools", (POOLS,), {}, prepare_nothing),
    (HIVEON, "locate", (), {"on": True}, prepare_nothing),
    (HIVEON, "reboot", (), {}, prepare_nothing),
    (HIVEON_S9, "reboot", (), {}, prepare_nothing),
    (MSK, "pause", (), {}, prepare_nothing),
    (MSK, "resume", (), {}, put_to_sleep),
    (MSK, "set_pools", (POOLS,), {}, prepare_nothing),
]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order[0]}-{order[1]}")
async def test_what_an_order_comes_to(order: Order, lie: Lie | None) -> None:
    model, action, arguments, named, prepare = order
    async with acting(model, NETWORK, lie) as (where, driver):
        prepare(where)
        outcome = await act(where, driver, action, *arguments, **named)
        assert outcome.verdict is WORDS[lie]
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [HIVEON, MSK])
async def test_a_pause_saves_watts(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        machine = where.machine()
        before_w = machine.at(where.clock.at).power_w
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert machine.at(where.clock.at).power_w == machine.model.standby_w < before_w / 20
        if model == HIVEON:
            assert (await reading_of(driver)).state is State.SLEEPING
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED


async def test_what_each_lists() -> None:
    for model, actions in (
        (HIVEON, ["pause", "resume", "reboot", "set_pools", "locate"]),
        (HIVEON_S9, ["reboot"]),
        (MSK, ["pause", "resume", "set_pools"]),
    ):
        async with acting(model, NETWORK) as (_, driver):
            assert list(capabilities(driver)) == actions


async def test_a_light_costs_a_page_only_after_it_was_switched() -> None:
    async with acting(HIVEON, NETWORK) as (where, driver):
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "locate", on=False)).verdict is Verdict.VERIFIED
        where.clock.at += 300
        del where.asked[:]
        await reading_of(driver)
        assert not any(path.startswith("/") for path in where.asked)


@pytest.mark.parametrize("model", [HIVEON, MSK])
async def test_one_that_wipes_its_pools_shows_it(model: str) -> None:
    async with acting(model, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, "set_pools", POOLS)
        assert not outcome.verdict.good
        assert (await reading_of(driver)).pool_targets is None


@pytest.mark.parametrize("model", [HIVEON, MSK])
async def test_one_that_forgets_shows_it_after_a_reboot(model: str) -> None:
    async with acting(model, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        where.clock.at += 60
        where.machine().forget_settings(where.clock.at)
        assert all("new-" not in target for target in (await reading_of(driver)).pool_targets or ())


async def test_msk_out_of_range_sends_nothing() -> None:
    async with acting(MSK, NETWORK) as (where, driver):
        del where.asked[:]
        for pools in ((), POOLS * 2):
            with pytest.raises(OutOfRange):
                await driver.set_pools(pools)  # type: ignore[attr-defined]
        assert where.asked == []


async def test_msk_without_pools_is_left_alone() -> None:
    async with acting(MSK, NETWORK) as (where, driver):
        where.machine().pools = ()
        with pytest.raises(Refused, match="no pools"):
            await driver.set_pools(POOLS)  # type: ignore[attr-defined]
        assert SETTINGS not in where.asked


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(7))
@pytest.mark.parametrize("model", [HIVEON, MSK])
async def test_killed_at_any_step_it_never_lacks_pools(model: str, step: int, after: bool) -> None:
    """Steps are the requests and memory writes of one change, each before and after it is done."""
    async with acting(model, NETWORK) as (where, _):
        web, wire = Tapped(where.context), TappedWire(where.context)
        driver = await driver_of(model, where, web=web, wire=wire)
        memory: Any = where.context.memory
        left, old = [step], [pool.url for pool in where.machine().pools]

        def tick(*_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        for tap in (web, wire):
            setattr(tap, "after" if after else "before", tick)
        if not after:
            memory.before_write = tick
        with suppress(Killed):
            await driver.set_pools(POOLS)
        memory.before_write = lambda: None
        where.clock.at += 60
        fresh = await driver_of(model, where)
        noted = UNFINISHED in memory.kept
        assert (await fresh.recover() is not None) == noted
        assert [p.url for p in where.machine().pools] in (old, [p.url for p in POOLS])
        assert UNFINISHED not in memory.kept


async def test_msk_recovery_puts_back_what_went() -> None:
    async with acting(MSK, NETWORK) as (where, driver):
        memory: Any = where.context.memory
        old = tuple(PoolSetting(p.url, p.user) for p in where.machine().pools)
        note = Note(action="set_pools", at=0.0, pools_before=old, pools_after=POOLS)
        memory.kept[UNFINISHED] = msgspec.json.encode(note)
        where.machine().pools = ()
        receipt = await driver.recover()  # type: ignore[attr-defined]
        assert receipt is not None
        where.clock.at += 60
        where.machine().settle(where.clock.at)
        assert [pool.url for pool in where.machine().pools] == [pool.url for pool in old]
        assert (await driver.recover()) is not None  # type: ignore[attr-defined]
        assert UNFINISHED not in memory.kept


async def driver_of(model: str, where: OnSite, **changes: Any) -> Any:
    context = msgspec.structs.replace(where.context, **changes)
    driver = create("hiveon" if model == HIVEON else "mskminer", where.endpoint(), context)
    await driver.identify()
    return driver
