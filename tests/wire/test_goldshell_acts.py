"""What a Goldshell is told, on the simulator: effects, lies, and runs that were cut off."""

from typing import Any, cast

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.goldshell.driver import AWAKE, Goldshell
from drivers.asic.goldshell.login import enter
from drivers.asic.goldshell.orders import able, at_work
from drivers.asic.goldshell.plans import plans_of
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import AccessDenied, BadReply, OutOfRange, Refused, Unreachable
from drivers.model import State, pool_target
from drivers.sim.lies import Lie
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.around import Breaking, Canned, Deadly, Spy, through
from tests.wire.simsite import OnSite, on_site

NETWORK = "127.89.0.0/16"
PORT, PAGES = "Goldshell SC5Pro", "Goldshell KD6"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.a", "pw-a"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "farm.b", "pw-b"),
)
ACTIONS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    (PORT, "pause", (), {}),
    (PAGES, "pause", (), {}),
    (PORT, "set_mode", ("low",), {}),
    (PORT, "set_mode", ("sleep",), {}),
    (PORT, "locate", (), {"on": True}),
    (PAGES, "locate", (), {"on": True}),
    (PAGES, "set_temp_target", (70.0,), {}),
    (PORT, "reboot", (), {}),
    (PORT, "set_pools", (NEW,), {}),
    (PAGES, "set_pools", (NEW,), {}),
]


def watts(where: OnSite) -> float:
    return cast("float", where.machine().at(where.clock.at).power_w)


def targets(pools: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(pool_target(pool.url, pool.user), pool.password) for pool in pools]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("model", "action", "args", "kwargs"), ACTIONS)
async def test_every_habit_comes_to_its_verdict(
    model: str, action: str, args: Any, kwargs: Any, lie: Lie | None
) -> None:
    async with acting(model, NETWORK, lie) as (where, driver):
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "pw-a" not in outcome.receipt.words


@pytest.mark.parametrize("lie", WORDS)
async def test_resuming_with_every_habit(lie: Lie | None) -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        full_w = watts(where)
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert watts(where) < 0.1 * full_w
        where.site.lie(where.endpoint().address, lie)
        outcome = await act(where, driver, "resume")
        assert outcome.verdict is WORDS[lie]
        where.clock.at += 900
        assert (watts(where) > 0.9 * full_w) is (lie not in {*IDLE})


IDLE = (Lie.DOES_NOTHING, Lie.DEAF, Lie.REFUSES)


async def test_low_power_and_back() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        full_w = watts(where)
        outcome = await act(where, driver, "set_mode", "low")
        assert outcome.after is not None
        assert (outcome.after.mode, outcome.after.state) == ("low", State.MINING)
        assert watts(where) < 0.7 * full_w
        assert (await act(where, driver, "set_mode", "normal")).verdict is Verdict.VERIFIED
        assert watts(where) > 0.9 * full_w


async def test_the_plan_of_before_comes_back() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        where.machine().settings.mode = "manual"
        assert (await reading_of(driver)).mode == "manual"
        await act(where, driver, "pause")
        await act(where, driver, "pause")  # once more: what is kept stays
        again = Goldshell(where.endpoint(), where.context)  # after a restart of the agent
        await again.identify()
        assert (await act(where, again, "resume")).verdict is Verdict.VERIFIED
        assert (await reading_of(again)).mode == "manual"
        assert AWAKE in cast("KeptMemory", where.context.memory).kept


async def test_what_runs_already_is_left_as_it_is() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        await act(where, driver, "set_mode", "low")
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).mode == "low"


@pytest.mark.parametrize(
    ("action", "args"),
    [("set_mode", ("turbo",)), ("set_temp_target", (80.0,)), ("set_pools", ((),))],
)
async def test_what_is_out_of_range_is_not_sent(action: str, args: Any) -> None:
    async with acting(PAGES, NETWORK) as (where, driver):
        before = where.site.at(where.endpoint().address)
        assert before is not None
        pools = before.pools
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(*args)
        assert (before.pools, before.settings.temp_target_c) == (pools, None)
        assert before.settings.mode is None


