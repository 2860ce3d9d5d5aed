"""What is done to machines with ePIC's firmware: its proofs, passwords, pools, tuner and fans."""

from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, WebReply
from drivers.asic.epic import orders
from drivers.asic.epic.tuner import tuner_of
from drivers.capabilities import PoolSetting, capabilities
from drivers.errors import OutOfRange, Refused
from drivers.model import State, pool_target
from drivers.registry import create
from drivers.sim.dialects import epic as sim
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, act, acting, reading_of
from tests.wire.simsite import OnSite

MODEL = "Antminer S19j Pro (ePIC)"
NETWORK = "127.99.0.0/16"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)
ACTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("pause", (), {}),
    ("resume", (), {}),
    ("restart_mining", (), {}),
    ("reboot", (), {}),
    ("throttle", (60.0,), {}),
    ("set_pools", (NEW,), {}),
    ("locate", (), {"on": True}),
    ("set_fan_duty", (90.0,), {}),
    ("set_temp_target", (55.0,), {}),
]


def machine_of(where: OnSite) -> Any:
    """The machine itself, even while it is booting."""
    return where.site._machines[where.endpoint().address]


def watts_of(where: OnSite) -> float:
    return float(where.machine().at(where.clock.at).power_w)


def summary_of(where: OnSite) -> dict[str, Any]:
    machine = where.machine()
    return sim.summary(machine, machine.at(where.clock.at))


class Ear:
    """A `Web` that notes what is told."""

    def __init__(self, web: Any) -> None:
        self._web = web
        self.heard: list[tuple[str, Any]] = []

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        if method == "POST":
            path = "/" + url.partition("://")[2].partition("/")[2]
            self.heard.append((path, msgspec.json.decode(values["body"])))
        reply: WebReply = await self._web.request(method, url, **values)
        return reply

    def params(self) -> list[tuple[str, Any]]:
        return [(path, body["param"]) for path, body in self.heard]


def heard_by(where: OnSite, **values: Any) -> tuple[Ear, Any]:
    ear = Ear(where.context.web)
    context = msgspec.structs.replace(where.context, web=ear, **values)
    return ear, create("epic", where.endpoint(), context)


# --- every action, every habit -------------------------------------------------------------


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
        for secret in ("s3cret", "letmein"):
            assert secret not in repr(outcome.receipt)
        assert machine_of(where).pools


def test_every_action_is_tried_above() -> None:
    assert {action for action, *_ in ACTS} == set(orders.TUNING)


async def test_what_it_can_do_goes_by_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(page: Any, key: str) -> Any:
        return lambda machine, now: {k: v for k, v in page(machine, now).items() if k != key}

    async with acting(MODEL, NETWORK) as (_, driver):
        assert capabilities(driver) == orders.TUNING
        monkeypatch.setitem(sim._PAGES, "/capabilities", without(sim.capabilities, "PerpetualTune"))
        await driver.identify()
        assert capabilities(driver) == orders.PLAIN
        monkeypatch.setitem(sim._PAGES, "/summary", without(sim.summary, "StratumConfigs"))
        await driver.identify()
        assert capabilities(driver) == orders.OLD
        with pytest.raises(Refused, match="nothing was sent"):
            await driver.set_pools(NEW)  # type: ignore[attr-defined]


# --- passwords -----------------------------------------------------------------------------


async def test_the_operators_password_comes_first_and_logins_are_noted() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        noted: list[bool] = []
        ear, driver = heard_by(where, note_login=lambda endpoint, factory: noted.append(factory))
        await driver.locate(on=True)
        where.machine().credential = ("", "s3cret")
        where.known = (Credential("any", "s3cret"),)
        await driver.locate(on=False)
        assert [body["password"] for _, body in ear.heard] == ["letmein", "s3cret"]
        assert noted == [True, False]


async def test_a_password_that_nobody_knows_is_a_refusal() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        where.machine().credential = ("", "unknown to us")
        where.known = (Credential("any", "s3cret"),)
        outcome = await act(where, driver, "pause")
        assert outcome.verdict is Verdict.REFUSED
        assert outcome.receipt.words == "Incorrect password"


# --- power ---------------------------------------------------------------------------------


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        full_w = watts_of(where)
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert watts_of(where) < full_w / 50
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 400
        assert watts_of(where) > full_w * 0.9


