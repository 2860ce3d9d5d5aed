"""SealMiners told what to do, over loopback: every action, every lie, sessions and lost pools."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential
from drivers.asic.sealminer.driver import Sealminer
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused, Unreachable
from drivers.model import State
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, KeptMemory, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite

A2 = "SealMiner A2"
NETWORK = "127.86.0.0/16"
SECRET = "worker-secret"
POOLS = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "acct.w1", SECRET),
    PoolSetting("stratum+tcp://new-b.example.com:443", "acct.w1", SECRET),
)
TARGETS = ("acct.w1@new-a.example.com:3333", "acct.w1@new-b.example.com:443")


class Case(NamedTuple):
    """One action, and the order that the lie is about."""

    action: str
    order: str
    args: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    prepare: str = ""
    words: dict[Lie | None, Verdict] = WORDS


LATER = WORDS | {Lie.DENIES: Verdict.REFUSED}
"""What is stored for the next boot: after a no there is none, so nothing has changed."""
CASES = (
    Case("pause", "suspend"),
    Case("resume", "restart", prepare="pause"),
    Case("restart_mining", "restart"),
    Case("reboot", "reboot"),
    Case("limit_power", "powerlimit", (2800.0,), words=LATER),
    Case("locate", "led", keywords=(("on", True),)),
    Case("set_pools", "pools", (POOLS,)),
)


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.action)
async def test_every_action_is_judged_by_its_effect(case: Case, lie: Lie | None) -> None:
    async with acting(A2, NETWORK) as (where, driver):
        if case.prepare:
            assert (await act(where, driver, case.prepare)).verdict.good
        where.site.lie(where.endpoint().address, lie, case.order)
        outcome = await act(where, driver, case.action, *case.args, **dict(case.keywords))
        assert outcome.verdict is case.words[lie], outcome.receipt


async def test_all_of_it_can_be_done() -> None:
    async with acting(A2, NETWORK) as (_, driver):
        assert set(capabilities(driver)) == {case.action for case in CASES}


# --- what it does to the machine --------------------------------------------------------------


async def test_a_pause_saves_the_watts_and_a_resume_brings_them_back() -> None:
    async with acting(A2, NETWORK) as (where, driver):
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert (paused.after.state, paused.after.power_w) == (State.SLEEPING, 84)
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 900
        reading = await reading_of(driver)
        assert reading.power_w == pytest.approx(paused.before.power_w, rel=0.1)


async def test_a_machine_that_runs_is_not_restarted_to_wake_it() -> None:
    async with acting(A2, NETWORK) as (where, driver):
        where.asked.clear()
        outcome = await act(where, driver, "resume")
        assert outcome.verdict is Verdict.VERIFIED
        assert "restart" not in where.asked


async def test_a_limit_changes_the_watts_and_costs_no_second_boot() -> None:
    async with acting(A2, NETWORK) as (where, driver):
        outcome = await act(where, driver, "limit_power", 2800.0)
        where.clock.at += 900
        reading = await reading_of(driver)
        assert reading.power_limit_w == 2800
        assert reading.power_w is not None
        assert outcome.before.power_w is not None
        share = 2800 / where.machine().full_w
        assert reading.power_w == pytest.approx(outcome.before.power_w * share, rel=0.1)
        again = await act(where, driver, "limit_power", 2800.0)
        assert again.verdict is Verdict.VERIFIED
        assert again.after is not None
        assert (again.after.uptime_s or 0) > (reading.uptime_s or 0)


async def test_the_machine_itself_refuses_a_limit_that_it_cannot_hold() -> None:
    async with acting(A2, NETWORK) as (where, driver):
        before = await reading_of(driver)
        outcome = await act(where, driver, "limit_power", 900.0)
        assert outcome.verdict is Verdict.REFUSED
        assert (await reading_of(driver)).uptime_s >= before.uptime_s  # type: ignore[operator]


@pytest.mark.parametrize(("action", "args"), [("limit_power", (2800.0,)), ("set_pools", (POOLS,))])
async def test_what_is_forgotten_shows_after_the_next_boot(
    action: str, args: tuple[Any, ...]
) -> None:
    async with acting(A2, NETWORK, Lie.FORGETS) as (where, driver):
        before = await reading_of(driver)
        assert (await act(where, driver, action, *args)).verdict is Verdict.VERIFIED
        where.clock.at += 300
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        after = await reading_of(driver)
        assert (after.power_limit_w, after.pool_targets) == (
            before.power_limit_w,
            before.pool_targets,
        )


async def test_the_light_goes_out_again() -> None:
    async with acting(A2, NETWORK) as (where, driver):
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "locate", on=False)).verdict is Verdict.VERIFIED


# --- what goes over the wire -------------------------------------------------------------------


class Spied:
    """Wire and web of a context: notes what is sent, and can act before and after."""

    def __init__(self, where: OnSite, hook: Callable[[str], None] = lambda _: None) -> None:
        self._wire, self._web, self._hook = where.context.wire, where.context.web, hook
        self.sent: list[str] = []

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        body = msgspec.json.decode(request)
        words = f"{body['command']} {body.get('parameter', '')}"
        return bytes(
            await self._around(words, self._wire.exchange(address, port, request, **limits))
        )

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **values: Any) -> Any:
        body = values.get("body") or b""
        words = f"{method} {url.partition('/cgi-bin/')[2]} {body.decode()}"
        return await self._around(words, self._web.request(method, url, **values))

    async def _around(self, words: str, asking: Any) -> Any:
        self.sent.append(words)
        try:
            self._hook("before " + words)
        except BaseException:
            asking.close()
            raise
        answer = await asking
        self._hook("after " + words)
        return answer


def spied(
    where: OnSite, hook: Callable[[str], None] = lambda _: None, memory: Any = None
) -> tuple[Sealminer, Spied]:
    spy = Spied(where, hook)
    context = msgspec.structs.replace(
        where.context, wire=spy, web=spy, memory=memory or where.context.memory
    )
    return Sealminer(where.endpoint(), context), spy


async def test_the_forms_are_the_published_ones() -> None:
    async with acting(A2, NETWORK) as (where, _):
        driver, spy = spied(where)
        await driver.locate(on=True)
        await driver.limit_power(2800.4)
        assert 'POST led_conf.php {"key":"led","value":"on"}' in spy.sent
        assert spy.sent[-2:] == ['ascset 0,powerlimit,{"value":"2800"}', "GET reboot.php "]


async def test_all_three_places_are_sent_and_no_password_is_told() -> None:
    async with acting(A2, NETWORK) as (where, _):
        driver, spy = spied(where)
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.pool_targets == TARGETS
        (form,) = [each for each in spy.sent if "set_miner_poolconf" in each]
        sent = msgspec.json.decode(form.partition(".php ")[2])
        assert [sent[f"poolurl{at}"] for at in (1, 2, 3)] == [*(p.url for p in POOLS), ""]
        assert [sent[f"poolpwd{at}"] for at in (1, 2, 3)] == [SECRET, SECRET, ""]
        assert SECRET not in repr(outcome.receipt)
        assert where.context.memory.get(UNFINISHED) is None


async def test_without_the_password_nothing_is_written() -> None:
    async with acting(A2, NETWORK) as (where, _):
        where.machine().credential = ("seal", "other")
        driver, spy = spied(where)
        for order in (
            lambda: driver.limit_power(2800.0),
            lambda: driver.locate(on=True),
            driver.reboot,
            lambda: driver.set_pools(POOLS),
        ):
            with pytest.raises(AccessDenied) as caught:
                await order()
            assert "other" not in str(caught.value)
        assert not [each for each in spy.sent if each.startswith("ascset")]
        where.known = [Credential("seal", "other")]
        driver, _ = spied(where)
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert driver._web.opened_by == Credential("seal", "other")


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("limit_power", 0.0),
        ("limit_power", -100.0),
        ("set_pools", ()),
        ("set_pools", POOLS * 2),
        ("set_pools", (PoolSetting("", "w"),)),
    ],
)
async def test_out_of_range_sends_nothing(action: str, value: Any) -> None:
    async with acting(A2, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert where.asked == []


# --- pools that get lost -----------------------------------------------------------------------


async def test_pools_that_the_write_wiped_are_not_claimed_and_come_back() -> None:
    async with acting(A2, NETWORK) as (where, _):
        old = [(pool.url, pool.user, pool.password) for pool in where.machine().pools]
        where.site.lie(where.endpoint().address, Lie.WIPES_POOLS)
        driver, _ = spied(where)
        outcome = await act(where, driver, "set_pools", POOLS)
        assert outcome.verdict is Verdict.NOT_VERIFIED
        assert where.machine().pools == ()
        assert where.context.memory.get(UNFINISHED) is not None
        where.site.lie(where.endpoint().address, None)
        fresh, _ = spied(where)
        receipt = await fresh.recover()
        assert receipt is not None
        assert receipt.answer is Answer.ACCEPTED
        where.clock.at += 30
        now = [(pool.url, pool.user, pool.password) for pool in where.machine().pools]
        assert now == old
        await reading_of(fresh)
        assert where.context.memory.get(UNFINISHED) is None


async def test_a_list_that_shows_nothing_beside_pools_in_use_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with acting(A2, NETWORK) as (where, _):
        monkeypatch.setitem(
            __import__("drivers.sim.dialects.sealminer", fromlist=["PAGES"]).PAGES,
            "get_miner_poolconf",
            lambda machine, now: {"pools": []},
        )
        driver, spy = spied(where)
        with pytest.raises(Refused):
            await driver.set_pools(POOLS)
        assert not [each for each in spy.sent if "set_miner_poolconf" in each]
        assert where.context.memory.get(UNFINISHED) is None


def dies_at(step: int) -> Callable[[str], None]:
    left = [step]

    def hook(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return hook


async def test_killed_at_any_step_a_machine_has_pools_after_recovery() -> None:
    steps: list[str] = []
    async with acting(A2, NETWORK) as (where, _):
        memory = KeptMemory()
        memory.before_write = lambda: steps.append("memory")
        driver, _ = spied(where, steps.append, memory)
        await driver.set_pools(POOLS)
    assert len(steps) == 7, steps  # a login, the stored list, the note, the form
    for step in range(len(steps)):
        async with acting(A2, NETWORK) as (where, _):
            memory, hook = KeptMemory(), dies_at(step)
            memory.before_write = lambda hook=hook: hook("memory")  # type: ignore[misc]
            driver, _ = spied(where, hook, memory)
            with pytest.raises(Killed):
                await driver.set_pools(POOLS)
            memory.before_write = lambda: None
            was_noted = memory.get(UNFINISHED) is not None
            where.clock.at += 30
            fresh, _ = spied(where, memory=memory)
            receipt = await fresh.recover()
            assert (receipt is not None) == was_noted
            assert memory.get(UNFINISHED) is None
            where.clock.at += 30
            assert len((await reading_of(fresh)).pools) in (2, 3)
            assert await fresh.recover() is None


async def test_nothing_is_noted_where_the_machine_does_not_answer() -> None:
    async with acting(A2, NETWORK) as (where, _):
        memory = KeptMemory()
        driver, _ = spied(where, memory=memory)
        where.site.remove(where.endpoint().address)
        with pytest.raises(Unreachable):
            await driver.set_pools(POOLS)
        assert memory.kept == {}
