"""What is done to machines with Braiins OS, by REST, by GraphQL and by port 4028 alone."""

from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.braiins import graph_orders, orders
from drivers.capabilities import KeepsReady, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused
from drivers.model import State
from drivers.sim.dialects.braiins_rest import DANGEROUS_C, GROUP, LIMITS_W, TARGETS_C
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, act, acting, reading_of
from tests.wire.braiins_site import (
    API,
    NEW,
    S9,
    S19J,
    S21,
    Web,
    as_any,
    create_again,
    memory_of,
    targets,
)
from tests.wire.simsite import on_site

NETWORK = "127.98.0.0/16"
Act = tuple[str, tuple[Any, ...], dict[str, Any]]
BY_RPC: list[Act] = [("pause", (), {}), ("resume", (), {})]
BY_BOTH: list[Act] = [
    *BY_RPC,
    ("reboot", (), {}),
    ("limit_power", (2600.0,), {}),
    ("set_pools", (NEW,), {}),
    ("locate", (), {"on": True}),
]
BY_REST: list[Act] = [
    *BY_BOTH,
    ("set_fan_duty", (80.0,), {}),
    ("set_temp_target", (55.0,), {}),
    ("set_hostname", ("rack-7",), {}),
]
BY_GRAPH: list[Act] = [*BY_BOTH, ("restart_mining", (), {})]
UNPROVED = {"restart_mining", "factory_reset"}
"""What no reading of a machine with REST shows."""


async def comes_to(model: str, lie: Lie | None, doing: Act) -> Verdict:
    action, args, kwargs = doing
    async with acting(model, NETWORK, lie) as (where, driver):
        if action == "resume":
            where.machine().fall_asleep(where.clock.at - 600)
        outcome = await act(where, driver, action, *args, **kwargs)
        assert "s3cret" not in repr(outcome.receipt)
        machine = where.site.at(where.endpoint().address)
        assert machine is None or machine.pools
        return outcome.verdict


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("doing", BY_REST, ids=lambda each: each[0])
async def test_rest_comes_to_what_the_machine_does(doing: Act, lie: Lie | None) -> None:
    assert await comes_to(S21, lie, doing) is WORDS[lie]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("doing", BY_GRAPH, ids=lambda each: each[0])
async def test_graphql_comes_to_what_the_machine_does(doing: Act, lie: Lie | None) -> None:
    wanted = WORDS[lie]
    if doing[0] == "set_pools" and lie is Lie.DENIES:
        wanted = Verdict.REFUSED  # a list that was refused is not put to use
    assert await comes_to(S19J, lie, doing) is wanted


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("doing", BY_RPC, ids=lambda each: each[0])
async def test_port_4028_comes_to_what_the_machine_does(doing: Act, lie: Lie | None) -> None:
    assert await comes_to(S9, lie, doing) is WORDS[lie]


@pytest.mark.parametrize(
    ("model", "known", "tried"),
    [
        (S21, orders.LATENCIES, {name for name, *_ in BY_REST} | UNPROVED),
        (S19J, graph_orders.LATENCIES, {name for name, *_ in BY_GRAPH}),
        (S9, orders.BY_RPC, {name for name, *_ in BY_RPC}),
    ],
)
async def test_each_generation_can_do_what_was_tried(
    model: str, known: dict[str, Any], tried: set[str]
) -> None:
    async with acting(model, NETWORK) as (_, driver):
        assert capabilities(driver) == known
        assert set(known) == tried


async def test_the_first_generation_of_all_can_do_nothing() -> None:
    async with acting(S19J, NETWORK) as (_, driver):
        as_any(driver)._older.is_classic = True
        assert capabilities(driver) == {}


@pytest.mark.parametrize("model", [S21, S19J, S9])
async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
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


