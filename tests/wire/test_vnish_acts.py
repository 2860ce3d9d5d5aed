"""What is done to machines with VNish: its proofs, the forms of its token, presets, restarts."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Credential, Driver, WebReply
from drivers.asic.vnish import orders
from drivers.capabilities import PoolSetting, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused
from drivers.model import MinerReading, State, pool_target
from drivers.registry import create
from drivers.sim.dialects.vnish_settings import is_pending, presets
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, Killed, act, acting, reading_of
from tests.wire.simsite import OnSite

S19J = "Antminer S19j Pro (Vnish 1.2.6)"
S19XP = "Antminer S19 XP (Vnish 1.2.0-rc1)"
NETWORK = "127.97.0.0/16"
API = "/api/v1/"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)
ACTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("pause", (), {}),
    ("resume", (), {}),
    ("restart_mining", (), {}),
    ("reboot", (), {}),
    ("throttle", (50.0,), {}),
    ("limit_power", (2600.0,), {}),
    ("choose_preset", ("2800",), {}),
    ("set_pools", (NEW,), {}),
    ("locate", (), {"on": True}),
    ("set_fan_duty", (80.0,), {}),
    ("set_temp_target", (60.0,), {}),
    ("set_hostname", ("shelf-4",), {}),
]
PROVED = frozenset(orders.THROTTLED) - {"factory_reset"}


def machine_of(where: OnSite) -> Any:
    """The machine itself, even while it is booting."""
    return where.site._machines[where.endpoint().address]


def watts_of(where: OnSite) -> float:
    return float(where.machine().at(where.clock.at).power_w)


def preset_of(reading: MinerReading) -> str | None:
    return reading.preset


async def newest(where: OnSite) -> Driver:
    """The driver of a machine that was brought to 1.3.3, which can be throttled."""
    machine = where.machine()
    machine.model = msgspec.structs.replace(machine.model, firmware="1.3.3")
    driver = create("vnish", where.endpoint(), where.context)
    await driver.identify()
    return driver


class Ear:
    """A `Web` that notes what is written, and can kill the process around it."""

    def __init__(self, web: Any) -> None:
        self._web = web
        self.heard: list[tuple[str, Any, str]] = []
        self.before: Callable[[str], None] = lambda path: None
        self.after: Callable[[str], None] = lambda path: None

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        path = url.partition(API)[2]
        writes = method == "POST" and path not in ("unlock", "lock")
        if writes:
            headers: Mapping[str, str] = values.get("headers") or {}
            body = values.get("body")
            told = msgspec.json.decode(body) if body else None
            self.heard.append((path, told, headers.get("Authorization", "")))
            self.before(path)
        reply: WebReply = await self._web.request(method, url, **values)
        if writes:
            self.after(path)
        return reply


def heard_by(where: OnSite) -> tuple[Ear, Driver]:
    ear = Ear(where.context.web)
    context = msgspec.structs.replace(where.context, web=ear)
    return ear, create("vnish", where.endpoint(), context)


# --- every action, every habit -------------------------------------------------------------


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("action", "args", "kwargs"), ACTS, ids=str)
async def test_every_action_comes_to_what_the_machine_does(
    action: str, args: tuple[Any, ...], kwargs: dict[str, Any], lie: Lie | None
) -> None:
    async with acting(S19J, NETWORK, lie) as (where, _):
        driver = await newest(where)
        if action == "resume":
            where.machine().fall_asleep(where.clock.at - 600)
        outcome = await act(where, driver, action, *args, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "s3cret" not in repr(outcome.receipt)
        assert machine_of(where).pools
        await driver.close()
        assert machine_of(where).sessions == {}


def test_every_action_is_tried_above() -> None:
    assert {action for action, *_ in ACTS} == PROVED


async def test_a_build_before_1_3_3_is_not_throttled() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        assert capabilities(driver) == orders.UNTHROTTLED
        assert capabilities(await newest(where)) == orders.THROTTLED


async def test_a_factory_reset_claims_nothing() -> None:
    async with acting(S19J, NETWORK) as (_, driver):
        receipt = await driver.factory_reset()  # type: ignore[attr-defined]
        assert (receipt.answer, receipt.expectation) == (Answer.ACCEPTED, None)


@pytest.mark.parametrize("action", ["pause", "limit_power", "reboot", "set_pools"])
async def test_a_machine_whose_token_goes_bare(action: str) -> None:
    args = {"limit_power": (2600.0,), "set_pools": (NEW,)}.get(action, ())
    async with acting(S19XP, NETWORK) as (where, driver):
        outcome = await act(where, driver, action, *args)
        assert outcome.verdict is Verdict.VERIFIED, outcome.receipt


async def test_the_form_of_the_token_for_the_system() -> None:
    async with acting(S19XP, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await driver.reboot()  # type: ignore[attr-defined]
    forms = [form.startswith("Bearer ") for path, _, form in ear.heard if path == "system/reboot"]
    assert forms == [False, True]


async def test_without_the_password_nothing_is_sent() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        where.machine().credential = ("", "unknown to us")
        del where.asked[:]
        for action, args in (("pause", ()), ("limit_power", (2600.0,)), ("reboot", ())):
            with pytest.raises(AccessDenied):
                await getattr(driver, action)(*args)
        assert not {"/api/v1/mining/stop", "/api/v1/system/reboot"} & set(where.asked)
        assert where.machine().settings.mode is None


async def test_the_operators_password_comes_first() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        where.machine().credential = ("", "s3cret")
        where.known = (Credential("any", "s3cret"),)
        assert (await act(where, driver, "pause")).verdict is Verdict.VERIFIED
        assert "s3cret" not in repr(driver)


# --- power ---------------------------------------------------------------------------------


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        full_w = watts_of(where)
        paused = await act(where, driver, "pause")
        assert paused.after is not None
        assert paused.after.state is State.SLEEPING
        assert watts_of(where) < full_w / 50
        again = await act(where, driver, "pause")
        assert (again.receipt.answer, again.verdict) == (Answer.REFUSED, Verdict.VERIFIED)
        assert "failed-to-activate-pause-mode" in again.receipt.words
        assert (await act(where, driver, "resume")).verdict is Verdict.VERIFIED
        where.clock.at += 300
        assert watts_of(where) > full_w * 0.9


async def test_a_throttle_takes_effect_without_a_restart() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        driver, full_w = await newest(where), watts_of(where)
        before = await reading_of(driver)
        outcome = await act(where, driver, "throttle", 40.0)
        assert outcome.after is not None
        assert (outcome.after.throttle_percent, before.throttle_percent) == (40, 100)
        assert watts_of(where) < full_w / 2
        assert outcome.after.uptime_s is not None
        assert outcome.after.uptime_s > (before.uptime_s or 0)
        await act(where, driver, "throttle", 100.0)
        assert watts_of(where) > full_w * 0.95
        del where.asked[:]
        for percent in (19.0, 101.0):
            with pytest.raises(OutOfRange):
                await driver.throttle(percent)  # type: ignore[attr-defined]
        assert where.asked == []


async def test_a_limit_is_the_highest_tuned_preset_below_it() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        full_w = watts_of(where)
        names = [row["name"] for row in presets(where.machine()) if row["status"] == "tuned"]
        assert names == ["2400", "2800", "3000"]
        outcome = await act(where, driver, "limit_power", 2799.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert (outcome.after.preset, outcome.after.power_limit_w) == ("2400", 2400)
        assert "preset 2400 is tuned" in outcome.receipt.words
        assert "mining starts anew" in outcome.receipt.words
        where.clock.at += 600
        assert watts_of(where) < min(full_w * 0.85, 2500)


async def test_a_limit_is_written_with_everything_beside_the_preset() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await reading_of(driver)
        page = await driver._page("settings", driver._deadline())  # type: ignore[attr-defined]
        await driver.limit_power(2900.0)  # type: ignore[attr-defined]
        overclock = page["miner"]["overclock"]
        switcher = {**overclock["preset_switcher"], "top_preset": "2800"}
        written = {**overclock, "preset": "2800", "preset_switcher": switcher}
        assert [(path, told) for path, told, _ in ear.heard] == [
            ("settings", {"miner": {"overclock": written}}),
            ("mining/restart", None),
        ]


async def test_presets_that_are_not_there_and_limits_outside_send_nothing() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        with pytest.raises(OutOfRange, match="disabled, 2400, 2600"):
            await driver.choose_preset("2801")  # type: ignore[attr-defined]
        with pytest.raises(OutOfRange):  # it wants another power supply
            await driver.choose_preset("3600")  # type: ignore[attr-defined]
        for limit_w in (2399.0, 3401.0):
            with pytest.raises(OutOfRange, match="2400 to 3400 W"):
                await driver.limit_power(limit_w)  # type: ignore[attr-defined]
        assert ear.heard == []


async def test_a_preset_that_is_not_tuned_is_said_to_be_so() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        outcome = await act(where, driver, "choose_preset", "2600")
        assert outcome.verdict is Verdict.VERIFIED
        assert "not tuned: the machine tunes it first" in outcome.receipt.words


async def test_a_preset_does_not_wake_a_machine_that_sleeps() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        where.machine().fall_asleep(where.clock.at - 600)
        receipt = await driver.choose_preset("2400")  # type: ignore[attr-defined]
        assert "when mining starts" in receipt.words
        where.clock.at += 60
        assert (await reading_of(driver)).state is State.SLEEPING
        await act(where, driver, "resume")
        assert (await reading_of(driver)).power_limit_w == 2400


async def test_settings_that_are_refused_start_nothing_anew() -> None:
    async with acting(S19J, NETWORK, Lie.REFUSES) as (where, _):
        ear, driver = heard_by(where)
        receipt = await driver.limit_power(2600.0)  # type: ignore[attr-defined]
        assert receipt.answer is Answer.REFUSED
        assert [path for path, *_ in ear.heard] == ["settings"]


async def test_a_preset_is_forgotten_at_the_next_boot() -> None:
    async with acting(S19J, NETWORK, Lie.FORGETS) as (where, driver):
        before = await reading_of(driver)
        outcome = await act(where, driver, "limit_power", 2400.0)
        assert outcome.verdict is Verdict.VERIFIED
        where.clock.at += 3600
        assert (await act(where, driver, "reboot")).verdict is Verdict.VERIFIED
        after = await reading_of(driver)
        assert (after.preset, after.power_limit_w) == (before.preset, before.power_limit_w)


# --- pools ---------------------------------------------------------------------------------


async def test_pools_are_replaced_with_their_passwords() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert outcome.after.pool_targets == tuple(pool_target(p.url, p.user) for p in NEW)
        rows = [{"url": p.url, "user": p.user, "pass": p.password} for p in NEW]
        empty = {"url": "", "user": "", "pass": ""}
        assert [told for _, told, _ in ear.heard] == [{"miner": {"pools": [*rows, empty]}}]
        assert [pool.password for pool in where.machine().pools] == ["x", "s3cret"]


async def test_more_pools_than_it_has_slots() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for pools in ((), (NEW[0],) * 4):
            with pytest.raises(OutOfRange, match="1 to 3 pools"):
                await driver.set_pools(pools)  # type: ignore[attr-defined]
        assert ear.heard == []


@pytest.mark.parametrize(("action", "args"), [("set_pools", (NEW,)), ("limit_power", (2600.0,))])
async def test_a_write_that_loses_the_pools_shows(action: str, args: tuple[Any, ...]) -> None:
    async with acting(S19J, NETWORK, Lie.WIPES_POOLS) as (where, driver):
        outcome = await act(where, driver, action, *args)
        assert (await reading_of(driver)).pool_targets is None
        if action == "set_pools":
            assert not outcome.verdict.good


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(2))
async def test_killed_at_a_step_its_settings_are_used_in_the_end(moment: str, step: int) -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        machine, was = where.machine(), preset_of(await reading_of(driver))

        def kill(path: str) -> None:
            if len(ear.heard) == step + 1:
                raise Killed

        setattr(ear, moment, kill)
        with pytest.raises(Killed):
            await driver.limit_power(2400.0)  # type: ignore[attr-defined]
        ear.before = ear.after = lambda path: None
        assert len(machine.pools) == 3
        fresh = create("vnish", where.endpoint(), where.context)
        del ear.heard[:]
        receipt = await fresh.recover()  # type: ignore[attr-defined]
        assert receipt.answer is Answer.ACCEPTED
        where.clock.at += 120
        shown = preset_of(await reading_of(fresh))
        assert not is_pending(machine)
        assert (shown == was) is ((step, moment) == (0, "before"))
        assert await fresh.recover() is None  # type: ignore[attr-defined]


async def test_a_restart_that_others_left_pending_is_left_to_them() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        machine = where.machine()
        machine.settings.mode = str(presets(machine)[-1]["name"])
        assert is_pending(machine)
        ear, driver = heard_by(where)

        def kill(path: str) -> None:
            raise Killed

        ear.before = kill
        with pytest.raises(Killed):
            await driver.set_pools(NEW)  # type: ignore[attr-defined]
        ear.before = lambda path: None
        await driver.recover()  # type: ignore[attr-defined]
        assert [path for path, _, _ in ear.heard] == ["settings"]


# --- cooling, light, name ------------------------------------------------------------------


async def test_fans_are_fixed_and_given_back_with_their_target() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        await act(where, driver, "set_temp_target", 70.0)
        fixed = await act(where, driver, "set_fan_duty", 90.0)
        assert fixed.after is not None
        assert (fixed.after.fan_duty_percent, fixed.after.temp_target_c) == (90, None)
        fresh = create("vnish", where.endpoint(), where.context)  # after a restart of the agent
        freed = await act(where, fresh, "set_fan_duty", None)
        assert freed.verdict is Verdict.VERIFIED
        assert freed.after is not None
        assert freed.after.temp_target_c == 70
        assert where.machine().settings.fan_percent is None


async def test_fans_that_somebody_else_has_fixed_need_a_target() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        where.machine().settings.fan_percent = 100.0
        with pytest.raises(Refused, match="set one"):
            await driver.set_fan_duty(None)  # type: ignore[attr-defined]


async def test_cooling_outside_of_what_the_machine_takes() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        for action, value in (
            ("set_fan_duty", 9.0),
            ("set_fan_duty", 101.0),
            ("set_temp_target", 19.0),
            ("set_temp_target", 91.0),
        ):
            with pytest.raises(OutOfRange):
                await getattr(driver, action)(value)
        assert ear.heard == []


async def test_a_light_that_is_on_is_not_switched_off_by_switching_it_on() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "locate", on=True)).verdict is Verdict.VERIFIED
        assert (await act(where, driver, "locate", on=False)).verdict is Verdict.VERIFIED
        assert [told for _, told, _ in ear.heard] == [{"on": True}, {"on": False}]


async def test_the_name_alone_is_changed() -> None:
    async with acting(S19J, NETWORK) as (where, _):
        ear, driver = heard_by(where)
        await driver.set_hostname("shelf-4")  # type: ignore[attr-defined]
        network = {"hostname": "shelf-4", "dhcp": True, "ipaddress": where.endpoint().address}
        assert [told for _, told, _ in ear.heard] == [{"network": network}]
