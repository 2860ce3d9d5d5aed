"""What is done to machines with LuxOS: its proofs, its sessions, its pools, and being killed."""

import asyncio
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from drivers.actions import Answer
from drivers.api import Driver
from drivers.asic.luxos import orders, sessions
from drivers.capabilities import capabilities
from drivers.errors import DriverError, OutOfRange, Refused, Unreachable
from drivers.model import State
from drivers.sim.dialects.luxos_rows import profile_watts
from drivers.sim.dialects.luxos_settings import HOT_C, is_managed, manage, target_range_w
from drivers.sim.lies import Lie
from tests.wire.acting import WORDS, act, acting, reading_of
from tests.wire.luxos_site import NEW, S19K, S21, Ear, Hanging, driver_of, lower, memory_of
from tests.wire.simsite import OnSite

NETWORK = "127.96.0.0/16"
LOWER = "two steps below the default one"
"""Stands for the name of that profile, which is the machine's own."""
ACTS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = [
    ("pause", (), {}, ()),
    ("resume", (), {}, ()),
    ("restart_mining", (), {}, ()),
    ("reboot", (), {}, ()),
    ("choose_preset", (LOWER,), {}, ("profileset",)),
    ("limit_power", (2600.0,), {}, ("profileset",)),
    ("set_pools", (NEW,), {}, ()),
    ("locate", (), {"on": True}, ()),
    ("set_fan_duty", (80.0,), {}, ()),
    ("set_temp_target", (60.0,), {}, ()),
]
"""Action, what it is told, and the commands that are lied about where not all are."""


def as_any(driver: Driver) -> Any:
    return driver


@pytest.mark.parametrize("lie", WORDS)
@pytest.mark.parametrize(("action", "args", "kwargs", "lied_about"), ACTS, ids=str)
async def test_every_action_comes_to_what_the_machine_does(
    action: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    lied_about: tuple[str, ...],
    lie: Lie | None,
) -> None:
    async with acting(S19K, NETWORK, lie, *lied_about) as (where, driver):
        if action == "resume":
            where.machine().fall_asleep(where.clock.at - 600)
        told = tuple(lower(where) if arg == LOWER else arg for arg in args)
        outcome = await act(where, driver, action, *told, **kwargs)
        assert outcome.verdict is WORDS[lie], outcome.receipt
        assert "s3cret" not in repr(outcome.receipt)
        machine = where.site.at(where.endpoint().address)
        if machine is not None:
            assert machine.pools
            assert is_managed(machine)
            assert machine.sessions == {}


def test_every_action_is_tried_above() -> None:
    assert {action for action, *_ in ACTS} == set(orders.LATENCIES)


async def test_it_can_do_what_its_latencies_say() -> None:
    async with acting(S19K, NETWORK) as (_, driver):
        assert capabilities(driver) == orders.LATENCIES


# --- power ---------------------------------------------------------------------------------


async def test_a_pause_ends_the_draw_and_a_resume_brings_it_back() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        machine = where.machine()
        full_w = machine.at(where.clock.at).power_w
        paused = await act(where, driver, "pause")
        assert (paused.after and paused.after.state, paused.after and paused.after.power_w) == (
            State.SLEEPING,
            0,
        )
        assert machine.at(where.clock.at).power_w < full_w / 50
        again = await act(where, driver, "pause")
        assert again.verdict is Verdict.VERIFIED
        resumed = await act(where, driver, "resume")
        assert resumed.verdict is Verdict.VERIFIED
        where.clock.at += 300
        assert machine.at(where.clock.at).power_w > full_w * 0.9


async def test_the_exact_words_of_a_pause() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        spoken = Ear(where)
        await driver_of(where, wire=spoken).pause()
        token = where.machine().miner_id[:8]
        assert spoken.heard == [
            b'{"command":"logon"}',
            b'{"command":"curtail","parameter":"%s,sleep"}' % token.encode(),
            b'{"command":"logoff","parameter":"%s"}' % token.encode(),
        ]
        assert driver


async def test_a_limit_is_the_highest_profile_below_it() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        machine = where.machine()
        limit_w = profile_watts(machine, -2) + 1.0
        outcome = await act(where, driver, "limit_power", limit_w)
        assert outcome.after is not None
        assert outcome.after.power_limit_w == profile_watts(machine, -2)
        where.clock.at += 5
        assert machine.at(where.clock.at).power_w <= limit_w * 1.05
        assert machine.share == pytest.approx(1 - 2 * 0.045, rel=1e-3)


@pytest.mark.parametrize("watts", [100.0, 9000.0])
async def test_a_limit_outside_the_profiles_is_refused_unsent(watts: float) -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange, match=f"{profile_watts(where.machine(), -4)} to"):
            await as_any(driver).limit_power(watts)
        assert where.asked == ["profiles+config+atm+limits"]


