"""What is done to Proto Rigs: its proofs, and what the rig does not take."""

from typing import Any

import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, Driver
from drivers.asic.proto import orders
from drivers.capabilities import KeepsReady, PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange
from drivers.model import State, pool_target
from drivers.sim.dialects.proto_orders import LIMITS_W, hashes_alone
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, act, acting, reading_of

RIG = "Proto Rig"
NETWORK = "127.100.0.0/16"
OWNER = Credential("", "proto-password")
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+ssl://new-b.example.com:3333", "north.new", "s3cret"),
)
Act = tuple[str, tuple[Any, ...], dict[str, Any]]
ACTS: list[Act] = [
    ("pause", (), {}),
    ("resume", (), {}),
    ("reboot", (), {}),
    ("limit_power", (2000.0,), {}),
    ("set_mode", ("Efficiency",), {}),
    ("set_pools", (NEW,), {}),
]


def as_any(driver: Driver) -> Any:
    return driver


def targets(pools: Any) -> list[str]:
    return [pool_target(pool.url, pool.user) for pool in pools]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("doing", ACTS, ids=lambda each: each[0])
async def test_every_action_comes_to_what_the_rig_does(doing: Act, lie: Lie | None) -> None:
    action, args, kwargs = doing
    async with acting(RIG, NETWORK, lie) as (where, driver):
        where.known = (OWNER,)
        if action == "resume":
            where.machine().fall_asleep(where.clock.at - 600)
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "s3cret" not in repr(outcome.receipt)
        machine = where.site.at(where.endpoint().address)
        assert machine is None or machine.pools


async def test_it_can_do_what_was_tried_and_blink() -> None:
    async with acting(RIG, NETWORK) as (_, driver):
        assert capabilities(driver) == orders.LATENCIES
        assert set(orders.LATENCIES) == {action for action, *_ in ACTS} | {"locate"}


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        machine = where.machine()
        full_w = machine.at(where.clock.at).power_w
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert machine.at(where.clock.at).power_w < full_w / 10
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 300
        assert machine.at(where.clock.at).power_w > full_w * 0.9


async def test_a_target_holds_the_watts_and_what_goes_with_it_stays() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        await act(where, driver, "limit_power", 1500.7)
        where.clock.at += 60
        assert where.machine().settings.limit_w == 1500
        assert where.machine().at(where.clock.at).power_w < 1500 * 1.1
        await act(where, driver, "set_mode", "Efficiency")
        assert where.machine().settings.limit_w == 1500
        assert hashes_alone(where.machine())


async def test_a_target_is_forgotten_with_a_boot_where_the_firmware_forgets() -> None:
    async with acting(RIG, NETWORK, Lie.FORGETS) as (where, driver):
        where.known = (OWNER,)
        outcome = await act(where, driver, "limit_power", 1500.0)
        assert outcome.verdict is Verdict.VERIFIED
        await act(where, driver, "reboot")
        assert (await reading_of(driver)).power_limit_w == outcome.before.power_limit_w


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("limit_power", LIMITS_W[0] - 1.0),
        ("limit_power", LIMITS_W[1] + 1.0),
        ("set_mode", "turbo"),
        ("set_pools", ()),
    ],
)
async def test_what_the_rig_does_not_take_is_not_sent(action: str, value: Any) -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        await driver.read()
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert len(where.asked) <= 1
        assert where.machine().settings.limit_w is None


async def test_an_address_without_a_port_is_refused_and_the_pools_stay() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        before = targets(where.machine().pools)
        outcome = await act(
            where, driver, "set_pools", [PoolSetting("stratum+tcp://a.example.com", "u")]
        )
        assert outcome.verdict is Verdict.REFUSED
        assert targets(where.machine().pools) == before


async def test_new_pools_are_one_order_in_their_order() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        await act(where, driver, "set_pools", NEW)
        assert [pool.password for pool in where.machine().pools] == ["x", "s3cret"]
        assert targets(where.machine().pools) == targets(NEW)


async def test_the_light_claims_nothing() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        for on in (True, False):
            outcome = await act(where, driver, "locate", on=on)
            assert (outcome.receipt.answer, outcome.receipt.expectation) == (Answer.ACCEPTED, None)
            assert where.machine().settings.locating is on


async def test_without_the_owners_password_nothing_is_sent() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        with pytest.raises(AccessDenied):
            await as_any(driver).pause()
        assert where.machine().at(where.clock.at + 60).ghs_5s > 0


async def test_the_token_is_kept_ready_and_renewed() -> None:
    async with acting(RIG, NETWORK) as (where, driver):
        where.known = (OWNER,)
        assert isinstance(driver, KeepsReady)
        assert await driver.keep_ready() == orders.READY_S
        where.asked.clear()
        await as_any(driver).locate(on=True)
        assert where.asked == ["/api/v1/system/locate"]
        where.clock.at += 4000
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
