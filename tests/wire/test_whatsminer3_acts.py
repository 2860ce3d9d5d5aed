"""Orders to simulated Whatsminers of API 3: effects, lies, signatures, accounts, the switch."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.whatsminer.v3 import Whatsminer3
from drivers.capabilities import PoolSetting, capabilities
from drivers.errors import OutOfRange, Unreachable
from drivers.registry import create
from drivers.sim.lies import Lie
from drivers.sim.machine import Machine
from tests.wire.acting import WORDS, act, acting, reading_of
from tests.wire.simsite import OnSite, on_site

AIR, HYDRO = "Whatsminer M60S VK40", "Whatsminer M63S VK30"
NETWORK = "127.172.0.0/16"
POOLS = (
    PoolSetting("stratum+tcp://pool-x.example.com:3333", "farm.w1", "secret-of-a-pool"),
    PoolSetting("stratum+tcp://pool-y.example.com:443", "farm.w1"),
)
ORDERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "pause": ("set.miner.service|stop", (), {}),
    "restart_mining": ("set.miner.service|restart", (), {}),
    "reboot": ("set.system.reboot", (), {}),
    "limit_power": ("set.miner.power_limit|2700", (2700.0,), {}),
    "throttle": (
        "set.miner.power_percent|{'percent': '60', 'mode': 'fast'}",
        (60.0,),
        {},
    ),
    "set_mode": ("set.miner.power_mode|low", ("low",), {}),
    "set_pools": ("set.miner.pools|", (POOLS,), {}),
    "locate": (
        "set.system.led|[{'color': 'red', 'period': 200, 'duration': 100, 'start': 0}]",
        (),
        {"on": True},
    ),
}


def site(lie: Lie | None = None, *orders: str, model: str = AIR, **values: Any) -> Any:
    return acting(model, NETWORK, lie, *orders, **values)


def changed(where: OnSite, **extra: Any) -> Machine:
    machine: Machine = where.machine()
    model = machine.model
    machine.model = msgspec.structs.replace(model, extra={**model.extra, **extra})
    return machine


async def driver_of(where: OnSite) -> Whatsminer3:
    driver = create("whatsminer3", where.endpoint(), where.context)
    assert isinstance(driver, Whatsminer3)
    await driver.identify()
    return driver


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("action", ORDERS)
async def test_every_order_and_every_lie(action: str, lie: Lie | None) -> None:
    _, args, kwargs = ORDERS[action]
    async with site(lie) as (where, driver):
        outcome = await act(where, driver, action, *args, **kwargs)
    assert outcome.verdict is WORDS[lie], outcome.receipt


@pytest.mark.parametrize("lie", WORDS)
async def test_resuming(lie: Lie | None) -> None:
    async with site() as (where, driver):
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        where.site.lie(where.endpoint().address, lie)
        outcome = await act(where, driver, "resume")
    assert outcome.verdict is WORDS[lie], outcome.receipt


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(
    ("action", "args"), [("factory_reset", ()), ("set_hostname", ("hall-3-rack-7",))]
)
async def test_what_nothing_proves(action: str, args: tuple[str, ...], lie: Lie | None) -> None:
    async with site(lie) as (where, driver):
        outcome = await act(where, driver, action, *args)
    assert (outcome.verdict, outcome.receipt.expectation) == (Verdict.NOT_VERIFIED, None)


async def test_a_name_holds_from_the_next_boot_on() -> None:
    async with site() as (where, driver):
        await act(where, driver, "set_hostname", "hall-3-rack-7")
        assert (await driver.identify()).hostname == "WhatsMiner"
        await act(where, driver, "reboot")
        assert (await driver.identify()).hostname == "hall-3-rack-7"


@pytest.mark.parametrize(
    ("action", "args", "at_most_w"),
    [
        ("pause", (), 20),
        ("throttle", (60.0,), 0.63 * 3500),
        ("limit_power", (2700.0,), 2720),
        ("set_mode", ("low",), 0.75 * 3500),
    ],
)
async def test_less_is_drawn(action: str, args: tuple[Any, ...], at_most_w: float) -> None:
    async with site() as (where, driver):
        outcome = await act(where, driver, action, *args)
        where.clock.at += 900  # whatever restarted for it has ramped up
        reading = await reading_of(driver)
    assert outcome.before.power_w is not None
    assert outcome.before.power_w > 3000
    assert reading.power_w is not None
    assert reading.power_w <= at_most_w


async def test_a_share_shows_and_is_over_within_seconds() -> None:
    async with site() as (where, driver):
        began = where.clock.at
        held = await act(where, driver, "throttle", 40.0)
        assert where.clock.at - began <= 5
        assert (held.before.throttle_percent, held.after and held.after.throttle_percent) == (
            100.0,
            40.0,
        )
        outcome = await act(where, driver, "throttle", 100.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.throttle_percent == 100.0


@pytest.mark.parametrize("action", [each for each in ORDERS if each != "set_mode"])
async def test_a_machine_without_fans_and_settings_obeys(action: str) -> None:
    _, args, kwargs = ORDERS[action]
    async with site(model=HYDRO) as (where, driver):
        outcome = await act(where, driver, action, *args, **kwargs)
    assert outcome.verdict is Verdict.VERIFIED


async def test_a_mode_that_nothing_shows_is_not_claimed() -> None:
    async with site(model=HYDRO) as (where, driver):
        outcome = await act(where, driver, "set_mode", "low")
    assert (outcome.receipt.answer, outcome.verdict) == (Answer.ACCEPTED, Verdict.NOT_VERIFIED)


async def test_pools_replace_what_was_there() -> None:
    async with site() as (where, driver):
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        kept = where.machine().pools
    assert [(pool.url, pool.user, pool.password) for pool in kept] == [
        (pool.url, pool.user, pool.password) for pool in POOLS
    ]


async def test_a_setting_that_is_forgotten_shows_after_the_next_boot() -> None:
    async with site(Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "limit_power", 2700.0)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).power_limit_w == 3600


# --- what travels ----------------------------------------------------------------------------


class Tapped:
    """A wire that remembers what left, and what is done before it does."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self.sent: list[dict[str, Any]] = []
        self.before: Callable[[], None] = lambda: None

    async def exchange(self, *args: Any, **limits: Any) -> bytes:
        raise AssertionError("nothing goes to port 4028")

    async def converse(self, address: str, port: int, requests: Any, **limits: Any) -> Any:
        self.before()
        self.sent += [msgspec.json.decode(raw[4:]) for raw in requests]
        return await self._wire.converse(address, port, requests, **limits)