async def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange, match="default"):
            await as_any(driver).choose_preset("turbo")
        assert where.asked == ["profiles+config+atm+limits"]


async def test_a_model_with_power_targets_takes_the_watt_itself() -> None:
    async with acting(S21, NETWORK) as (where, driver):
        machine = where.machine()
        machine.model = msgspec.structs.replace(machine.model, extra={"power_target": True})
        outcome = await act(where, driver, "limit_power", 2345.0)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.after is not None
        assert (outcome.after.power_limit_w, outcome.after.mode) == (2345, "power target")
        assert "atmset" not in where.asked
        with pytest.raises(OutOfRange, match=f"{target_range_w(machine)[0]} to"):
            await as_any(driver).limit_power(10.0)


async def test_a_profile_is_forgotten_with_a_boot_where_the_firmware_forgets() -> None:
    async with acting(S19K, NETWORK, Lie.FORGETS) as (where, driver):
        outcome = await act(where, driver, "choose_preset", lower(where))
        assert outcome.verdict is Verdict.VERIFIED
        await act(where, driver, "reboot")
        assert (await reading_of(driver)).preset == "default"


async def test_thermal_management_that_is_off_stays_off() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        set_managed(where, False)
        where.asked.clear()
        outcome = await act(where, driver, "choose_preset", lower(where))
        assert outcome.verdict is Verdict.VERIFIED
        assert "atmset" not in where.asked
        assert not is_managed(where.machine())


@pytest.mark.parametrize("lie", [Lie.REFUSES, Lie.DEAF])
async def test_thermal_management_that_does_not_go_off_ends_the_change(lie: Lie) -> None:
    async with acting(S19K, NETWORK, lie, "atmset") as (where, driver):
        with pytest.raises(DriverError):
            await as_any(driver).choose_preset(lower(where))
        assert "profileset" not in where.asked
        assert is_managed(where.machine())
        assert where.machine().sessions == {}
        assert memory_of(where).kept == {}


# --- sessions ------------------------------------------------------------------------------


async def test_a_session_of_somebody_else_is_waited_for_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "AGAIN_S", 0.02)
    monkeypatch.setattr(sessions, "WAIT_S", 0.2)
    async with acting(S19K, NETWORK) as (where, driver):
        machine = where.machine()
        machine.sessions["theirs"] = where.clock.at
        where.asked.clear()
        with pytest.raises(Refused, match="another's session") as caught:
            await as_any(driver).pause()
        assert caught.value.code == sessions.BUSY
        assert set(where.asked) == {"logon"}
        assert len(where.asked) > 2
        with pytest.raises(Refused, match="another's session"):
            await as_any(driver).choose_preset(lower(where))
        assert machine.sessions == {"theirs": where.clock.at}
        assert memory_of(where).kept == {}
        asyncio.get_running_loop().call_later(0.05, machine.sessions.clear)
        outcome = await act(where, driver, "pause")
        assert outcome.verdict is Verdict.VERIFIED


async def test_a_session_is_given_back_when_the_action_is_cancelled() -> None:
    async with acting(S19K, NETWORK) as (where, _):
        hung = Hanging(where, b"curtail")
        task = asyncio.create_task(driver_of(where, wire=hung).pause())
        await hung.reached.wait()
        assert where.machine().sessions
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert where.machine().sessions == {}


async def test_a_miner_that_is_away_was_asked_nothing() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.server.faults.set("refuse", address=where.endpoint().address)
        with pytest.raises(Unreachable):
            await as_any(driver).pause()


# --- cooling and light ---------------------------------------------------------------------


async def test_fans_are_handed_back_without_a_proof() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        await act(where, driver, "set_fan_duty", 30.0)
        assert where.machine().settings.fan_percent == 30
        outcome = await act(where, driver, "set_fan_duty", None)
        assert outcome.receipt.answer is Answer.ACCEPTED
        assert outcome.verdict is Verdict.NOT_VERIFIED
        where.clock.at += 3
        assert where.machine().settings.fan_percent is None


@pytest.mark.parametrize(("action", "value"), [("set_fan_duty", 101.0), ("set_temp_target", 66.0)])
async def test_cooling_out_of_range_is_refused_unsent(action: str, value: float) -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        where.asked.clear()
        with pytest.raises(OutOfRange):
            await getattr(driver, action)(value)
        assert set(where.asked) <= {"tempctrl"}
        assert value > HOT_C


async def test_the_light_goes_out_again() -> None:
    async with acting(S19K, NETWORK) as (where, driver):
        await act(where, driver, "locate", on=True)
        outcome = await act(where, driver, "locate", on=False)
        assert outcome.verdict is Verdict.VERIFIED
        assert outcome.before.locating


def set_managed(where: OnSite, on: bool) -> None:
    manage(where.machine(), on)