@pytest.mark.parametrize("model", [S21, S19J])
async def test_a_limit_holds_the_watts(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        await act(where, driver, "limit_power", 1500.4)
        where.clock.at += 60
        assert where.machine().settings.limit_w == 1500
        assert where.machine().at(where.clock.at).power_w < 1500 * 1.1


@pytest.mark.parametrize("model", [S21, S19J])
async def test_a_limit_is_forgotten_with_a_boot_where_the_firmware_forgets(model: str) -> None:
    async with acting(model, NETWORK, Lie.FORGETS) as (where, driver):
        outcome = await act(where, driver, "limit_power", 1500.0)
        assert outcome.verdict is Verdict.VERIFIED
        await act(where, driver, "reboot")
        where.clock.at += 60
        assert (await reading_of(driver)).power_limit_w == outcome.before.power_limit_w


# --- REST ----------------------------------------------------------------------------------


@pytest.mark.parametrize("watts", [LIMITS_W[0] - 1.0, LIMITS_W[1] + 1.0])
async def test_a_limit_that_the_machine_does_not_take_is_not_sent(watts: float) -> None:
    async with acting(S21, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange, match=f"{LIMITS_W[0]} to {LIMITS_W[1]} W"):
            await as_any(driver).limit_power(watts)
        assert where.asked == [f"{API}configuration/constraints"]


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("set_fan_duty", 5.0),
        ("set_fan_duty", 101.0),
        ("set_temp_target", TARGETS_C[1] + 1),
        ("set_hostname", "rack 7"),
        ("set_hostname", "-"),
        ("set_pools", ()),
    ],
)
async def test_settings_out_of_range_are_not_sent(action: str, value: Any) -> None:
    async with acting(S21, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        written = {"cooling/mode", "network/configuration", "pools/batch"}
        assert not {path.removeprefix(API) for path in where.asked} & written


async def test_a_restart_and_a_reset_claim_nothing() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        for action in sorted(UNPROVED):
            outcome = await act(where, driver, action)
            assert outcome.receipt.expectation is None
        where.clock.at += 30
        assert where.machine().pools == ()


async def test_fans_are_handed_back_with_their_temperatures_kept() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        await act(where, driver, "set_temp_target", 50.0)
        await act(where, driver, "set_fan_duty", 30.0)
        with pytest.raises(Refused, match="manual"):
            await as_any(driver).set_temp_target(55.0)
        outcome = await act(where, driver, "set_fan_duty", None)
        assert outcome.receipt.expectation is None
        where.clock.at += 5
        settings = where.machine().settings
        assert (settings.fan_percent, settings.temp_target_c) == (None, 50.0)
        assert DANGEROUS_C == 90.0


async def test_pools_keep_the_name_of_their_group_and_are_one_write() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        ear = Web(where)
        await as_any(create_again(where, web=ear)).set_pools(NEW)
        body = next(sent for path, sent in ear.sent if path.endswith("pools/batch"))
        assert msgspec.json.decode(body or b"") == [
            {
                "name": GROUP,
                "load_balance_strategy": {"quota": {"value": 1}},
                "pools": [
                    {"enabled": True, "url": p.url, "user": p.user, "password": p.password}
                    for p in NEW
                ],
            }
        ]
        assert memory_of(where).kept == {}
        assert targets(where.machine().pools) == targets(NEW)
        assert driver


async def test_the_owners_password_is_tried_before_the_factorys() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        where.machine().credential = ("root", "s3cret")
        where.machine().sessions.clear()
        where.known = (Credential("root", "s3cret"),)
        outcome = await act(where, driver, "limit_power", 2000.0)
        assert outcome.verdict is Verdict.VERIFIED


async def test_a_pause_needs_no_password_where_rest_is_closed() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        where.machine().credential = ("root", "s3cret")
        where.machine().sessions.clear()
        where.clock.at += 4000
        assert (await as_any(driver).set_hostname("rack-7")).answer is Answer.REFUSED
        with pytest.raises(AccessDenied):
            await as_any(driver).set_hostname("rack-7")
        assert (await as_any(driver).pause()).words == "Mining paused"
        where.clock.at += 10
        assert (await reading_of(driver)).state is State.SLEEPING


async def test_the_token_is_kept_ready() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        assert isinstance(driver, KeepsReady)
        assert await driver.keep_ready() == orders.READY_S
        where.asked.clear()
        await as_any(driver).pause()
        assert where.asked == [f"{API}actions/pause"]


async def test_a_token_that_has_ended_is_renewed_for_an_order() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        await driver.read()
        where.clock.at += 3700
        outcome = await act(where, driver, "locate", on=True)
        assert outcome.verdict is Verdict.VERIFIED


async def test_a_machine_that_boots_refuses() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        where.machine().boot_at = where.clock.at - 5
        with pytest.raises(Refused):
            await as_any(driver).set_pools(NEW)
        assert len(where.machine().pools) == 3


# --- GraphQL -------------------------------------------------------------------------------


async def test_graphql_wants_a_login_for_an_order() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        where.machine().credential = ("root", "s3cret")
        with pytest.raises(AccessDenied):
            await as_any(driver).locate(on=True)
        where.known = (Credential("root", "s3cret"),)
        outcome = await act(where, driver, "locate", on=True)
        assert outcome.verdict is Verdict.VERIFIED
        where.machine().sessions.clear()  # it was rebooted
        assert (await act(where, driver, "locate", on=False)).verdict is Verdict.VERIFIED


async def test_a_silent_web_side_leaves_pauses() -> None:
    async with on_site(S19J, NETWORK, memory=KeptMemory()) as where:
        driver = create_again(where)
        assert set(capabilities(driver)) == {"pause", "resume"}
