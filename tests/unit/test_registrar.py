"""Who stands at an address: confirmed, replaced, moved, doubled or not to be told."""

from __future__ import annotations

import asyncio

import pytest

from agent.config.locations import Location
from agent.fleet.health import OFFLINE_AFTER
from agent.fleet.inventory import Device, Known
from drivers.api import Endpoint
from drivers.errors import DeviceTimeout, Unreachable
from drivers.mock import mock_identity
from drivers.model import State
from drivers.probe import Finding
from tests.fakes import AtAddress, Fleet

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
ONE, TWO = mock_identity(1).id, mock_identity(2).id


@pytest.fixture
async def fleet(monkeypatch) -> Fleet:
    fleet = Fleet(locate=lambda address, _: Location(slot=f"slot of {address}", asset_id="asset-7"))
    monkeypatch.setattr("agent.fleet.registrar.probe", fleet.world.probe)
    return fleet


async def test_what_is_found_is_entered_read_and_polled(fleet):
    async with fleet.running():
        _, device = await fleet.add(A, 1)
        assert fleet.inventory.at(A) is device
        assert fleet.sink.log == [("device.found", ONE), ("settled", ONE), ("reading", ONE)]
        assert (await fleet.reading_of_next_round()).device_id == ONE
        assert fleet.world.probes == [A]  # nothing was in doubt


async def test_nobody_home_is_no_device(fleet):
    assert await fleet.registrar.discover(Endpoint(A)) is None
    assert not fleet.sink.log
    assert len(fleet.inventory) == 0


async def test_a_machine_that_says_who_it_is_but_cannot_be_read_is_no_device_yet(fleet):
    fleet.world.put(A, 1).script.fail_next("read", Unreachable("half up"))
    assert await fleet.registrar.discover(Endpoint(A)) is None
    assert not fleet.sink.log


