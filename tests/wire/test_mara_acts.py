"""What is done to machines with MARA's firmware: its proofs, modes, pools, and being killed."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, WebReply
from drivers.asic.mara import orders
from drivers.asic.mara.configuration import mode_before_sleep, with_pools
from drivers.capabilities import UNFINISHED, PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused
from drivers.model import State, pool_target
from drivers.registry import create
from drivers.sim.dialects import mara as sim
from drivers.sim.dialects import mara_orders
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite

MODEL = "Antminer S21 Pro"
NETWORK = "127.98.0.0/16"
API = "/kaonsu/v1/"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)
ACTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("pause", (), {}),
    ("resume", (), {}),
    ("restart_mining", (), {}),
    ("reboot", (), {}),
    ("limit_power", (2500.0,), {}),
    ("set_mode", ("stock",), {}),
    ("set_pools", (NEW,), {}),
    ("locate", (), {"on": True}),
]


def targets(pools: Any) -> tuple[str, ...]:
    return tuple(pool_target(pool.url, pool.user) for pool in pools)


def machine_of(where: OnSite) -> Any:
    """The machine itself, even while it is booting."""
    return where.site._machines[where.endpoint().address]


def watts_of(where: OnSite) -> float:
    return float(where.machine().at(where.clock.at).power_w)


def fall_asleep(where: OnSite, mode: str = "Auto") -> None:
    """As its owner would on its own page, from a mode."""
    machine = where.machine()
    machine.settings.mode = mode
    row = mara_orders.config(machine, machine.at(where.clock.at))
    row["mode"]["work-mode-selector"] = "Sleep"
    mara_orders._configure(machine, row, machine.at(where.clock.at))
    where.clock.at += 60


class Ear:
    """A `Web` that notes what is written, and can kill the process around each request."""

    def __init__(self, web: Any) -> None:
        self._web = web
        self.heard: list[tuple[str, Any]] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        if method == "POST":
            self.heard.append((url.partition(API)[2], msgspec.json.decode(values["body"])))
        self.before()
        reply: WebReply = await self._web.request(method, url, **values)
        self.after()
        return reply


def heard_by(where: OnSite) -> tuple[Ear, Any]:
    ear = Ear(where.context.web)
    context = msgspec.structs.replace(where.context, web=ear)
    return ear, create("mara", where.endpoint(), context)


def config_of(where: OnSite) -> Any:
    machine = where.machine()
    return mara_orders.config(machine, machine.at(where.clock.at))


# --- every action, every habit -------------------------------------------------------------


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("action", "args", "kwargs"), ACTS, ids=str)
async def test_every_action_comes_to_what_the_machine_does(
    action: str, args: tuple[Any, ...], kwargs: dict[str, Any], lie: Lie | None
) -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        if action == "resume":
            fall_asleep(where)
        where.site.lie(where.endpoint().address, lie)
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "s3cret" not in repr(outcome.receipt)
        assert machine_of(where).pools


def test_every_action_is_tried_above() -> None:
    assert {action for action, *_ in ACTS} == set(orders.LATENCIES)


async def test_it_can_do_nothing_where_its_pages_do_not_open() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        assert capabilities(driver) == orders.LATENCIES
        where.machine().credential = ("root", "unknown to us")
        fresh = create("mara", where.endpoint(), where.context)
        await fresh.identify()
        assert capabilities(fresh) == {}
        with pytest.raises(AccessDenied):
            await fresh.pause()  # type: ignore[attr-defined]


async def test_the_operators_password_comes_first() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        where.machine().credential = ("root", "s3cret")
        where.known = (Credential("root", "s3cret"),)
        driver = create("mara", where.endpoint(), where.context)
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert "s3cret" not in repr(driver)


# --- modes ---------------------------------------------------------------------------------


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        full_w = watts_of(where)
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert (paused.after.state, paused.after.mode) == (State.SLEEPING, "sleep")
        assert watts_of(where) < full_w / 50
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        resumed = await act(where, driver, "resume")
        assert resumed.verdict is Verdict.VERIFIED
        assert resumed.after is not None
        assert resumed.after.mode == "auto"
        where.clock.at += 300
        assert watts_of(where) > full_w * 0.9


@pytest.mark.parametrize("mode", ["Auto", "Fixed", "Stock"])
async def test_the_mode_before_sleep_outlives_the_agent(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim, "history", lambda machine: [])
    async with acting(MODEL, NETWORK) as (where, driver):
        where.machine().settings.mode = mode
        await act(where, driver, "pause")
        await act(where, driver, "pause")  # a repeat does not take Sleep for the mode before
        fresh = create("mara", where.endpoint(), where.context)
        await act(where, fresh, "resume")
        assert config_of(where)["mode"]["work-mode-selector"] == mode


async def test_killed_before_the_pause_it_still_knows_the_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sim, "history", lambda machine: [])
    async with acting(MODEL, NETWORK) as (where, _):
        where.machine().settings.mode = "Fixed"
        ear, driver = heard_by(where)

        def kill() -> None:
            if ear.heard:
                raise Killed

        ear.after = kill
        with pytest.raises(Killed):
            await driver.pause()
        where.clock.at += 60
        fresh = create("mara", where.endpoint(), where.context)
        await act(where, fresh, "resume")
        assert config_of(where)["mode"]["work-mode-selector"] == "Fixed"


async def test_the_log_tells_of_a_sleep_that_its_owner_ordered() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        await act(where, driver, "pause")
        await act(where, driver, "resume")
        fall_asleep(where, "Fixed")
        await act(where, driver, "resume")
        assert config_of(where)["mode"]["work-mode-selector"] == "Fixed"


async def test_with_no_memory_and_no_log_it_wakes_as_the_maker_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sim, "history", lambda machine: "nonsense")
    async with acting(MODEL, NETWORK) as (where, driver):
        fall_asleep(where, "Fixed")
        await act(where, driver, "resume")
        assert config_of(where)["mode"]["work-mode-selector"] == "Stock"


async def test_a_machine_that_mines_is_not_written_to_by_a_resume() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        assert ear.heard == []


async def test_a_mode_that_it_does_not_have() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for mode in ("turbo", "sleep"):
            with pytest.raises(OutOfRange, match="auto, fixed, stock"):
                await driver.set_mode(mode)
        with pytest.raises(OutOfRange):
            await driver.limit_power(0.0)
        with pytest.raises(OutOfRange):
            await driver.set_pools(())
        assert ear.heard == []


def test_the_log_is_read_from_its_end_and_nonsense_says_nothing() -> None:
    def went(before: str, after: str, kind: str = "update") -> dict[str, Any]:
        path = ["Mode", "WorkModeSelector"]
        return {"type": kind, "path": path, "from": before, "to": after}

    log = [{"1": [went("Stock", "Sleep")]}, {"2": [went("Sleep", "Fixed"), went("Fixed", "Sleep")]}]
    assert mode_before_sleep(log) == "Fixed"
    assert mode_before_sleep([*log, {"3": [went("Sleep", "Sleep"), went("?", "Sleep")]}]) == "Fixed"
    assert mode_before_sleep({"data": log}) == "Fixed"
    for other in (None, {}, [], ["x"], [{"1": 5}], [{"1": [5, {"path": "Mode"}]}]):
        assert mode_before_sleep(other) is None


# --- power ---------------------------------------------------------------------------------


async def test_a_limit_is_a_target_of_the_mode_auto() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        where.machine().settings.mode = "Stock"
        before = config_of(where)
        ear, driver = heard_by(where)
        outcome = await act(where, driver, "limit_power", 2000.7)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert (outcome.after.power_limit_w, outcome.after.mode) == (2000, "auto")
        where.clock.at += 600
        assert watts_of(where) < 2050
        aim = before["mode"]["concorde"] | {"power-target": 2000}
        mode = before["mode"] | {"work-mode-selector": "Auto", "concorde": aim}
        assert ear.heard == [("miner_config", before | {"mode": mode})]


async def test_a_limit_does_not_wake_a_machine_and_holds_when_it_wakes() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        fall_asleep(where, "Fixed")
        outcome = await act(where, driver, "limit_power", 2000.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).state is State.SLEEPING
        fresh = create("mara", where.endpoint(), where.context)
        await act(where, fresh, "resume")
        where.clock.at += 600
        after = await reading_of(fresh)
        assert (after.mode, after.power_limit_w) == ("auto", 2000)
        assert watts_of(where) < 2050


async def test_a_limit_is_forgotten_at_the_next_boot() -> None:
    async with acting(MODEL, NETWORK, Lie.FORGETS) as (where, driver):
        assert (await act(where, driver, "limit_power", 2000.0)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        assert (await reading_of(driver)).power_limit_w == sim.TARGET_W


# --- pools ---------------------------------------------------------------------------------


async def test_pools_are_replaced_and_the_rest_stands() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        before = config_of(where)
        ear, driver = heard_by(where)
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.VERIFIED
        rows = [{"url": p.url, "user": p.user, "pass": p.password, "gid": 0} for p in NEW]
        assert ear.heard == [("miner_config", before | {"pools": rows})]
        assert where.context.memory.get(UNFINISHED) is None


def test_a_configuration_without_groups_gets_none() -> None:
    assert with_pools({"pools": [], "x": 1}, NEW[:1]) == {
        "pools": [{"url": NEW[0].url, "user": NEW[0].user, "pass": "x"}],
        "x": 1,
    }


@pytest.mark.parametrize("action", ["pause", "set_mode", "limit_power", "set_pools"])
async def test_pools_that_a_write_has_lost_are_given_back(action: str) -> None:
    args: dict[str, Any] = {"set_mode": ("fixed",), "limit_power": (2000.0,), "set_pools": (NEW,)}
    async with acting(MODEL, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        old = targets(where.machine().pools)
        outcome = await act(where, driver, action, *args.get(action, ()))
        assert (await reading_of(driver)).pool_targets is None
        assert not (action == "set_pools" and outcome.verdict.good)
        where.site.lie(where.endpoint().address, None)
        fresh: Any = create("mara", where.endpoint(), where.context)
        receipt = await fresh.recover()
        assert receipt is not None
        assert "s3cret" not in repr(receipt)
        wanted = targets(NEW) if action == "set_pools" else old
        assert (await reading_of(fresh)).pool_targets == wanted
        assert where.context.memory.get(UNFINISHED) is None
        assert await fresh.recover() is None


async def test_half_a_configuration_is_not_written_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        whole = config_of(where)
        ear, driver = heard_by(where)
        for half in (whole | {"pools": []}, whole | {"mode": {}}, {}, []):
            monkeypatch.setitem(sim._PAGES, "miner_config", lambda machine, now, half=half: half)
            for action, args in (("pause", ()), ("limit_power", (2000.0,)), ("set_pools", (NEW,))):
                with pytest.raises(Refused, match="nothing was sent"):
                    await getattr(driver, action)(*args)
        assert ear.heard == []
        assert where.context.memory.get(UNFINISHED) is None


STEPS = 12
"""More than any action has."""


@pytest.mark.parametrize("lie", [None, Lie.WIPES_POOLS])
@pytest.mark.parametrize("action", ["pause", "set_pools"])
async def test_killed_at_any_step_it_ends_with_pools(action: str, lie: Lie | None) -> None:
    args = (NEW,) if action == "set_pools" else ()
    for moment in ("request", "answer", "write"):
        for step in range(STEPS):
            async with acting(MODEL, NETWORK, lie) as (where, _):
                old = targets(where.machine().pools)
                ear, driver = heard_by(where)
                kill = _killing(step)
                memory: Any = where.context.memory
                if moment == "write":
                    memory.before_write = kill
                else:
                    setattr(ear, {"request": "before", "answer": "after"}[moment], kill)
                with contextlib.suppress(Killed):
                    await getattr(driver, action)(*args)
                memory.before_write = lambda: None
                where.site.lie(where.endpoint().address, None)
                fresh: Any = create("mara", where.endpoint(), where.context)
                await fresh.recover()
                shown = (await reading_of(fresh)).pool_targets
                assert shown in (old, targets(NEW)), (moment, step)
                assert memory.get(UNFINISHED) is None


def _killing(step: int) -> Callable[[], None]:
    left = [step]

    def kill() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return kill


# --- light ---------------------------------------------------------------------------------


async def test_the_words_of_light_and_maintenance() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await driver.locate(on=True)
        await driver.restart_mining()
        receipt = await driver.reboot()
        assert (receipt.answer, receipt.words) == (Answer.ACCEPTED, "success")
        assert ear.heard == [
            ("locate_miner", {"blinking": True}),
            ("maintenance", {"type": "reload"}),
            ("maintenance", {"type": "reboot"}),
        ]
