"""Avalons told what to do, over loopback: every action, every lie, and pools cut off half-way."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.avalon.driver import Avalon
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import OutOfRange, Unreachable
from drivers.model import State
from drivers.sim.dialects.avalon_orders import modes_w
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite

A1346, Q = "Avalon 1346", "Avalon Q"
NETWORK = "127.74.0.0/16"
SECRET = "worker-secret"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "acct.w1", SECRET),
    PoolSetting("stratum+tcp://new-b.example.com:443", "acct.w1", SECRET),
)
TARGETS = ("acct.w1@new-a.example.com:3333", *("acct.w1@new-b.example.com:443",) * 2)


class Case(NamedTuple):
    """One action on one model, and the orders that the lie is about."""

    model: str
    action: str
    args: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    orders: tuple[str, ...] = ()
    prepare: str = ""
    """An action that is done before, and not lied about."""
    words: dict[Lie | None, Verdict] = WORDS


ALWAYS_MUTE = WORDS | {
    None: Verdict.VERIFIED_UNANSWERED,
    Lie.DOES_NOTHING: Verdict.NOT_VERIFIED,
}
"""An order that is answered by hanging up even where it is obeyed."""
LATER = WORDS | {Lie.DENIES: Verdict.REFUSED}
"""What is stored for the next boot: after a no there is none, so nothing has changed."""
OFF, ON = (("on", False),), (("on", True),)
CASES = (
    Case(A1346, "pause", orders=("softoff",)),
    Case(Q, "pause", orders=("softoff",)),
    Case(A1346, "resume", orders=("softon",), prepare="pause", words=ALWAYS_MUTE),
    Case(Q, "resume", orders=("softon",), prepare="pause"),
    Case(A1346, "reboot", orders=("reboot",)),
    Case(Q, "reboot", orders=("reboot",)),
    Case(A1346, "restart_mining", orders=("restart",)),
    Case(Q, "restart_mining", orders=("restart",)),
    Case(A1346, "locate", keywords=ON, orders=("led",)),
    Case(Q, "set_mode", ("eco",), orders=("workmode",)),
    Case(A1346, "set_mode", ("normal",), orders=("workmode",), words=LATER),
    Case(Q, "set_fan_duty", (90.0,), orders=("fan-spd",)),
    Case(A1346, "set_pools", (POOLS,), orders=("setpool",), words=LATER),
)


def named(case: Case) -> str:
    return f"{case.model}-{case.action}"


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("case", CASES, ids=named)
async def test_every_action_is_judged_by_its_effect(case: Case, lie: Lie | None) -> None:
    async with acting(case.model, NETWORK) as (where, driver):
        if case.prepare:
            assert (await act(where, driver, case.prepare)).verdict.good
        where.site.lie(where.endpoint().address, lie, *case.orders)
        outcome = await act(where, driver, case.action, *case.args, **dict(case.keywords))
        assert outcome.verdict is case.words[lie], outcome.receipt


async def test_capabilities_are_those_of_the_family() -> None:
    async with acting(A1346, NETWORK) as (_, series), acting(Q, "127.75.0.0/16") as (_, home):
        assert set(capabilities(series)) == {
            *("pause", "resume", "reboot", "restart_mining", "set_mode", "set_pools", "locate"),
            "factory_reset",
        }
        assert set(capabilities(home)) == {
            *("pause", "resume", "reboot", "restart_mining", "set_mode", "set_fan_duty")
        }


# --- what it does to the machine --------------------------------------------------------------


@pytest.mark.parametrize("model", [A1346, Q])
async def test_a_pause_saves_the_watts_and_a_resume_brings_them_back(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert paused.after.power_w == where.machine().model.standby_w
        assert paused.before.power_w is not None
        again = await act(where, driver, "pause")
        assert again.verdict is Verdict.VERIFIED
        resumed = await act(where, driver, "resume")
        assert resumed.after is not None
        where.clock.at += 600
        reading = await reading_of(driver)
        assert (reading.state, reading.mode) == (State.MINING, resumed.after.mode)
        assert reading.power_w == pytest.approx(paused.before.power_w, rel=0.1)


@pytest.mark.parametrize(("model", "mode"), [(A1346, "normal"), (Q, "eco")])
async def test_a_mode_changes_the_watts(model: str, mode: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        outcome = await act(where, driver, "set_mode", mode)
        where.clock.at += 900
        reading = await reading_of(driver)
        watts = modes_w(where.machine())
        assert (reading.mode, reading.power_limit_w) == (mode, watts[0])
        assert reading.power_w is not None
        assert outcome.before.power_w is not None
        expected_w = outcome.before.power_w * watts[0] / watts[-1]
        assert reading.power_w == pytest.approx(expected_w, rel=0.1)


async def test_a_mode_that_is_at_work_costs_no_boot() -> None:
    async with acting(A1346, NETWORK) as (where, driver):
        where.asked.clear()
        outcome = await act(where, driver, "set_mode", "high performance")
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert (outcome.after.uptime_s or 0) > (outcome.before.uptime_s or 0)


@pytest.mark.parametrize(
    ("model", "action", "args"),
    [(Q, "set_mode", ("eco",)), (A1346, "set_mode", ("normal",)), (A1346, "set_pools", (POOLS,))],
)
async def test_what_is_forgotten_shows_after_the_next_boot(
    model: str, action: str, args: tuple[Any, ...]
) -> None:
    async with acting(model, NETWORK, Lie.FORGETS) as (where, driver):
        before = await reading_of(driver)
        assert (await act(where, driver, action, *args)).verdict is Verdict.VERIFIED
        where.clock.at += 300
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        after = await reading_of(driver)
        assert (after.mode, after.pool_targets) == (before.mode, before.pool_targets)


async def test_the_light_goes_out_again() -> None:
    async with acting(A1346, NETWORK) as (where, driver):
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "locate", on=False)).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).locating is False


async def test_fans_go_back_to_the_firmware_without_a_claim() -> None:
    async with acting(Q, NETWORK) as (where, driver):
        assert (await act(where, driver, "set_fan_duty", 90.0)).verdict is Verdict.VERIFIED
        outcome = await act(where, driver, "set_fan_duty", None)
        assert (outcome.receipt.answer, outcome.receipt.expectation) == (Answer.ACCEPTED, None)
        assert where.machine().settings.fan_percent is None
        assert (await act(where, driver, "set_fan_duty", 5.0)).verdict is Verdict.REFUSED


async def test_a_reset_is_sent_and_not_claimed() -> None:
    async with acting(A1346, NETWORK) as (where, driver):
        outcome = await act(where, driver, "factory_reset")
        assert outcome.verdict is Verdict.NOT_VERIFIED
        assert where.machine().pools == ()


# --- what goes over the wire -------------------------------------------------------------------


class Recording:
    """A wire that notes what is sent, and can act before and after each exchange."""

    def __init__(self, wire: Any, hook: Callable[[str], None] = lambda _: None) -> None:
        self._wire = wire
        self._hook = hook
        self.sent: list[str] = []

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        body = msgspec.json.decode(request)
        words = f"{body['command']}|{body.get('parameter', '')}"
        self.sent.append(words)
        self._hook("before " + words)
        answer = await self._wire.exchange(address, port, request, **limits)
        self._hook("after " + words)
        assert isinstance(answer, bytes)
        return answer


def on_wire(
    where: OnSite,
    hook: Callable[[str], None] = lambda _: None,
    memory: Any = None,
    **values: Any,
) -> tuple[Avalon, Recording]:
    wire = Recording(where.context.wire, hook)
    values |= {"memory": where.context.memory if memory is None else memory}
    context = msgspec.structs.replace(where.context, wire=wire, **values)
    return Avalon(where.endpoint(), context), wire


def orders_in(wire: Recording) -> list[str]:
    return [words for words in wire.sent if words.startswith("ascset|")]


async def test_the_time_of_a_pause_is_soon_by_the_machines_clock() -> None:
    async with acting(Q, NETWORK) as (where, _):
        driver, wire = on_wire(where)
        await driver.identify()
        await driver.pause()
        await driver.resume()
        at = int(where.clock.at) + 3
        assert orders_in(wire) == [f"ascset|0,softoff,1:{at}", f"ascset|0,softon,1:{at}"]


async def test_pools_are_written_by_place_and_then_it_boots() -> None:
    async with acting(A1346, NETWORK) as (where, _):
        driver, wire = on_wire(where)
        await driver.identify()
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.pool_targets == TARGETS
        assert orders_in(wire) == [
            f"ascset|0,setpool,root,root,{at},{pool.url},{pool.user},{SECRET}"
            for at, pool in enumerate((*POOLS, POOLS[-1]))
        ] + ["ascset|0,reboot,0"]
        assert [pool.password for pool in where.machine().pools] == [SECRET] * 3
        assert SECRET not in outcome.receipt.words
        assert "pool success set to" in outcome.receipt.words
        assert where.context.memory.get(UNFINISHED) is None


async def test_the_operators_password_goes_first_and_is_never_told() -> None:
    async with acting(A1346, NETWORK) as (where, _):
        where.machine().credential = ("root", "of-the-web")
        driver, wire = on_wire(where)
        await driver.identify()
        refused = await act(where, driver, "set_pools", POOLS)
        assert refused.verdict is Verdict.REFUSED
        where.known = [Credential("root", "of-the-web")]
        wire.sent.clear()
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.VERIFIED
        assert all(",of-the-web," in words for words in orders_in(wire)[:-1])
        for receipt in (refused.receipt, outcome.receipt):
            assert "of-the-web" not in repr(receipt)
            assert SECRET not in repr(receipt)


@pytest.mark.parametrize(
    ("model", "action", "args"),
    [
        (A1346, "set_mode", ("super",)),
        (Q, "set_mode", ("normal",)),
        (Q, "set_fan_duty", (-1.0,)),
        (A1346, "set_pools", ((),)),
        (A1346, "set_pools", (POOLS * 2,)),
        (A1346, "set_pools", ((PoolSetting("stratum+tcp://a:1", "a,b"),),)),
        (A1346, "set_pools", ((PoolSetting("stratum+tcp://a:1", "a", "p|q-secret"),),)),
    ],
)
async def test_out_of_range_sends_nothing(model: str, action: str, args: tuple[Any, ...]) -> None:
    async with acting(model, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange) as caught:
            await getattr(driver, action)(*args)
        assert where.asked == []
        assert "p|q-secret" not in str(caught.value)


# --- pools cut off half-way ---------------------------------------------------------------------


async def steps_of(where: OnSite) -> list[str]:
    """All that happens while pools are set, in order."""
    seen: list[str] = []
    memory = KeptMemory()
    memory.before_write = lambda: seen.append("memory")
    driver, _ = on_wire(where, seen.append, memory)
    await driver.identify()
    seen.clear()
    await driver.set_pools(POOLS)
    return seen


def dies_at(step: int) -> Callable[[str], None]:
    left = [step]

    def hook(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return hook


async def test_killed_at_any_step_a_machine_has_pools_after_recovery() -> None:
    async with acting(A1346, NETWORK) as (where, _):
        steps = await steps_of(where)
    assert len(steps) == 12, steps  # two writes to memory, pools, three places, a boot
    for step in range(len(steps)):
        async with acting(A1346, NETWORK) as (where, _):
            old = [pool.user for pool in where.machine().pools]
            memory, hook = KeptMemory(), dies_at(step)
            memory.before_write = lambda hook=hook: hook("memory")  # type: ignore[misc]
            driver, _ = on_wire(where, lambda _: None, memory)
            await driver.identify()
            driver, _ = on_wire(where, hook, memory)
            with pytest.raises(Killed):
                await driver.set_pools(POOLS)
            memory.before_write = lambda: None
            was_noted = memory.get(UNFINISHED) is not None
            where.clock.at += 300  # it may have been booting
            fresh, _ = on_wire(where, memory=memory)
            receipt = await fresh.recover()
            assert (receipt is not None) == was_noted
            assert memory.get(UNFINISHED) is None
            where.clock.at += 300
            reading = await reading_of(fresh)
            assert len(reading.pools) == 3
            wanted = was_noted or "boot" in steps[step]
            assert [pool.user for pool in where.machine().pools] == (
                ["acct.w1"] * 3 if wanted or step == len(steps) - 1 else old
            ), steps[step]
            assert await fresh.recover() is None


async def test_a_refusal_half_way_puts_the_old_pools_back() -> None:
    async with acting(A1346, NETWORK) as (where, _):
        old = [(pool.url, pool.user) for pool in where.machine().pools]
        address, places = where.endpoint().address, iter(range(3))

        def refuse(words: str) -> None:
            if words.startswith("before ascset|0,setpool"):
                lie = Lie.REFUSES if next(places, 0) == 1 else None
                where.site.lie(address, lie)

        memory = KeptMemory()
        driver, _ = on_wire(where, refuse, memory)
        await driver.identify()
        where.known = []
        receipt = await driver.set_pools(POOLS)
        if receipt.answer is Answer.ACCEPTED:  # the second credential got through
            pytest.fail("refused by every credential")
        where.site.lie(address, None)
        assert memory.get(UNFINISHED) is None
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert [(pool.url, pool.user) for pool in where.machine().pools] == old


async def test_nothing_is_noted_where_the_machine_does_not_answer() -> None:
    async with acting(A1346, NETWORK) as (where, _):
        memory = KeptMemory()
        driver, _ = on_wire(where, memory=memory)
        await driver.identify()
        where.site.remove(where.endpoint().address)
        with pytest.raises(Unreachable):
            await driver.set_pools(POOLS)
        assert memory.kept == {}