async def test_a_swap_is_told_and_nothing_is_published_under_the_old_id(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        fleet.world.put(A, 2)
        mark = len(fleet.sink.log)
        await fleet.round(lambda: ("reading", TWO) in fleet.sink.log)
        (replaced,) = fleet.sink.named("device.replaced")
        assert replaced.device_id == TWO
        assert replaced.details == {
            "former_id": ONE,
            "slot": f"slot of {A}",
            "asset_id": "asset-7",
        }
        old = [reading for reading in fleet.sink.readings if reading.device_id == ONE][1:]
        assert [reading.state for reading in old] == [State.UNREACHABLE]
        # The old id leaves the totals after its last word, not before.
        told = fleet.sink.log[mark:]
        assert told.index(("reading", ONE)) < told.index(("gone", ONE))
        assert ("gone", TWO) not in told
        assert (await fleet.reading_of_next_round()).device_id == TWO
        assert fleet.inventory.by_id(ONE) is None


async def test_with_the_web_down_a_reading_is_nobodys_and_later_the_device_unconfirmed(fleet):
    stray = f"asic-at-{A}"
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        fleet.world.web_down.add(A)
        miner.booted_at = fleet.clock.monotonic()  # a reboot, as far as a poll can tell
        for _ in range(2):
            assert (await fleet.reading_of_next_round()).device_id == stray
            assert fleet.inventory.at(A) is device
        assert "device.unconfirmed" not in fleet.sink.names()
        assert ("settled", stray) not in fleet.sink.log
        await fleet.round(lambda: "device.unconfirmed" in fleet.sink.names())
        (event,) = fleet.sink.named("device.unconfirmed")
        assert event.details["former_id"] == ONE
        await fleet.sink.until(lambda: ("settled", stray) in fleet.sink.log)
        assert fleet.inventory.at(A).id == stray
        assert fleet.sink.gone_ids[-1] == ONE


async def test_strays_do_not_stay_in_the_totals(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        fleet.world.web_down.add(A)
        miner.booted_at = fleet.clock.monotonic()
        await fleet.reading_of_next_round()
        fleet.world.web_down.clear()
        assert (await fleet.reading_of_next_round()).device_id == ONE
        strays = [what for what, device_id in fleet.sink.log if device_id == f"asic-at-{A}"]
        assert strays == ["reading", "gone"]


async def test_when_the_web_is_back_the_device_is_identified(fleet):
    async with fleet.running():
        fleet.world.web_down.add(A)
        _, device = await fleet.add(A, 1)
        assert device.identity.provisional
        fleet.world.web_down.clear()
        fleet.clock.advance(400.0)  # over PROVISIONAL_CONFIRM_S
        await fleet.sink.until(lambda: ("reading", ONE) in fleet.sink.log)
        (event,) = fleet.sink.named("device.identified")
        assert event.details["former_id"] == f"asic-at-{A}"
        assert fleet.inventory.by_id(f"asic-at-{A}") is None


async def test_a_swap_behind_a_dead_web_page_is_told_once_the_page_is_back(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        fleet.world.web_down.add(A)
        fleet.world.put(A, 2)
        while "device.unconfirmed" not in fleet.sink.names():
            await fleet.reading_of_next_round()
        fleet.world.web_down.clear()
        fleet.clock.advance(400.0)
        await fleet.sink.until(lambda: ("reading", TWO) in fleet.sink.log)
        assert fleet.sink.named("device.replaced")[0].details["former_id"] == ONE


@pytest.mark.parametrize("error", [DeviceTimeout("slow"), KeyError("a fault of the driver's own")])
async def test_where_the_question_fails_the_reading_is_nobodys(fleet, error):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.booted_at = fleet.clock.monotonic()
        miner.script.fail_always("identify", error)
        for _ in range(4):
            assert (await fleet.reading_of_next_round()).device_id == f"asic-at-{A}"
        assert fleet.inventory.at(A) is device
        miner.script.fail_always("identify", None)
        assert (await fleet.reading_of_next_round()).device_id == ONE


async def test_two_live_machines_with_one_mac_never_share_a_history(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        _, second = await fleet.add(B, 1)
        assert second.id == f"asic-at-{B}"
        (event,) = fleet.sink.named("device.duplicate")
        assert event.details["claimed_id"] == ONE
        assert A in event.message
        for _ in range(3):
            count = len(fleet.sink.readings)
            await fleet.round(lambda count=count: len(fleet.sink.readings) >= count + 2)
        assert fleet.inventory.by_id(ONE).address == A
        assert {r.device_id for r in fleet.sink.readings} == {ONE, f"asic-at-{B}"}
        fleet.clock.advance(400.0)  # asked again, told once
        await fleet.sink.until(lambda: fleet.world.probes.count(B) >= 2)
        assert len(fleet.sink.named("device.duplicate")) == 1


async def test_a_machine_that_moved_keeps_its_id(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        fleet.world.miners[B] = fleet.world.miners.pop(A)
        device = await fleet.find(B)
        assert device.id == ONE
        (event,) = fleet.sink.named("device.moved")
        assert event.details["former_address"] == A
        assert fleet.inventory.at(A) is None
        assert not fleet.sink.gone_ids
        assert (await fleet.reading_of_next_round()).device_id == ONE


async def test_where_the_former_place_does_not_answer_it_has_moved(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        fleet.world.miners[B] = miner
        del fleet.world.miners[A]
        assert (await fleet.find(B)).id == ONE
        assert not fleet.sink.named("device.duplicate")


async def test_where_another_one_answers_at_the_former_place_it_has_moved(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        fleet.world.put(A, 2)
        fleet.world.miners[B] = miner
        assert (await fleet.find(B)).id == ONE
        assert not fleet.sink.named("device.duplicate")


async def test_who_is_offline_is_not_asked_whether_it_still_stands_there(fleet):
    async with fleet.running():
        _, device = await fleet.add(A, 1)
        for _ in range(OFFLINE_AFTER):
            device.health.failed()
        fleet.world.put(B, 1)
        assert (await fleet.find(B)).id == ONE
        assert fleet.world.probes[:2] == [A, B]


async def test_a_place_that_was_left_is_looked_at_again(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        await fleet.add(B, 2)
        miners = fleet.world.miners
        miners[A], miners[B] = miners[B], miners[A]
        await fleet.round(lambda: fleet.sink.names().count("device.moved") == 2)
        assert {fleet.inventory.at(A).id, fleet.inventory.at(B).id} == {ONE, TWO}


async def test_a_known_machine_in_the_place_of_another_is_moved_and_replaced(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        await fleet.add(B, 2)
        fleet.world.miners[A] = fleet.world.miners.pop(B)
        await fleet.round(lambda: "device.moved" in fleet.sink.names())
        assert "device.replaced" in fleet.sink.names()
        await fleet.sink.until(lambda: ONE in fleet.sink.gone_ids)
        assert fleet.inventory.at(A).id == TWO
        assert fleet.inventory.at(B) is None


async def test_a_confirmation_that_waited_long_does_not_raise_the_next_doubt(fleet):
    """The baseline is that of the reading, however late its turn to be confirmed came."""
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        gate = miner.script.hold("identify")
        miner.booted_at = fleet.clock.monotonic()
        fleet.clock.advance(fleet.interval_s)
        await gate.reached.wait()
        fleet.clock.advance(3 * fleet.interval_s)
        count = len(fleet.sink.readings)
        gate.open()
        await fleet.sink.until(lambda: len(fleet.sink.readings) > count)
        asked = len(fleet.world.probes)
        for _ in range(3):
            await fleet.reading_of_next_round()
        assert len(fleet.world.probes) == asked


async def test_confirming_leaves_alone_who_is_being_read(fleet):
    """One connection at a time, also for the question whether it still stands elsewhere."""
    async with fleet.running():
        _, device = await fleet.add(A, 1)
        fleet.world.put(B, 1)
        async with device.turn:
            asking = asyncio.create_task(fleet.registrar.discover(Endpoint(B)))
            while B not in fleet.world.probes:
                await asyncio.sleep(0)
            assert fleet.world.probes.count(A) == 1
        await asking
        assert fleet.world.probes.count(A) == 2


# --- what a former run left -------------------------------------------------------------------


def restore(fleet: Fleet, address: str, number: int) -> Device:
    """Place a device as the app does at its start, without asking it."""
    driver = AtAddress(fleet.world, address)
    identity = mock_identity(number)
    known = Known(identity, address, 5.0, "mock")
    fleet.inventory.remember(known)
    finding = Finding(Endpoint(address), "mock", driver, identity, ("known",))
    device = fleet.inventory.restore(finding, known.since)
    fleet.poller.add(device)
    return device


async def test_a_restored_device_is_confirmed_before_its_first_reading(fleet):
    device = restore(fleet, A, 1)
    fleet.world.put(A, 1)
    async with fleet.running():
        assert (await fleet.reading_of_next_round()).device_id == ONE
        assert fleet.world.probes == [A]
        assert not fleet.sink.events
        assert fleet.inventory.at(A) is device
        await fleet.reading_of_next_round()
        assert fleet.world.probes == [A]


async def test_a_swap_while_the_agent_was_down_is_told(fleet):
    restore(fleet, A, 1)
    fleet.world.put(A, 2)
    async with fleet.running():
        await fleet.round(lambda: ("reading", TWO) in fleet.sink.log)
        assert fleet.sink.named("device.replaced")[0].details["former_id"] == ONE
        states = [r.state for r in fleet.sink.readings if r.device_id == ONE]
        assert states == [State.UNREACHABLE]


async def test_a_move_while_the_agent_was_down_is_told_by_whoever_looks_there_first(fleet):
    restore(fleet, A, 1)
    fleet.world.put(B, 1)
    async with fleet.running():
        assert (await fleet.find(B)).id == ONE
        assert fleet.sink.named("device.moved")[0].details == {"former_address": A}
        assert fleet.inventory.at(A) is None


async def test_a_machine_that_died_while_the_agent_was_down_is_missed(fleet):
    restore(fleet, A, 1)
    async with fleet.running():
        async with asyncio.timeout(10):
            while not fleet.sink.named("device.offline"):
                fleet.clock.advance(fleet.interval_s)
                await asyncio.sleep(0.015)
        assert fleet.sink.readings[0].state is State.UNREACHABLE
        assert fleet.sink.ids()[0] == ONE


async def test_who_was_just_told_something_is_asked_by_the_driver_that_told_it(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        device.acted_at = fleet.clock.monotonic()
        miner.booted_at = fleet.clock.monotonic()  # it started anew, as it was told
        assert (await fleet.reading_of_next_round()).device_id == ONE
        assert fleet.world.probes == [A]  # at discovery alone
        assert fleet.inventory.at(A) is device


async def test_another_machine_where_something_was_told_is_looked_at_from_the_start(fleet):
    async with fleet.running():
        _, device = await fleet.add(A, 1)
        device.acted_at = fleet.clock.monotonic()
        fleet.world.put(A, 2)
        await fleet.round(lambda: TWO in fleet.sink.ids())
        assert fleet.world.probes == [A, A]