async def test_settings_are_written_whole() -> None:
    async with on_site(PORT, NETWORK, memory=KeptMemory()) as where:
        spy = Spy(where.context.web)
        driver = Goldshell(where.endpoint(), through(where.context, spy))
        await driver.locate(on=True)
        method, path, body = spy.sent[-1]
        assert (method, path) == ("PUT", "/mcb/setting")
        assert spy.headers[-1]["Content-Type"] == "application/json"
        found = msgspec.json.decode(body or b"")
        assert found["ledcontrol"] is True
        assert {"name", "tempcontrol", "powerplans", "select", "manual", "version"} <= found.keys()
        await driver.reboot()
        assert spy.sent[-1] == ("PUT", "/mcb/restart", None)  # a GET does nothing there


async def test_a_machine_that_forgets() -> None:
    async with acting(PORT, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        reading = await reading_of(driver)
        assert reading.mode == "normal"
        assert reading.pool_targets is not None
        assert len(reading.pool_targets) == 3


async def test_what_each_type_can_do() -> None:
    async with acting(PORT, NETWORK) as (_, driver):
        port = capabilities(driver)
        assert "set_temp_target" not in port
        assert {"pause", "resume", "set_mode", "locate", "set_pools", "reboot"} == port.keys()
        assert cast("Goldshell", driver).latencies is cast("Goldshell", driver).latencies
    async with acting(PAGES, NETWORK) as (_, driver):
        assert {*capabilities(driver)} == {*port, "set_temp_target"}


async def test_a_wrong_password_orders_nothing() -> None:
    async with on_site(PORT, NETWORK, memory=KeptMemory()) as where:
        where.machine().credential = ("admin", "a secret of its own")
        driver = Goldshell(where.endpoint(), where.context)
        for order in (driver.pause, driver.reboot):
            with pytest.raises(AccessDenied):
                await order()
        where.known = [Credential("admin", "a secret of its own")]
        assert (await driver.pause()).answer is Answer.ACCEPTED


async def test_errors_of_a_login_do_not_tell_the_password() -> None:
    async with on_site(PORT, NETWORK, memory=KeptMemory()) as where:
        context = through(where.context, Breaking(where.context.web))
        with pytest.raises(Unreachable) as caught:
            await enter(
                WebClient(where.endpoint(), context),
                Credential("admin", "a secret of its own"),
                Deadline(context.clock, 1.0),
            )
        assert "/user/login" in str(caught.value)
        assert "secret" not in str(caught.value)


# --- pools ---------------------------------------------------------------------------------


async def test_the_order_of_pools_can_be_changed() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        old = where.machine().pools
        turned = [PoolSetting(pool.url, pool.user, pool.password) for pool in reversed(old)]
        outcome = await act(where, driver, "set_pools", turned)
        assert outcome.verdict is Verdict.VERIFIED
        assert "/mcb/newpool" not in where.asked
        assert where.asked.count("/mcb/pools") == 3  # looked at, stored, looked at


async def test_an_order_that_wipes_the_pools_is_undone_and_not_claimed() -> None:
    async with acting(PORT, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = where.machine().pools
        turned = [PoolSetting(pool.url, pool.user, pool.password) for pool in reversed(old)]
        outcome = await act(where, driver, "set_pools", turned)
        assert outcome.verdict is Verdict.CONTRADICTED
        assert targets(where.machine().pools) == targets(old)


@pytest.mark.parametrize("limit", [3, 4])
async def test_a_full_list_is_exchanged_one_by_one(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        monkeypatch.setitem(where.machine().model.extra, "pools_limit", limit)
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.VERIFIED
        assert targets(where.machine().pools) == targets(NEW)


async def test_another_password_of_the_same_pool() -> None:
    async with acting(PORT, NETWORK) as (where, driver):
        machine = where.machine()
        first = machine.pools[0]
        machine.pools = (first,)
        await driver.set_pools([PoolSetting(first.url, first.user, "another")])  # type: ignore[attr-defined]
        assert targets(machine.pools) == [(pool_target(first.url, first.user), "another")]


async def test_a_new_pool_that_is_refused_leaves_the_old_ones() -> None:
    async with acting(PORT, NETWORK, Lie.REFUSES, "newpool") as (where, driver):
        machine = where.machine()
        machine.lie, machine.pools = Lie.REFUSES, machine.pools[:1]
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.REFUSED


async def test_an_empty_page_beside_a_full_port_is_not_believed() -> None:
    async with acting(PORT, NETWORK) as (where, _):
        web = Canned(where.context.web, {"/mcb/pools": b"[]"})
        driver = Goldshell(where.endpoint(), through(where.context, web))
        with pytest.raises(Refused, match="booting"):
            await driver.set_pools(NEW)
        assert UNFINISHED not in cast("KeptMemory", where.context.memory).kept
        web.bodies["/mcb/pools"] = b'[{"pass":"pw-a"'
        with pytest.raises(BadReply, match="cannot be read") as caught:
            await driver.set_pools(NEW)
        assert "pw-a" not in str(caught.value)


MOMENTS = [
    *((limit, "memory", at) for limit in (2, 8) for at in range(2)),
    *((8, when, at) for when in ("before", "after") for at in range(4)),
    *((2, when, at) for when in ("before", "after") for at in range(6)),
]
"""How many pools the machine takes, and where the process dies: each write of two new pools."""


def is_write(method: str, _: str) -> bool:
    return method == "PUT"


@pytest.mark.parametrize(("limit", "when", "at"), MOMENTS)
async def test_a_killed_change_of_pools_leaves_a_machine_with_pools(
    limit: int, when: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with acting(PORT, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        machine.pools = machine.pools[:2]
        monkeypatch.setitem(machine.model.extra, "pools_limit", limit)
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, when, at, is_write)
        if when == "memory":
            memory.before_write = deadly.count
        driver = Goldshell(where.endpoint(), through(where.context, deadly))
        with pytest.raises(Killed):
            await driver.set_pools(NEW)
        memory.before_write = lambda: None
        again = Goldshell(where.endpoint(), where.context)
        had_note = UNFINISHED in memory.kept
        receipt = await again.recover()
        assert (receipt is not None) is had_note
        assert targets(machine.pools) in (old, targets(NEW))
        assert UNFINISHED not in memory.kept
        assert await again.recover() is None


async def test_a_list_that_was_lost_is_put_back() -> None:
    async with acting(PORT, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, "after", 0, is_write)
        with pytest.raises(Killed):
            await Goldshell(where.endpoint(), through(where.context, deadly)).set_pools(NEW)
        machine.pools = ()
        await Goldshell(where.endpoint(), where.context).recover()
        assert targets(machine.pools) == old
        assert UNFINISHED not in memory.kept


# --- pure ------------------------------------------------------------------------------------


def test_an_hs_box_has_plans_for_each_algorithm() -> None:
    setting = {
        "algoname": "blake2b(SC)",
        "select": 0,
        "powerplans": [
            {"algo": "hns", "mode": [{"level": 0, "info": "750 MHz 0.41 V 50 RPM 50 RPM"}]},
            {
                "algo": "blake2b(SC)",
                "mode": [
                    {"level": 0, "info": "850 MHz 0.44 V 50 RPM 50 RPM"},
                    {"level": 3, "info": "0 MHz 0 V"},
                ],
            },
        ],
    }
    assert plans_of(setting) == {0: "850 MHz 0.44 V 50 RPM 50 RPM", 3: "0 MHz 0 V"}
    assert {"pause", "resume"} <= able(setting).keys()
    assert at_work(setting | {"select": 3}, None) == setting | {"manual": False}


def test_a_machine_without_a_plan_that_stands_cannot_pause() -> None:
    setting = {"select": 0, "powerplans": [{"level": 0, "info": "725 MHz 0.41 V"}]}
    assert {*able(setting)} == {"set_pools", "reboot"}
    assert able(setting) is able(None)