async def tapped(where: OnSite) -> tuple[Whatsminer3, Tapped]:
    wire = Tapped(where.context.wire)
    context = msgspec.structs.replace(where.context, wire=wire)
    driver = create("whatsminer3", where.endpoint(), context)
    assert isinstance(driver, Whatsminer3)
    await driver.identify()
    wire.sent.clear()
    return driver, wire


@pytest.mark.parametrize("action", ORDERS)
async def test_each_order_is_one_request(action: str) -> None:
    command, args, kwargs = ORDERS[action]
    async with on_site(AIR, NETWORK) as where:
        driver, wire = await tapped(where)
        where.asked.clear()
        await getattr(driver, action)(*args, **kwargs)
        assert len(where.asked) == 1
        assert where.asked[0].startswith(command)
        message = wire.sent[0]
    assert message["account"] == "super"
    assert message["ts"] == int(where.clock.now())
    assert len(message["token"]) == 8


async def test_pools_are_sealed() -> None:
    async with on_site(AIR, NETWORK) as where:
        driver, wire = await tapped(where)
        receipt = await driver.set_pools(POOLS)
    sent = repr(wire.sent)
    assert isinstance(wire.sent[0]["param"], str)
    assert "secret" not in sent + repr(receipt)
    assert "pool-x" not in sent


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("limit_power", 0.0),
        ("limit_power", 100_000.0),
        ("throttle", 0.0),
        ("throttle", 130.0),
        ("set_mode", "turbo"),
        ("set_pools", ()),
        ("set_pools", POOLS * 2),
    ],
)
async def test_what_is_out_of_range_is_not_sent(action: str, value: Any) -> None:
    async with on_site(AIR, NETWORK) as where:
        driver = await driver_of(where)
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert where.asked == []


