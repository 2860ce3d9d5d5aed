"""Orders to simulated Whatsminers of API 2: effects, lies, tokens, passwords, the write switch."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.whatsminer.driver import NOTHING_TO_KEEP_S, Whatsminer
from drivers.capabilities import KeepsReady, PoolSetting, capabilities
from drivers.errors import AccessDenied, BadReply, OutOfRange, Refused, Unreachable
from drivers.registry import create
from drivers.sim.lies import Lie
from drivers.sim.machine import Machine
from tests.wire.acting import WORDS, act, acting, reading_of
from tests.wire.simsite import OnSite, on_site

NEW, OLD = "Whatsminer M30S+ VE40", "Whatsminer M20S V10"
NETWORK = "127.171.0.0/16"
POOLS = (
    PoolSetting("stratum+tcp://pool-x.example.com:3333", "farm.w1", "secret-of-a-pool"),
    PoolSetting("stratum+tcp://pool-y.example.com:443", "farm.w1"),
)
ORDERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "pause": ("power_off", (), {}),
    "restart_mining": ("restart_btminer", (), {}),
    "reboot": ("reboot", (), {}),
    "limit_power": ("adjust_power_limit", (2700.0,), {}),
    "throttle": ("set_power_pct", (60.0,), {}),
    "set_mode": ("set_low_power", ("low",), {}),
    "set_pools": ("update_pools", (POOLS,), {}),
    "locate": ("set_led", (), {"on": True}),
    "set_hostname": ("set_hostname", ("hall-3-rack-7",), {}),
}


def site(lie: Lie | None = None, *orders: str, model: str = NEW, **values: Any) -> Any:
    return acting(model, NETWORK, lie, *orders, **values)


def changed(where: OnSite, **extra: Any) -> Machine:
    machine: Machine = where.machine()
    model = machine.model
    machine.model = msgspec.structs.replace(model, extra={**model.extra, **extra})
    return machine


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
async def test_nothing_proves_a_factory_reset(lie: Lie | None) -> None:
    async with site(lie) as (where, driver):
        outcome = await act(where, driver, "factory_reset")
    assert (outcome.verdict, outcome.receipt.expectation) == (Verdict.NOT_VERIFIED, None)


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


async def test_a_share_is_over_within_seconds() -> None:
    async with site() as (where, driver):
        began = where.clock.at
        await act(where, driver, "throttle", 40.0)
        assert where.clock.at - began <= 5
        outcome = await act(where, driver, "throttle", 100.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.power_w is not None
        assert outcome.after.power_w > 3000
    assert where.asked.count("get_token") == 1


async def test_who_comes_to_a_machine_that_is_held_knows_not_what_it_draws_in_full() -> None:
    async with site() as (where, driver):
        await act(where, driver, "throttle", 50.0)
        other = create("whatsminer", where.endpoint(), where.context)
        await other.identify()
        again = await act(where, other, "throttle", 50.0)
        assert again.verdict is Verdict.VERIFIED
        over = await act(where, other, "throttle", 100.0)
    assert over.receipt.answer is Answer.ACCEPTED
    assert (over.receipt.expectation, over.verdict) == (None, Verdict.NOT_VERIFIED)


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_pools_replace_what_was_there(count: int) -> None:
    wanted = tuple(
        PoolSetting(f"stratum+tcp://p{at}.example.com:3333", f"w.{at}", f"pw{at}")
        for at in range(count)
    )
    async with site() as (where, driver):
        outcome = await act(where, driver, "set_pools", wanted)
        assert outcome.verdict is Verdict.VERIFIED
        kept = where.machine().pools
    assert [(pool.url, pool.user, pool.password) for pool in kept] == [
        (pool.url, pool.user, pool.password) for pool in wanted
    ]


async def test_a_setting_that_is_forgotten_shows_after_the_next_boot() -> None:
    async with site(Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "limit_power", 2700.0)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).power_limit_w == 3600


async def test_the_lights_go_back() -> None:
    async with site() as (where, driver):
        await act(where, driver, "locate", on=True)
        outcome = await act(where, driver, "locate", on=False)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.before.locating is True


# --- what travels ----------------------------------------------------------------------------


class Tapped:
    """A wire that remembers what left."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self.sent: list[bytes] = []
        self.before: Callable[[bytes], None] = lambda request: None

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        self.before(request)
        self.sent.append(request)
        answer: bytes = await self._wire.exchange(address, port, request, **limits)
        return answer

    async def converse(self, *args: Any, **limits: Any) -> list[bytes]:
        answers: list[bytes] = await self._wire.converse(*args, **limits)
        return answers


async def tapped(where: OnSite) -> tuple[Whatsminer, Tapped]:
    wire = Tapped(where.context.wire)
    context = msgspec.structs.replace(where.context, wire=wire)
    driver = create("whatsminer", where.endpoint(), context)
    assert isinstance(driver, Whatsminer)
    await driver.identify()
    return driver, wire


async def test_nothing_is_sent_in_the_clear() -> None:
    async with on_site(NEW, NETWORK) as where:
        where.site.credential = ("admin", "kept secret")
        where.machine().credential = where.site.credential
        where.known = [Credential("admin", "kept secret")]
        driver, wire = await tapped(where)
        receipt = await driver.set_pools(POOLS)
        assert receipt.answer is Answer.ACCEPTED
        orders = [raw for raw in wire.sent if raw.startswith(b'{"enc":1,"data":"')]
        spoken = b" ".join(wire.sent) + repr((driver, receipt)).encode()
    assert len(orders) == 1
    assert b"update_pools" not in spoken
    assert b"secret" not in spoken


