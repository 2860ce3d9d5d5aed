"""Orders to stock Antminers: what each comes to, whatever the firmware does with it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, WebReply
from drivers.asic.antminer.orders import MEMORY
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused
from drivers.model import State
from drivers.registry import create
from drivers.sim.lies import Lie
from drivers.sim.machine import Condition, Machine, Pool
from tests.wire.acting import WORDS, Killed, Outcome, act, acting, reading_of
from tests.wire.simsite import OnSite
from tests.wire.tapped import Tapped

S21, S19, S19PRO, S9 = "Antminer S21", "Antminer S19", "Antminer S19 Pro", "Antminer S9"
NETWORK = "127.81.0.0/16"
CONF, SET = "/cgi-bin/get_miner_conf.cgi", "/cgi-bin/set_miner_conf.cgi"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "farm.1", "secret"),
    PoolSetting("stratum+tcp://new-b.example.com:443", "farm.2"),
)


def prepare_nothing(where: OnSite) -> None:
    pass


def put_to_sleep(where: OnSite) -> None:
    where.machine().fall_asleep(where.clock.at - 60)


ACTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any], Callable[[OnSite], None]]] = {
    "pause": ((), {}, prepare_nothing),
    "resume": ((), {}, put_to_sleep),
    "set_mode": (("low",), {}, prepare_nothing),
    "set_pools": ((POOLS,), {}, prepare_nothing),
    "locate": ((), {"on": True}, prepare_nothing),
    "reboot": ((), {}, prepare_nothing),
}


async def done(where: OnSite, driver: Any, action: str) -> Outcome:
    arguments, named, prepare = ACTIONS[action]
    prepare(where)
    return await act(where, driver, action, *arguments, **named)


@pytest.mark.parametrize(("lie", "model"), [(None, S19), *((lie, S19PRO) for lie in WORDS)])
@pytest.mark.parametrize("action", ACTIONS)
async def test_what_an_order_comes_to(action: str, lie: Lie | None, model: str) -> None:
    """The S19 obeys one key for the mode, the S19 Pro the other, and that tells it on a page."""
    async with acting(model, NETWORK, lie) as (where, driver):
        outcome = await done(where, driver, action)
        assert outcome.verdict is WORDS[lie]
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [S21, S19, S19PRO])
async def test_a_pause_costs_two_pages_and_one_read_and_saves_watts(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        await reading_of(driver)
        machine: Machine = where.machine()
        before_w = machine.at(where.clock.at).power_w
        del where.asked[:]
        assert (await driver.pause()).answer is Answer.ACCEPTED
        assert where.asked == [CONF, SET]
        where.clock.at += 60
        del where.asked[:]
        reading = await reading_of(driver)
        assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")
        if model != S19PRO:  # its build tells the mode on a page alone
            assert sorted(where.asked) == ["pools", "stats"]
        assert machine.at(where.clock.at).power_w == machine.model.standby_w < before_w / 20
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 900
        assert machine.at(where.clock.at).power_w > before_w * 0.8


async def test_the_mode_before_sleep_comes_back() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        assert (await act(where, driver, "set_mode", "low")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        fresh = create("antminer", where.endpoint(), where.context)
        await fresh.identify()
        outcome = await act(where, fresh, "resume")
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.mode == "low"


async def test_waking_one_that_hashes_sends_nothing() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        del where.asked[:]
        outcome = await act(where, driver, "resume")
        assert outcome.verdict is Verdict.VERIFIED
        assert SET not in where.asked


async def tapped(where: OnSite, **changes: Any) -> tuple[Any, Tapped]:
    web = Tapped(where.context)
    context = msgspec.structs.replace(where.context, web=web, **changes)
    driver = create("antminer", where.endpoint(), context)
    await driver.identify()
    return driver, web


async def test_what_is_sent_is_the_whole_configuration_with_both_keys() -> None:
    async with acting(S19, NETWORK) as (where, _):
        driver, web = await tapped(where)
        web.alter = _with("bitmain-odd", [1, {"two": "zwei"}])
        await driver.pause()
        method, path, headers, body, deadline_s = web.sent[-1]
        assert (method, path) == ("POST", SET)
        assert headers["Content-Type"] == "text/plain;charset=UTF-8"
        assert 34 < deadline_s <= 35
        assert body is not None
        sent = json.loads(body)
        assert sent["miner-mode"] == sent["bitmain-work-mode"] == 1
        assert sent["freq-level"] == sent["bitmain-freq-level"] == "100"
        assert [row["url"] for row in sent["pools"]] == [p.url for p in where.machine().pools]
        assert sent["bitmain-odd"] == [1, {"two": "zwei"}]
        assert sent["api-allow"] == "A:0/0,W:*"


def _with(key: str, value: Any) -> Callable[[str, WebReply], WebReply]:
    def alter(path: str, reply: WebReply) -> WebReply:
        if path != CONF:
            return reply
        page = json.loads(reply.body)
        page = {k: v for k, v in page.items() if k != key}
        page |= {} if value is None else {key: value}
        return msgspec.structs.replace(reply, body=json.dumps(page).encode())

    return alter


@pytest.mark.parametrize("action", ["pause", "resume", "set_mode", "set_pools"])
async def test_half_a_configuration_is_never_written_back(action: str) -> None:
    async with acting(S21, NETWORK) as (where, _):
        driver, web = await tapped(where)
        where.machine().fall_asleep(where.clock.at)
        web.alter = _with("pools", [{"url": "", "user": "", "pass": ""}] * 3)
        arguments, named, _ = ACTIONS[action]
        with pytest.raises(Refused, match="no pools"):
            await getattr(driver, action)(*arguments, **named)
        assert SET not in where.asked


async def test_a_key_that_was_there_is_missed() -> None:
    async with acting(S21, NETWORK) as (where, _):
        driver, web = await tapped(where)
        await driver.pause()
        web.alter = _with("bitmain-freq", None)
        del where.asked[:]
        with pytest.raises(Refused, match="lacks bitmain-freq"):
            await driver.resume()
        assert SET not in where.asked


async def test_a_firmware_without_a_mode_is_not_told_to_sleep() -> None:
    async with acting(S21, NETWORK) as (where, _):
        driver, web = await tapped(where)
        web.alter = _with("bitmain-work-mode", None)
        with pytest.raises(Refused, match="cannot sleep"):
            await driver.pause()
        assert SET not in where.asked


async def test_a_last_good_copy_is_kept_and_written_once() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        memory: Any = where.context.memory
        writes: list[int] = []
        memory.before_write = lambda: writes.append(1)
        for action in ("pause", "resume", "pause"):
            await act(where, driver, action)
        assert len(writes) == 1
        kept = json.loads(memory.kept[MEMORY])
        assert kept["mode"] == 0
        assert [row["user"] for row in kept["configuration"]["pools"]] == [
            pool.user for pool in where.machine().pools
        ]


async def test_out_of_range_sends_nothing() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        del where.asked[:]
        with pytest.raises(OutOfRange):
            await driver.set_mode("turbo")
        assert where.asked == []
        for pools in ((), POOLS * 2):
            with pytest.raises(OutOfRange):
                await driver.set_pools(pools)
        assert SET not in where.asked
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]


async def test_fewer_pools_leave_none_of_the_old() -> None:
    async with acting(S19, NETWORK) as (where, driver):
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        pools = where.machine().pools
        assert [(p.url, p.user, p.password) for p in pools] == [
            (p.url, p.user, p.password) for p in POOLS
        ]


@pytest.mark.parametrize("model", [S21, S19])
async def test_pools_leave_the_mode_alone(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        await act(where, driver, "pause")
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        where.clock.at += 120
        assert where.machine().condition is Condition.SLEEPING


async def test_one_that_forgets_shows_it_after_a_reboot() -> None:
    async with acting(S21, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "set_pools", POOLS)).verdict is Verdict.VERIFIED
        where.clock.at += 60
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        where.clock.at += 60
        reading = await reading_of(driver)
        assert reading.state is State.MINING
        assert all("new-" not in target for target in reading.pool_targets or ())


async def test_one_that_wipes_its_pools_shows_it() -> None:
    async with acting(S21, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, "set_pools", POOLS)
        assert not outcome.verdict.good
        assert (await reading_of(driver)).pool_targets is None
        assert UNFINISHED in where.context.memory.kept  # type: ignore[attr-defined]
        where.site.lie(where.endpoint().address, None)
        receipt = await driver.recover()
        assert receipt is not None
        assert receipt.answer is Answer.ACCEPTED
        assert len(where.machine().pools) == 3
        assert await driver.recover() is None


def _machine_with(where: OnSite, pools: tuple[Pool, ...]) -> None:
    where.machine().pools = pools


STEPS = range(10)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
async def test_killed_at_any_step_it_never_lacks_pools(step: int, after: bool) -> None:
    """Steps are the requests and memory writes of one change, each before and after it is done."""
    async with acting(S21, NETWORK) as (where, _):
        driver, web = await tapped(where)
        old, left = where.machine().pools, [step]

        def tick() -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        memory: Any = where.context.memory
        setattr(web, "after" if after else "before", lambda _: tick())
        if not after:
            memory.before_write = tick
        try:
            await driver.set_pools(POOLS)
        except Killed:
            pass
        else:
            assert left[0] >= 0
        memory.before_write = lambda: None
        await asyncio.sleep(0)
        fresh = create("antminer", where.endpoint(), where.context)
        await fresh.identify()
        noted = UNFINISHED in memory.kept
        receipt = await fresh.recover()
        assert (receipt is not None) == noted
        there = [pool.url for pool in where.machine().pools]
        assert there in ([pool.url for pool in old], [pool.url for pool in POOLS])
        assert UNFINISHED not in memory.kept


async def test_recovery_puts_back_what_went() -> None:
    async with acting(S21, NETWORK) as (where, _):
        driver, web = await tapped(where)
        old = where.machine().pools

        def die(path: str) -> None:
            if path == SET:
                _machine_with(where, ())
                raise Killed

        web.after = die
        with pytest.raises(Killed):
            await driver.set_pools(POOLS)
        fresh = create("antminer", where.endpoint(), where.context)
        await fresh.identify()
        receipt = await fresh.recover()
        assert receipt is not None
        assert [pool.url for pool in where.machine().pools] == [pool.url for pool in old]
        assert UNFINISHED not in where.context.memory.kept  # type: ignore[attr-defined]


async def test_the_password_that_opened_is_used_and_shown_nowhere() -> None:
    async with acting(S21, NETWORK) as (where, _):
        where.machine().credential = ("ops", "hush-hush")
        where.known = (Credential("ops", "hush-hush"),)
        driver = create("antminer", where.endpoint(), where.context)
        await driver.identify()
        receipt = await driver.set_pools(POOLS)  # type: ignore[attr-defined]
        assert receipt.answer is Answer.ACCEPTED
        assert "secret" not in repr(receipt)
        assert "hush" not in repr(receipt)


async def test_without_a_password_it_can_do_nothing() -> None:
    async with acting(S21, NETWORK) as (where, _):
        where.machine().credential = ("ops", "unknown to us")
        driver = create("antminer", where.endpoint(), where.context)
        await driver.identify()
        assert capabilities(driver) == {}
        with pytest.raises(AccessDenied):
            await driver.pause()  # type: ignore[attr-defined]


async def test_an_old_one_does_not_sleep() -> None:
    async with acting(S9, NETWORK) as (_, driver):
        assert capabilities(driver) == {}


async def test_an_older_generation_of_pages_lists_no_sleep() -> None:
    async with acting(S21, NETWORK) as (where, _):
        web = Tapped(where.context)
        web.alter = lambda path, reply: (
            msgspec.structs.replace(reply, body=reply.body.replace(b'"serinum"', b'"ant_hwv"'))
            if path.endswith("get_system_info.cgi")
            else reply
        )
        context = msgspec.structs.replace(where.context, web=web)
        driver = create("antminer", where.endpoint(), context)
        await driver.identify()
        assert list(capabilities(driver)) == ["reboot"]


async def test_a_factory_reset_is_not_claimed() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        outcome = await act(where, driver, "factory_reset")
        assert (outcome.receipt.answer, outcome.verdict) == (Answer.ACCEPTED, Verdict.NOT_VERIFIED)
        where.clock.at += 10
        assert where.machine().pools == ()
