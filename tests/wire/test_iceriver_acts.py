"""What an IceRiver is told, on the simulator: effects, lies, and writes that were cut off."""

from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.iceriver.driver import Iceriver, enter
from drivers.asic.iceriver.orders import stored_in
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import BadReply, OutOfRange, Refused, Unreachable
from drivers.model import pool_target
from drivers.sim.lies import Lie
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.around import Breaking, Canned, Deadly, Spy, through
from tests.wire.simsite import on_site

NETWORK = "127.93.0.0/16"
OPEN, SESSION = "IceRiver KS5L", "IceRiver AL1"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.a", "pw-a"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "farm.b", "pw-b"),
)
ACTIONS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    (OPEN, "locate", (), {"on": True}),
    (SESSION, "locate", (), {"on": True}),
    (OPEN, "reboot", (), {}),
    (OPEN, "set_pools", (NEW,), {}),
    (SESSION, "set_pools", (NEW,), {}),
]
PANEL, CONFIG = "/user/userpanel", "/user/machineconfig"


def targets(pools: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(pool_target(pool.url, pool.user), pool.password) for pool in pools]


def forms(spy: Spy, path: str) -> list[dict[str, str]]:
    bodies = [(body or b"").decode() for _, at, body in spy.sent if at == path]
    return [dict(parse_qsl(body, keep_blank_values=True)) for body in bodies]


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("model", "action", "args", "kwargs"), ACTIONS)
async def test_every_habit_comes_to_its_verdict(
    model: str, action: str, args: Any, kwargs: Any, lie: Lie | None
) -> None:
    async with acting(model, NETWORK, lie) as (where, driver):
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert UNFINISHED not in cast("KeptMemory", where.context.memory).kept


async def test_the_light_goes_out_again() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        await act(where, driver, "locate", on=True)
        outcome = await act(where, driver, "locate", on=False)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.locating is False


async def test_what_it_can_do_and_a_reset_that_nothing_proves() -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        assert {*capabilities(driver)} == {"locate", "reboot", "set_pools", "factory_reset"}
        outcome = await act(where, driver, "factory_reset")
        assert (outcome.receipt.answer, outcome.verdict) == (Answer.ACCEPTED, Verdict.NOT_VERIFIED)
        where.clock.at += 5
        assert where.machine().pools == ()


async def test_one_session_serves_polls_and_orders() -> None:
    async with acting(SESSION, NETWORK) as (where, driver):
        await act(where, driver, "locate", on=True)
        await act(where, driver, "set_pools", NEW)
        assert where.asked.count("/user/loginpost") == 1


async def test_the_forms() -> None:
    async with acting(OPEN, NETWORK) as (where, _):
        spy = Spy(where.context.web)
        driver = Iceriver(where.endpoint(), through(where.context, spy))
        await driver.locate(on=True)
        await driver.reboot()
        assert forms(spy, PANEL) == [{"post": "5", "locate": "1"}, {"post": "3"}]
        where.clock.at += 100
        await driver.set_pools(NEW)
        read, form, again = forms(spy, CONFIG)
    assert read == again == {"post": "1"}
    assert (form["post"], form["fanratio"], form["fanmode"]) == ("2", "80", "normal")
    assert (form["pool1address"], form["pool1pwd"]) == (NEW[0].url, "pw-a")
    assert (form["pool2miner"], form["pool3address"]) == ("farm.b", "")
    assert len(form) == 12


@pytest.mark.parametrize("wanted", [(), NEW * 2])
async def test_a_list_that_does_not_fit_is_not_sent(wanted: Any) -> None:
    async with acting(OPEN, NETWORK) as (where, driver):
        with pytest.raises(OutOfRange):
            await cast("Iceriver", driver).set_pools(wanted)
        assert CONFIG not in where.asked


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"error":0,"data":{"pools":[],"ratio":1,"mode":1}}', Refused, "booting"),
        (b'{"error":0,"data":{"pools":[{"addr":"a:1"}],"mode":1}}', Refused, "not all there"),
        (b'{"error":0,"data":{}}', Refused, "not all there"),
        (b'{"error":7001,"message":"offline"}', Refused, "offline"),
        (b"<html>login</html>", Refused, "login page"),
        (b'{"data":{"pools":[{"pass":"pw-a"', BadReply, "not an object"),
    ],
)
async def test_half_a_configuration_is_not_written_back(
    body: bytes, kind: type[Exception], words: str
) -> None:
    async with acting(OPEN, NETWORK) as (where, _):
        spy = Spy(Canned(where.context.web, {CONFIG: body}))
        driver = Iceriver(where.endpoint(), through(where.context, spy))
        with pytest.raises(kind, match=words) as caught:
            await driver.set_pools(NEW)
        assert "pw-a" not in str(caught.value)
        assert forms(spy, CONFIG) == [{"post": "1"}]


async def test_errors_of_a_login_do_not_tell_the_password() -> None:
    async with on_site(OPEN, NETWORK) as where:
        context = through(where.context, Breaking(where.context.web))
        with pytest.raises(Unreachable) as caught:
            await enter(
                WebClient(where.endpoint(), context),
                Credential("admin", "a secret"),
                Deadline(context.clock, 1.0),
            )
        assert "loginpost" in str(caught.value)
        assert "secret" not in str(caught.value)


async def test_a_machine_that_forgets() -> None:
    async with acting(OPEN, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        where.clock.at += 600
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert len((await reading_of(driver)).pools) == 3


async def test_a_machine_that_loses_its_pools_to_a_write() -> None:
    async with acting(OPEN, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = targets(where.machine().pools)
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert "empty now" in outcome.receipt.words
        where.site.lie(where.endpoint().address, None)
        again = Iceriver(where.endpoint(), where.context)
        assert await again.recover() is not None
        assert targets(where.machine().pools) == old
        assert await again.recover() is None


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize(
    ("when", "at"),
    [
        ("memory", 0),
        ("memory", 1),
        *((when, at) for when in ("before", "after") for at in range(3)),
    ],
)
@pytest.mark.parametrize("model", [OPEN, SESSION])
async def test_a_killed_write_leaves_a_machine_with_pools(
    model: str, when: str, at: int, wiped: bool
) -> None:
    """Around each of the three requests to `machineconfig`: look, store, look."""
    async with acting(model, NETWORK) as (where, _):
        memory, machine = cast("KeptMemory", where.context.memory), where.machine()
        old = targets(machine.pools)
        deadly = Deadly(where.context.web, when, at, lambda _, path: path == CONFIG)
        if when == "memory":
            memory.before_write = deadly.count
        with pytest.raises(Killed):
            await Iceriver(where.endpoint(), through(where.context, deadly)).set_pools(NEW)
        memory.before_write = lambda: None
        if wiped and UNFINISHED in memory.kept:
            machine.pools = ()
        await Iceriver(where.endpoint(), where.context).recover()
        assert targets(machine.pools) in (old, targets(NEW))
        assert UNFINISHED not in memory.kept


def test_pools_stand_in_their_places() -> None:
    rows = [
        {"no": 3, "addr": "c:1", "user": "(null)", "pass": "(null)"},
        {"no": 1, "addr": "a:1", "user": "u", "pass": "p"},
        {"no": 2, "addr": "(null)"},
    ]
    found = stored_in({"data": {"pools": rows, "ratio": "55", "mode": 0}})
    assert found.pools == (PoolSetting("a:1", "u", "p"), PoolSetting("c:1", "", ""))
    assert found.whole == {"fanratio": "55", "fanmode": "sleep"}