@pytest.mark.parametrize("action", ORDERS)
async def test_each_order_is_one_request(action: str) -> None:
    command, args, kwargs = ORDERS[action]
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        where.asked.clear()
        await getattr(driver, action)(*args, **kwargs)
        assert where.asked == ["get_token", command]


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
        ("set_pools", (PoolSetting("stratum+tcp://" + "x" * 4000, "w"),)),
    ],
)
async def test_what_is_out_of_range_is_not_sent(action: str, value: Any) -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert where.asked in ([], ["get_token"])


# --- tokens ----------------------------------------------------------------------------------


async def test_one_token_serves_for_half_an_hour() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        for _ in range(5):
            await driver.locate(on=True)
            where.clock.at += 300
        assert where.asked.count("get_token") == 1
        where.clock.at += 600
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked.count("get_token") == 2


async def test_a_token_is_kept_ready_for_shedding() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        assert isinstance(driver, KeepsReady)
        for _ in range(6):
            where.clock.at += await driver.keep_ready()
        await driver.keep_ready()
        assert where.asked.count("get_token") == 7
        where.asked.clear()
        where.clock.at += 1400
        assert await driver.keep_ready() == pytest.approx(100)
        assert (await driver.throttle(60.0)).answer is Answer.ACCEPTED
        assert where.asked == ["set_power_pct"]


async def test_a_token_that_the_machine_forgot_is_asked_for_once_more() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        await driver.locate(on=True)
        where.machine().sessions.clear()
        where.asked.clear()
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked == ["set_led", "get_token", "set_led"]


async def test_a_machine_that_knows_no_token_is_asked_twice_and_not_again() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, wire = await tapped(where)
        await driver.keep_ready()
        wire.before = lambda request: where.machine().sessions.clear()
        where.asked.clear()
        receipt = await driver.locate(on=True)
        assert receipt.answer is Answer.REFUSED
        assert "135" in receipt.words
        assert where.asked == ["set_led", "get_token", "set_led"]


async def test_too_many_tokens_are_not_answered_by_asking_for_more() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        now = where.clock.now()
        where.machine().sessions.update({f"another's {at}": now for at in range(32)})
        where.asked.clear()
        with pytest.raises(Refused, match="136: over max connect"):
            await driver.pause()
        assert where.asked == ["get_token"]


async def test_a_machine_that_is_away_is_given_no_order() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        where.site.reboot(where.endpoint().address, off_s=60)
        with pytest.raises(Unreachable):
            await driver.pause()
        with pytest.raises(Unreachable):
            await driver.keep_ready()


async def test_a_token_without_salt_is_none() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        where.server.faults.set("garbage", address=where.endpoint().address)
        with pytest.raises(BadReply):
            await driver.pause()


# --- passwords and the write switch ------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "given", "tries"),
    [
        ("mine", ["mine"], 1),
        ("mine", ["other", "mine"], 2),
        ("admin", ["other"], 2),
        ("admin", [], 1),
    ],
)
async def test_the_operators_password_goes_before_the_factorys(
    real: str, given: list[str], tries: int
) -> None:
    async with on_site(NEW, NETWORK) as where:
        where.machine().credential = ("admin", real)
        where.known = [Credential("admin", word) for word in given]
        driver, _ = await tapped(where)
        where.asked.clear()
        assert (await driver.locate(on=True)).answer is Answer.ACCEPTED
        assert where.asked == ["get_token", *["enc"] * (tries - 1), "set_led"]
        where.asked.clear()
        assert (await driver.locate(on=False)).answer is Answer.ACCEPTED
        assert where.asked == ["set_led"]  # the one that opened is the first from now on


async def test_no_password_fits() -> None:
    async with on_site(NEW, NETWORK) as where:
        where.machine().credential = ("admin", "somebody else's")
        where.known = [Credential("admin", "quite wrong")]
        driver, _ = await tapped(where)
        receipt = await driver.pause()
        assert receipt.answer is Answer.REFUSED
        assert "enc json load err" in receipt.words
        assert "password" in receipt.words
        assert "quite wrong" not in receipt.words


async def test_a_closed_api_is_named_and_left_alone() -> None:
    async with on_site(NEW, NETWORK) as where:
        changed(where, write_api=False)
        driver, _ = await tapped(where)
        where.asked.clear()
        with pytest.raises(AccessDenied, match="switches it on in WhatsMinerTool"):
            await driver.pause()
        assert where.asked == ["get_token"]


async def test_an_api_that_is_closed_meanwhile_refuses() -> None:
    async with on_site(NEW, NETWORK) as where:
        driver, _ = await tapped(where)
        await driver.keep_ready()
        changed(where, write_api=False)
        receipt = await driver.pause()
        assert receipt.answer is Answer.REFUSED
        assert receipt.words.startswith("code 45: can't access write cmd")
        assert receipt.words.endswith("in WhatsMinerTool")


async def test_a_machine_of_api_1_is_given_no_orders() -> None:
    async with site(model=OLD) as (where, driver):
        assert capabilities(driver) == {}
        where.asked.clear()
        assert isinstance(driver, Whatsminer)
        assert await driver.keep_ready() == NOTHING_TO_KEEP_S
        assert where.asked == []


async def test_a_machine_of_api_2_can_do_all_of_it() -> None:
    async with site() as (_, driver):
        assert set(capabilities(driver)) == {*ORDERS, "resume", "factory_reset"}