async def test_a_throttle_is_a_target_of_the_tuner() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await driver.identify()
        full_w = watts_of(where)
        outcome = await act(where, driver, "throttle", 60.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.throttle_percent == round(100 * 62 / 104, 1)
        assert watts_of(where) < full_w * 0.65
        assert (await act(where, driver, "throttle", 100.0)).verdict is Verdict.VERIFIED
        assert watts_of(where) > full_w * 0.9
        told = {"algo": "VoltageOptimizer", "throttle_step": 5, "min_throttle": 50}
        targets = [told | {"target": 62}, told | {"target": ear.heard[-1][1]["param"]["target"]}]
        assert ear.params() == [("/perpetualtune/algo", param) for param in targets]


async def test_the_end_of_a_throttle_is_what_stood_there_before() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        machine = where.machine()
        machine.settings.percent = 100 * 130 / round(machine.full_ghs / 1000)
        await act(where, driver, "throttle", 50.0)
        fresh = create("epic", where.endpoint(), where.context)
        await fresh.identify()
        outcome = await act(where, fresh, "throttle", 100.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert summary_of(where)["PerpetualTune"]["Algorithm"]["VoltageOptimizer"]["Target"] == 130
        assert where.context.memory.get(orders.FULL_TARGET) is None


async def test_what_the_tuner_does_not_take() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for percent in (38.0, 101.0):
            with pytest.raises(OutOfRange):
                await driver.throttle(percent)
        where.machine().fall_asleep(where.clock.at)
        with pytest.raises(Refused, match="no tuner"):
            await driver.throttle(50.0)
        assert ear.heard == []


def test_a_tuner_that_holds_no_rate_is_none() -> None:
    def tuner(**figures: Any) -> Any:
        running = {"Running": True, "Algorithm": {"BoardTune": figures}}
        return tuner_of({"PerpetualTune": running}, {"Default Hashrate": 100})

    found = tuner(Target=80, Unit="TH/s")
    assert (found.range_percent, found.throttling(70)) == ((None, 100.0), {})
    assert tuner(Target=3000, Unit="W") is None
    assert tuner(Unit="TH/s") is None
    assert tuner_of({}, None) is None
    figures = {"Target": 80, "Unit": "TH/s", "Min Throttle Target": 50, "Throttle Step": 5}
    assert tuner(**figures).throttling(40) == {"min_throttle": 40, "throttle_step": 5}


# --- pools ---------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", [False, True])
async def test_pools_are_replaced_with_coin_and_marks_as_they_were(*, marks: bool) -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        machine = where.machine()
        extra = {**machine.model.extra, "marks_workers": marks}
        machine.model = msgspec.structs.replace(machine.model, extra=extra)
        ear, driver = heard_by(where)
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.VERIFIED
        rows = [{"pool": p.url, "login": p.user, "password": p.password} for p in NEW]
        param = {"coin": "BTC", "stratum_configs": rows, "unique_id": marks}
        assert ear.params() == [("/coin", param)]
        assert outcome.after is not None
        mark = f"-{machine.index}x7" if marks else ""
        assert outcome.after.pool_targets == (
            pool_target(NEW[0].url, NEW[0].user + mark),
            pool_target(NEW[1].url, NEW[1].user),
        )


async def test_pools_that_are_lost_show() -> None:
    async with acting(MODEL, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, "set_pools", NEW)
        assert not outcome.verdict.good
        assert (await reading_of(driver)).pool_targets is None


async def test_more_pools_than_it_takes() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for pools in ((), (NEW[0],) * 4):
            with pytest.raises(OutOfRange, match="1 to 3 pools"):
                await driver.set_pools(pools)
        assert ear.heard == []


async def test_settings_are_forgotten_at_the_next_boot() -> None:
    async with acting(MODEL, NETWORK, Lie.FORGETS) as (where, driver):
        before = await reading_of(driver)
        assert (await act(where, driver, "set_pools", NEW)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "set_temp_target", 50.0)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        after = await reading_of(driver)
        assert (after.pool_targets, after.temp_target_c) == (before.pool_targets, 60)


# --- cooling and the exact words -----------------------------------------------------------


async def test_fans_are_fixed_and_given_back_as_they_were() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await act(where, driver, "set_temp_target", 55.0)
        fixed = await act(where, driver, "set_fan_duty", 90.0)
        assert fixed.after is not None
        assert (fixed.after.fan_duty_percent, fixed.after.temp_target_c) == (90, None)
        fresh = create("epic", where.endpoint(), where.context)  # after a restart of the agent
        await fresh.identify()
        freed = await act(where, fresh, "set_fan_duty", None)
        assert freed.verdict is Verdict.VERIFIED
        assert freed.after is not None
        assert freed.after.temp_target_c == 55
        auto = {"Target Temperature": 55, "Idle Speed": 20}
        assert ear.params() == [("/fanspeed", {"Auto": auto}), ("/fanspeed", "90")]


async def test_a_duty_that_the_machine_raises_is_no_success() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        outcome = await act(where, driver, "set_fan_duty", 5.0)
        assert outcome.verdict is Verdict.CONTRADICTED


async def test_fans_that_somebody_else_has_fixed_need_a_target() -> None:
    async with acting(MODEL, NETWORK) as (where, driver):
        where.machine().settings.fan_percent = 100.0
        with pytest.raises(Refused, match="set one"):
            await driver.set_fan_duty(None)  # type: ignore[attr-defined]


async def test_cooling_outside_of_what_the_machine_takes() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for action, value in (
            ("set_fan_duty", 0.0),
            ("set_fan_duty", 101.0),
            ("set_temp_target", 86.0),
        ):
            with pytest.raises(OutOfRange):
                await getattr(driver, action)(value)
        assert ear.heard == []


async def test_the_exact_words() -> None:
    async with acting(MODEL, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        receipt = await driver.pause()
        assert (receipt.answer, receipt.words) == (Answer.ACCEPTED, "accepted")
        await driver.resume()
        await driver.restart_mining()
        await driver.locate(on=True)
        await driver.reboot()
        assert ear.heard == [
            ("/miner", {"param": "Stop", "password": "letmein"}),
            ("/miner", {"param": "Autostart", "password": "letmein"}),
            ("/softreboot", {"param": 0, "password": "letmein"}),
            ("/identify", {"param": True, "password": "letmein"}),
            ("/reboot", {"param": 0, "password": "letmein"}),
        ]