async def test_a_machine_that_shows_no_salt_is_given_no_order() -> None:
    async with on_site(AIR, NETWORK) as where:
        driver = create("whatsminer3", where.endpoint(), where.context)
        assert isinstance(driver, Whatsminer3)
        where.site.reboot(where.endpoint().address, off_s=60)
        with pytest.raises(Unreachable):
            await driver.pause()


# --- signatures ------------------------------------------------------------------------------


async def test_a_driver_that_was_just_born_asks_for_the_salt() -> None:
    async with on_site(AIR, NETWORK) as where:
        driver = create("whatsminer3", where.endpoint(), where.context)
        assert isinstance(driver, Whatsminer3)
        assert (await driver.locate(on=True)).answer is Answer.ACCEPTED
        assert where.asked[0] == "get.device.info|salt"
        assert len(where.asked) == 2


async def test_another_machine_has_another_salt() -> None:
    async with on_site(AIR, NETWORK) as where:
        driver = await driver_of(where)
        where.site.swap(where.endpoint().address)
        where.asked.clear()
        assert (await driver.locate(on=True)).answer is Answer.ACCEPTED
        assert [each.partition("|")[0] for each in where.asked] == [
            "set.system.led",
            "get.device.info",
            "set.system.led",
        ]


@pytest.mark.parametrize("ahead_s", [-86_400.0, 3600.0])
async def test_the_clock_of_the_machine_is_taken_where_ours_is_refused(ahead_s: float) -> None:
    async with on_site(AIR, NETWORK) as where:
        changed(where, clock_ahead_s=ahead_s)
        driver, wire = await tapped(where)
        assert (await driver.locate(on=True)).answer is Answer.ACCEPTED
        assert wire.sent[-1]["ts"] == pytest.approx(where.clock.now() + ahead_s, abs=1)
        where.asked.clear()
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked == ["set.system.led|auto"]


# --- accounts and the write switch -------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "given", "tries"),
    [
        (("super", "mine"), [("super", "mine")], 1),
        (("user1", "mine"), [("super", "other"), ("user1", "mine")], 2),
        (("super", "super"), [("super", "other")], 2),
        (("super", "super"), [], 1),
    ],
)
async def test_the_operators_account_goes_before_the_factorys(
    real: tuple[str, str], given: list[tuple[str, str]], tries: int
) -> None:
    async with on_site(AIR, NETWORK) as where:
        where.machine().credential = real
        where.known = [Credential(*each) for each in given]
        driver = await driver_of(where)
        where.asked.clear()
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked == ["set.system.led|auto"] * tries
        where.asked.clear()
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked == ["set.system.led|auto"]  # the one that opened goes first now


async def test_a_closed_api_is_named_and_left_alone() -> None:
    async with on_site(AIR, NETWORK) as where:
        changed(where, write_api=False)
        where.known = [Credential("super", "kept secret")]
        driver = await driver_of(where)
        where.asked.clear()
        receipt = await driver.pause()
        assert receipt.answer is Answer.REFUSED
        assert receipt.words.startswith("code -4: no permission: the password is wrong, or")
        assert receipt.words.endswith("in WhatsMinerTool")
        assert "secret" not in receipt.words
        assert where.asked == ["set.miner.service|stop"] * 2 + ["get.device.info|salt"]


async def test_a_machine_of_api_3_can_do_all_of_it() -> None:
    async with site() as (_, driver):
        assert set(capabilities(driver)) == {*ORDERS, "resume", "set_hostname", "factory_reset"}
