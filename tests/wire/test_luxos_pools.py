"""The pools of machines with LuxOS, changed one by one, and runs that are killed in between."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from agent.command.effects import Verdict
from drivers.capabilities import UNFINISHED, PoolSetting, Recovers
from drivers.errors import OutOfRange, Refused
from drivers.sim.dialects.luxos_settings import is_managed
from drivers.sim.lies import Lie
from drivers.sim.machine import Pool
from tests.wire.acting import KeptMemory, Killed, act, acting, reading_of
from tests.wire.luxos_site import NEW, S19K, Ear, driver_of, lower, memory_of, targets
from tests.wire.simsite import OnSite, on_site

NETWORK = "127.97.0.0/16"


async def test_new_pools_come_before_old_ones_go() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.asked.clear()
        outcome = await act(where, driver, "set_pools", NEW)
        asked = [name for name in where.asked if name.endswith("pool")]
        assert outcome.verdict is Verdict.VERIFIED
        assert asked == ["addpool"] * 2 + ["removepool"] * 3
        assert "logon" not in where.asked
        assert [pool.password for pool in where.machine().pools] == ["x", "s3cret"]
        assert memory_of(where).kept == {}


async def test_the_same_list_again_changes_nothing() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        wanted = [PoolSetting(pool.url, pool.user) for pool in where.machine().pools]
        where.asked.clear()
        outcome = await act(where, driver, "set_pools", wanted)
        assert outcome.verdict is Verdict.VERIFIED
        assert not [name for name in where.asked if name.endswith("pool")]


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 1), (1,), (0, 2, 1)])
@pytest.mark.parametrize("user", [None, "south.other"])
async def test_addresses_that_stay_change_their_place_and_user(
    order: tuple[int, ...], user: str | None
) -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        old = where.machine().pools
        wanted = [PoolSetting(old[at].url, user or old[at].user) for at in order]
        outcome = await act(where, driver, "set_pools", wanted)
        assert outcome.verdict is Verdict.VERIFIED
        assert targets(where.machine().pools) == targets(wanted)


async def test_the_only_pool_of_an_address_is_not_given_up_for_another_user() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        machine = where.machine()
        machine.pools = machine.pools[:1]
        wanted = [PoolSetting(machine.pools[0].url, "south.other")]
        outcome = await act(where, driver, "set_pools", wanted)
        assert outcome.verdict is Verdict.REFUSED
        assert len(machine.pools) == 1
        assert memory_of(where).kept == {}


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (PoolSetting("stratum+tcp://a,b.example.com:1", "u"),),
        (PoolSetting("stratum+tcp://a.example.com:1", "u", "s3cret,d=1"),),
    ],
)
async def test_pools_that_it_cannot_take_are_refused_unsent(wanted: Any) -> None:
    async with acting(S19K, NETWORK) as (where, _driver):
        where.asked.clear()
        with pytest.raises(OutOfRange) as caught:
            await driver_of(where).set_pools(wanted)
        assert where.asked == []
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("lie", [Lie.REFUSES, Lie.DOES_NOTHING, Lie.DEAF])
async def test_pools_that_do_not_go_leave_the_old_list_behind(lie: Lie) -> None:
    async with acting(S19K, NETWORK, lie, "removepool") as (where, driver):
        before = targets(where.machine().pools)
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert targets(where.machine().pools)[:3] == before
        assert UNFINISHED in memory_of(where).kept


# --- being killed --------------------------------------------------------------------------

Change = Callable[[Any, OnSite], Awaitable[Any]]
CHANGES: dict[str, Change] = {
    "new": lambda driver, _: driver.set_pools(NEW),
    "same addresses": lambda driver, _: driver.set_pools(
        [PoolSetting(f"stratum+tcp://pool-{name}.example.com:3333", "o.ther") for name in "ba"]
    ),
    "profile": lambda driver, where: driver.choose_preset(lower(where)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_run_that_is_killed_at_any_step_is_put_in_order(change: str) -> None:
    async with on_site(S19K, NETWORK, memory=KeptMemory()) as where:
        steps = await count_of_steps(where, CHANGES[change])
        for at in range(steps + 1):
            for moment in ("before", "after"):
                await killed_and_recovered(where, CHANGES[change], **{moment: at})


async def test_a_run_that_is_killed_at_a_note_is_put_in_order() -> None:
    async with on_site(S19K, NETWORK, memory=KeptMemory()) as where:
        for change in CHANGES.values():
            for at in range(2):
                await killed_and_recovered(where, change, note=at)


async def count_of_steps(where: OnSite, change: Change) -> int:
    where.site.swap(where.endpoint().address)
    ear = Ear(where)
    await change(driver_of(where, wire=ear), where)
    return len(ear.heard)


async def killed_and_recovered(where: OnSite, change: Change, note: int = -1, **death: int) -> None:
    where.site.swap(where.endpoint().address)
    machine, memory = where.machine(), memory_of(where)
    where.clock.at += 61  # the session of the run before has ended
    before, ear, left = targets(machine.pools), Ear(where, **death), note

    def write() -> None:
        nonlocal left
        ear.die(left == 0)
        left -= 1

    memory.before_write = write
    with suppress(Killed):
        await change(driver_of(where, wire=ear), where)
    memory.before_write = lambda: None
    where.clock.at += 61
    was_noted = UNFINISHED in memory.kept
    fresh = driver_of(where)
    assert isinstance(fresh, Recovers)
    receipt = await fresh.recover()
    assert (receipt is not None) == was_noted
    assert memory.kept == {}
    assert is_managed(machine)
    found = targets(machine.pools)
    assert found in (before, targets(NEW), [f"o.ther@pool-{n}.example.com:3333" for n in "ba"])
    assert await fresh.recover() is None


async def test_a_note_of_nonsense_is_dropped() -> None:
    async with acting(S19K, NETWORK) as (where, _driver):
        memory_of(where).kept[UNFINISHED] = b"{"
        assert await driver_of(where).recover() is None
        assert memory_of(where).kept == {}


async def test_pools_in_several_groups_are_left_alone() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        grouped = Grouped(where)
        with pytest.raises(Refused, match="groups"):
            await driver_of(where, wire=grouped).set_pools(NEW)
        assert len(grouped.heard) == 1
        assert driver


class Grouped(Ear):
    """A wire that shows the first pool in a group of its own."""

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        answer = await super().exchange(address, port, request, **limits)
        return answer.replace(b'"GROUP":0,', b'"GROUP":1,', 1)


async def test_pools_that_others_left_are_read_as_they_are() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.machine().pools = (Pool.of("stratum+tcp://only.example.com:1", "u"),)
        assert (await reading_of(driver)).pool_targets == ("u@only.example.com:1",)
