"""What is done to machines of Auradine: its proofs, tokens, modes and pools."""

from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, WebReply
from drivers.asic.auradine import orders
from drivers.capabilities import PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange
from drivers.model import State, pool_target
from drivers.registry import create
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, act, acting, reading_of
from tests.wire.simsite import OnSite

MODEL = "Teraflux AT2880"
NETWORK = "127.95.0.0/16"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)
ACTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("pause", (), {}),
    ("resume", (), {}),
    ("restart_mining", (), {}),
    ("reboot", (), {}),
    ("limit_power", (2000.0,), {}),
    ("set_mode", ("eco",), {}),
    ("set_pools", (NEW,), {}),
    ("locate", (), {"on": True}),
]


def machine_of(where: OnSite) -> Any:
    """The machine itself, even while it is booting."""
    return where.site._machines[where.endpoint().address]


def watts_of(where: OnSite) -> float:
    return float(where.machine().at(where.clock.at).power_w)


class Ear:
    """A `Web` that notes what is posted."""

    def __init__(self, web: Any) -> None:
        self._web = web
        self.heard: list[tuple[str, Any]] = []

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        path = url.rpartition("/")[2]
        if method == "POST" and path != "token":
            self.heard.append((path, msgspec.json.decode(values["body"])))
        reply: WebReply = await self._web.request(method, url, **values)
        return reply


def heard_by(where: OnSite) -> tuple[Ear, Any]:
    ear = Ear(where.context.web)
    context = msgspec.structs.replace(where.context, web=ear)
    return ear, create("auradine", where.endpoint(), context)


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("action", "args", "kwargs"), ACTS, ids=str)
async def test_every_action_comes_to_what_the_machine_does(
    action: str, args: tuple[Any, ...], kwargs: dict[str, Any], lie: Lie | None
) -> None:
    async with acting(MODEL, NETWORK, lie) as (where, driver):
        if action == "resume":
            where.machine().fall_asleep(where.clock.at - 600)
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "s3cret" not in repr(outcome.receipt)
        assert machine_of(where).pools


def test_every_action_is_tried_above() -> None:
    assert {action for action, *_ in ACTS} == set(orders.LATENCIES) - {"factory_reset"}


async def test_it_can_do_nothing_where_no_token_opens() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        assert capabilities(driver) == orders.LATENCIES
        where.machine().credential = ("admin", "unknown to us")
        fresh: Any = create("auradine", where.endpoint(), where.context)
        await fresh.identify()
        assert capabilities(fresh) == {}
        with pytest.raises(AccessDenied):
            await fresh.pause()


async def test_the_operators_password_and_a_token_that_has_ended() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        where.machine().credential = ("operator", "s3cret")
        where.known = (Credential("operator", "s3cret"),)
        ear, driver = heard_by(where)
        await driver.locate(on=True)
        where.machine().sessions.clear()
        receipt = await driver.locate(on=False)
        assert receipt.answer is Answer.ACCEPTED
        assert "s3cret" not in repr((receipt, driver))
        assert len(ear.heard) == 2


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        full_w = watts_of(where)
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert watts_of(where) < full_w / 20
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 400
        assert watts_of(where) > full_w * 0.9


async def test_a_limit_holds_and_does_not_wake_a_machine() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        where.machine().fall_asleep(where.clock.at - 600)
        assert (await act(where, driver, "limit_power", 1999.9)).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).state is State.SLEEPING
        await act(where, driver, "resume")
        where.clock.at += 400
        assert watts_of(where) < 2050
        assert (await reading_of(driver)).power_limit_w == 1999


async def test_pools_that_are_lost_show() -> None:
    async with acting(MODEL, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert (await reading_of(driver)).pool_targets is None


async def test_settings_are_forgotten_at_the_next_boot() -> None:
    async with acting(MODEL, NETWORK, Lie.FORGETS) as (where, driver):
        before = await reading_of(driver)
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.after is not None
        assert outcome.after.pool_targets == tuple(pool_target(p.url, p.user) for p in NEW)
        assert (await act(where, driver, "set_mode", "eco")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        after = await reading_of(driver)
        assert (after.mode, after.pool_targets) == ("custom", before.pool_targets)


async def test_what_it_does_not_take_is_not_sent() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for action, value in (
            ("set_mode", "custom"),
            ("set_mode", "sleep"),
            ("limit_power", 0.0),
            ("set_pools", ()),
        ):
            with pytest.raises(OutOfRange):
                await getattr(driver, action)(value)
        assert ear.heard == []


async def test_the_exact_words() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await driver.pause()
        await driver.resume()
        await driver.limit_power(2000.0)
        await driver.set_mode("Turbo")
        await driver.set_pools(NEW[1:])
        await driver.locate(on=True)
        await driver.locate(on=False)
        await driver.restart_mining()
        receipt = await driver.factory_reset()
        await driver.reboot()
    assert (receipt.answer, receipt.expectation) == (Answer.ACCEPTED, None)
    pool = {"url": NEW[1].url, "user": "north.new", "pass": "s3cret"}
    assert ear.heard == [
        ("mode", {"command": "mode", "sleep": "on"}),
        ("mode", {"command": "mode", "sleep": "off"}),
        ("mode", {"command": "mode", "mode": "custom", "tune": "power", "power": 2000}),
        ("mode", {"command": "mode", "mode": "turbo"}),
        ("updatepools", {"command": "updatepools", "pools": [pool]}),
        ("led", {"command": "led", "code": 3}),
        ("led", {"command": "led", "code": 2}),
        ("restart", {"command": "restart", "parameter": "gcminer"}),
        ("factory-reset", {"command": "factory-reset"}),
        ("restart", {"command": "restart"}),
    ]
