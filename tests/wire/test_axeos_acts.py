"""Bitaxes and a NerdQAxe told what to do, over loopback: every action, every lie, lost pools."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.asic.axeos.driver import Axeos
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import OutOfRange, Unreachable
from drivers.model import State
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite

GAMMA, ULTRA, NERD = "Bitaxe Gamma", "Bitaxe Ultra", "NerdQAxe++"
NETWORK = "127.98.0.0/16"
SECRET = "worker-secret"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "acct.w1", SECRET),
    PoolSetting("new-b.example.com:443", "acct.w1", SECRET),
)
TARGETS = ("acct.w1@new-a.example.com:3333", "acct.w1@new-b.example.com:443")


class Case(NamedTuple):
    """One action on one model, and the order that the lie is about."""

    model: str
    action: str
    order: str
    args: tuple[Any, ...] = ()
    prepare: str = ""
    words: dict[Lie | None, Verdict] = WORDS


LATER = WORDS | {Lie.DENIES: Verdict.REFUSED}
"""What counts from the restart on: after a no there is none, so nothing has changed."""
CASES = (
    Case(GAMMA, "pause", "pause"),
    Case(NERD, "pause", "shutdown"),
    Case(GAMMA, "resume", "resume", prepare="pause"),
    Case(NERD, "resume", "restart", prepare="pause"),
    Case(GAMMA, "reboot", "restart"),
    Case(ULTRA, "reboot", "restart"),
    Case(GAMMA, "set_fan_duty", "settings", (90.0,)),
    Case(ULTRA, "set_fan_duty", "settings", (90.0,)),
    Case(GAMMA, "set_temp_target", "settings", (55.0,)),
    Case(GAMMA, "set_hostname", "settings", ("shelf-7",)),
    Case(GAMMA, "set_pools", "settings", (POOLS,), words=LATER),
    Case(NERD, "set_pools", "settings", (POOLS,), words=LATER),
)


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model}-{case.action}")
async def test_every_action_is_judged_by_its_effect(case: Case, lie: Lie | None) -> None:
    async with acting(case.model, NETWORK) as (where, driver):
        if case.prepare:
            assert (await act(where, driver, case.prepare)).verdict.good
        where.site.lie(where.endpoint().address, lie, case.order)
        outcome = await act(where, driver, case.action, *case.args)
        assert outcome.verdict is case.words[lie], outcome.receipt


async def test_each_can_do_what_its_page_tells() -> None:
    common = {"reboot", "set_fan_duty", "set_pools", "set_hostname"}
    for model, more in (
        (GAMMA, {"pause", "resume", "locate", "set_temp_target"}),
        (ULTRA, set()),
        (NERD, {"pause", "resume"}),
    ):
        async with acting(model, NETWORK) as (_, driver):
            assert set(capabilities(driver)) == common | more


# --- what it does to the device ----------------------------------------------------------------


@pytest.mark.parametrize("model", [GAMMA, NERD])
async def test_a_pause_saves_the_watts_and_a_resume_brings_them_back(model: str) -> None:
    async with acting(model, NETWORK) as (where, driver):
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert paused.after.power_w == where.machine().model.standby_w
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 600
        reading = await reading_of(driver)
        assert reading.power_w == pytest.approx(paused.before.power_w, rel=0.1)


async def test_a_nerdqaxe_that_runs_is_not_restarted_to_wake_it() -> None:
    async with acting(NERD, NETWORK) as (where, driver):
        before = await reading_of(driver)
        outcome = await act(where, driver, "resume")
        assert outcome.verdict is Verdict.VERIFIED
        assert ((await reading_of(driver)).uptime_s or 0) > (before.uptime_s or 0)


async def test_fans_go_back_to_the_firmware_without_a_claim() -> None:
    async with acting(GAMMA, NETWORK) as (where, driver):
        assert (await act(where, driver, "set_fan_duty", 90.0)).verdict is Verdict.VERIFIED
        outcome = await act(where, driver, "set_fan_duty", None)
        assert (outcome.receipt.answer, outcome.receipt.expectation) == (Answer.ACCEPTED, None)
        where.clock.at += 1
        assert where.machine().settings.fan_percent is None


async def test_the_toggle_ends_as_it_was_wanted() -> None:
    async with acting(GAMMA, NETWORK) as (where, driver):
        for on in (True, True, False, False):
            outcome = await act(where, driver, "locate", on=on)
            assert outcome.verdict is Verdict.NOT_VERIFIED  # the page does not show it
            assert where.machine().settings.locating is on


@pytest.mark.parametrize(
    ("action", "args", "field"),
    [
        ("set_temp_target", (55.0,), "temp_target_c"),
        ("set_fan_duty", (90.0,), "fan_duty_percent"),
        ("set_pools", (POOLS,), "pool_targets"),
    ],
)
async def test_what_is_forgotten_shows_after_the_next_restart(
    action: str, args: tuple[Any, ...], field: str
) -> None:
    async with acting(GAMMA, NETWORK, Lie.FORGETS, "settings") as (where, driver):
        before = await reading_of(driver)
        outcome = await act(where, driver, action, *args)
        forgets_at_once = action == "set_pools"  # its own restart is the one that forgets
        assert outcome.verdict is (Verdict.CONTRADICTED if forgets_at_once else Verdict.VERIFIED), (
            outcome
        )
        where.clock.at += 60
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert getattr(await reading_of(driver), field) == getattr(before, field)


# --- what goes over the wire -------------------------------------------------------------------


class Spied:
    """The web of a context: notes what is sent, and can act before and after."""

    def __init__(self, where: OnSite, hook: Callable[[str], None] = lambda _: None) -> None:
        self._web, self._hook = where.context.web, hook
        self.sent: list[str] = []

    async def request(self, method: str, url: str, **values: Any) -> Any:
        body = values.get("body") or b""
        words = f"{method} {url.partition('/api/')[2]} {body.decode()}".strip()
        self.sent.append(words)
        self._hook("before " + words)
        answer = await self._web.request(method, url, **values)
        self._hook("after " + words)
        return answer


def spied(
    where: OnSite, hook: Callable[[str], None] = lambda _: None, memory: Any = None
) -> tuple[Axeos, Spied]:
    spy = Spied(where, hook)
    context = msgspec.structs.replace(where.context, web=spy, memory=memory or where.context.memory)
    return Axeos(where.endpoint(), context), spy


async def test_both_pools_are_sent_and_no_password_is_told() -> None:
    async with acting(GAMMA, NETWORK) as (where, _):
        driver, spy = spied(where)
        await driver.identify()
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.pool_targets == TARGETS
        (sent,) = [each for each in spy.sent if each.startswith("PATCH")]
        assert msgspec.json.decode(sent.partition("system ")[2]) == {
            "stratumURL": "new-a.example.com",
            "stratumPort": 3333,
            "stratumUser": "acct.w1",
            "stratumPassword": SECRET,
            "fallbackStratumURL": "new-b.example.com",
            "fallbackStratumPort": 443,
            "fallbackStratumUser": "acct.w1",
            "fallbackStratumPassword": SECRET,
        }
        assert spy.sent[spy.sent.index(sent) + 1] == "POST system/restart"
        assert SECRET not in repr(outcome.receipt)
        assert where.context.memory.get(UNFINISHED) is None


async def test_an_only_pool_is_its_own_fallback() -> None:
    async with acting(GAMMA, NETWORK) as (where, driver):
        outcome = await act(where, driver, "set_pools", POOLS[:1])
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.pool_targets == TARGETS[:1] * 2


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("set_fan_duty", -1.0),
        ("set_fan_duty", 101.0),
        ("set_temp_target", 0.0),
        ("set_temp_target", 150.0),
        ("set_pools", ()),
        ("set_pools", POOLS[:1] * 3),
        ("set_pools", (PoolSetting("stratum+ssl://a.example.com:443", "w"),)),
        ("set_pools", (PoolSetting("stratum2+tcp://a.example.com:443", "w"),)),
        ("set_pools", (PoolSetting("stratum+tcp://a.example.com", "w"),)),
        ("set_pools", (PoolSetting("a.example.com:99999", "w"),)),
    ],
)
async def test_out_of_range_writes_nothing(action: str, value: Any) -> None:
    async with acting(GAMMA, NETWORK) as (where, _):
        driver, spy = spied(where)
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert not [each for each in spy.sent if not each.startswith("GET")]
        assert where.context.memory.get(UNFINISHED) is None


# --- pools that get lost -----------------------------------------------------------------------


async def test_pools_that_the_write_wiped_are_not_claimed_and_come_back() -> None:
    async with acting(GAMMA, NETWORK) as (where, _):
        where.site.lie(where.endpoint().address, Lie.WIPES_POOLS)
        driver, _ = spied(where)
        await driver.identify()
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.NOT_VERIFIED
        assert where.machine().pools == ()
        where.site.lie(where.endpoint().address, None)
        fresh, _ = spied(where)
        receipt = await fresh.recover()
        assert receipt is not None
        assert receipt.answer is Answer.ACCEPTED
        where.clock.at += 60
        assert (await reading_of(fresh)).pool_targets == TARGETS
        assert where.context.memory.get(UNFINISHED) is None


def dies_at(step: int) -> Callable[[str], None]:
    left = [step]

    def hook(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return hook


async def test_killed_at_any_step_a_device_has_pools_after_recovery() -> None:
    steps: list[str] = []
    async with acting(GAMMA, NETWORK) as (where, _):
        memory = KeptMemory()
        memory.before_write = lambda: steps.append("memory")
        driver, _ = spied(where, steps.append, memory)
        await driver.set_pools(POOLS)
    assert len(steps) == 7, steps  # the page, the note, the settings, the restart
    for step in range(len(steps)):
        async with acting(GAMMA, NETWORK) as (where, _):
            old = (await reading_of(spied(where)[0])).pool_targets
            memory, hook = KeptMemory(), dies_at(step)
            memory.before_write = lambda hook=hook: hook("memory")  # type: ignore[misc]
            driver, _ = spied(where, hook, memory)
            with pytest.raises(Killed):
                await driver.set_pools(POOLS)
            memory.before_write = lambda: None
            was_noted = memory.get(UNFINISHED) is not None
            was_written = was_noted and step > 3
            where.clock.at += 30
            fresh, _ = spied(where, memory=memory)
            receipt = await fresh.recover()
            assert (receipt is not None) == was_noted
            where.clock.at += 60
            reading = await reading_of(fresh)
            assert reading.pool_targets == (TARGETS if was_written else old), steps[step]
            assert memory.get(UNFINISHED) is None
            assert await fresh.recover() is None
            if was_written:
                assert (reading.uptime_s or 0) < 120


async def test_pools_that_somebody_set_since_are_left_alone() -> None:
    async with acting(GAMMA, NETWORK) as (where, _):
        memory, hook = KeptMemory(), dies_at(3)
        driver, _ = spied(where, hook, memory)
        with pytest.raises(Killed):
            await driver.set_pools(POOLS)
        other = (PoolSetting("other.example.com:3333", "else.w1"),)
        elsewhere, _ = spied(where)
        await elsewhere.identify()
        assert (await act(where, elsewhere, "set_pools", other)).verdict.good
        fresh, spy = spied(where, memory=memory)
        receipt = await fresh.recover()
        assert receipt is not None
        assert not [each for each in spy.sent if each.startswith("PATCH")]
        assert memory.kept == {}


async def test_nothing_is_noted_where_the_device_does_not_answer() -> None:
    async with acting(GAMMA, NETWORK) as (where, _):
        memory = KeptMemory()
        driver, _ = spied(where, memory=memory)
        where.site.remove(where.endpoint().address)
        with pytest.raises(Unreachable):
            await driver.set_pools(POOLS)
        assert memory.kept == {}
