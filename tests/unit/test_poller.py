"""Reading devices in their turn, with drivers that fail in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from agent.fleet.health import Health
from agent.fleet.poller import TICK_S
from agent.fleet.precedence import MANY
from drivers.errors import DeviceTimeout, NoResources, Refused, Unreachable
from drivers.mock import mock_identity
from drivers.model import Fault, State
from tests.fakes import Fleet

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.1.1"
ONE, TWO, THREE = (mock_identity(number).id for number in (1, 2, 3))


@pytest.fixture
async def new_fleet(monkeypatch) -> Callable[..., Fleet]:
    def new(**polling: float) -> Fleet:
        fleet = Fleet(**polling)
        monkeypatch.setattr("agent.fleet.registrar.probe", fleet.world.probe)
        return fleet

    return new


@pytest.fixture
async def fleet(new_fleet) -> Fleet:
    return new_fleet()


async def rounds(fleet: Fleet, miner, count: int) -> None:
    """Let a miner be asked so often; backed-off polls come as soon as the clock allows."""
    for _ in range(count):
        wanted = miner.reads + 1
        while miner.reads < wanted:
            miner.read_done.clear()
            fleet.clock.advance(fleet.interval_s)
            await asyncio.wait_for(_until_read(miner, wanted), 10)
        await asyncio.sleep(0)


async def _until_read(miner, wanted: int) -> None:
    try:
        async with asyncio.timeout(0.03):  # a round without a poll of this one
            await miner.read_done.wait()
    except TimeoutError:
        pass


async def test_every_device_is_read_once_an_interval(fleet):
    async with fleet.running():
        for number, address in enumerate((A, B, C), 1):
            await fleet.add(address, number)
        for round_number in range(2, 6):
            await fleet.round(lambda wanted=3 * round_number: len(fleet.sink.readings) >= wanted)
            assert sorted(fleet.sink.ids()) == sorted([ONE, TWO, THREE] * round_number)
        assert fleet.poller.total.outcomes == {"ok": 12}
        assert fleet.poller.total.lateness.count == 12


async def test_the_id_is_always_the_inventorys(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        miner.show(device_id="asic-somebody-else")
        assert (await fleet.reading_of_next_round()).device_id == ONE
        assert set(fleet.sink.ids()) == {ONE}


async def test_a_hanging_device_delays_nobody_though_all_workers_were_few(new_fleet):
    fleet = new_fleet(concurrency=1, suspect_concurrency=1)
    async with fleet.running():
        bad, _ = await fleet.add(A, 1)
        await fleet.add(B, 2)
        bad.script.fail_next("read", Unreachable("gone"))
        await rounds(fleet, bad, 1)
        gate = bad.script.hold("read")
        await rounds(fleet, bad, 1)
        await gate.reached.wait()
        before = fleet.sink.ids().count(TWO)
        for more in range(1, 4):
            await fleet.round(lambda more=more: fleet.sink.ids().count(TWO) >= before + more)
        assert fleet.poller.busy == 1
        gate.open()


async def test_a_device_in_backoff_does_not_delay_its_subnet(fleet):
    """Its next deadline lies minutes ahead; its neighbours' do not."""
    async with fleet.running():
        bad, device = await fleet.add(A, 1)
        await fleet.add(B, 2)
        bad.crash = Unreachable("gone")
        await rounds(fleet, bad, 4)
        assert device.health.state is Health.OFFLINE
        for _ in range(5):
            before = fleet.sink.ids().count(TWO)
            await fleet.round(lambda before=before: fleet.sink.ids().count(TWO) > before)


async def test_offline_is_told_once_and_every_silent_poll_says_unreachable(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.crash = DeviceTimeout("no answer")
        await rounds(fleet, miner, 2)
        assert device.health.state is Health.DEGRADED
        assert State.UNREACHABLE not in {reading.state for reading in fleet.sink.readings}
        await rounds(fleet, miner, 3)
        await fleet.sink.until(
            lambda: [r.state for r in fleet.sink.readings].count(State.UNREACHABLE) == 3
        )
        (event,) = fleet.sink.named("device.offline")
        assert (event.message, event.details) == ("no answer", {"error": "DeviceTimeout"})
        last = fleet.sink.readings[-1]
        assert (last.device_id, last.hashrate_ths, last.power_w) == (ONE, None, None)
        assert last.taken_at.timestamp() == pytest.approx(fleet.clock.now())
        assert fleet.poller.total.outcomes["DeviceTimeout"] == 5


async def test_who_was_away_is_asked_who_it_is_and_told_online(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.crash = Unreachable("gone")
        await rounds(fleet, miner, 3)
        miner.crash = None
        asked = len(fleet.world.probes)
        await rounds(fleet, miner, 2)
        await fleet.sink.until(lambda: "device.online" in fleet.sink.names())
        assert device.health.state is Health.ONLINE
        assert len(fleet.world.probes) == asked + 2
        await fleet.reading_of_next_round()
        assert len(fleet.world.probes) == asked + 2


async def test_one_lost_packet_is_no_outage(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.script.fail_next("read", Unreachable("lost"))
        await rounds(fleet, miner, 1)
        await fleet.reading_of_next_round()
        assert fleet.sink.names() == ["device.found"]
        assert device.health.state is Health.ONLINE


async def test_a_refusal_counts_as_a_failure_too(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.crash = Refused(14, "access denied")
        await rounds(fleet, miner, 3)
        await fleet.sink.until(lambda: fleet.sink.named("device.offline"))
        assert device.health.failures == 3


async def test_want_of_descriptors_is_not_the_devices_fault(fleet, caplog):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        miner.crash = NoResources("too many open files")
        await rounds(fleet, miner, 5)
        assert (device.health.state, device.health.failures) == (Health.ONLINE, 0)
        assert not fleet.sink.named("device.offline")
        assert fleet.poller.total.outcomes["NoResources"] == 5
        assert "too many open files" in caplog.text
        miner.crash = None
        assert (await fleet.reading_of_next_round()).device_id == ONE


async def test_a_drivers_own_fault_costs_its_own_reading_alone(fleet, caplog):
    async with fleet.running():
        bad, device = await fleet.add(A, 1)
        await fleet.add(B, 2)
        bad.crash = ZeroDivisionError("a fault of the driver")
        before = fleet.sink.ids().count(TWO)
        await rounds(fleet, bad, 2)
        await fleet.sink.until(lambda: fleet.sink.ids().count(TWO) >= before + 2)
        assert fleet.poller.total.outcomes["DriverFault"] == 2
        assert device.health.state is Health.DEGRADED
        assert "a fault of the driver" in caplog.text
        bad.crash = None
        count = fleet.sink.ids().count(ONE)
        await fleet.round(lambda: fleet.sink.ids().count(ONE) > count)


async def test_a_reading_that_nobody_can_take_costs_itself_alone(fleet, monkeypatch):
    async with fleet.running():
        bad, _ = await fleet.add(A, 1)
        await fleet.add(B, 2)
        take = fleet.sink.reading

        def choosy(reading) -> None:
            if reading.faults:
                raise ValueError("not to be encoded")
            take(reading)

        monkeypatch.setattr(fleet.sink, "reading", choosy)
        bad.show(faults=(Fault("E1", "\ud800"),))
        before = fleet.sink.ids().count(TWO)
        await rounds(fleet, bad, 2)
        await fleet.sink.until(lambda: fleet.sink.ids().count(TWO) >= before + 2)
        assert fleet.poller.total.outcomes["DriverFault"] == 2


async def test_a_reading_in_doubt_is_held(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        gate = miner.script.hold("identify")
        miner.booted_at = fleet.clock.monotonic()
        fleet.clock.advance(fleet.interval_s)
        await gate.reached.wait()
        assert fleet.sink.ids() == [ONE]  # that of its discovery
        fleet.clock.advance(fleet.interval_s)
        await asyncio.sleep(0.03)  # ticks in which it would be asked again, were it due
        assert miner.reads == 2
        gate.open()
        # It waited long, so that the machine was read once more before the held one counted.
        await fleet.sink.until(lambda: len(fleet.sink.readings) == 3)
        assert miner.reads == 3
        assert set(fleet.sink.ids()) == {ONE}
        assert device.last is fleet.sink.readings[-1]


async def test_an_old_confirmation_is_renewed_and_a_provisional_one_sooner(new_fleet):
    fleet = new_fleet(confirm_identity_s=3600.0, interval_s=100.0)
    async with fleet.running():
        fleet.world.web_down.add(B)
        await fleet.add(A, 1)
        await fleet.add(B, 2)
        for number in range(2, 6):
            await fleet.round(lambda number=number: len(fleet.sink.readings) >= 2 * number)
        assert fleet.world.probes == [A, B, B]
        fleet.clock.advance(3700.0)
        await fleet.sink.until(lambda: len(fleet.sink.readings) >= 12)
        assert fleet.world.probes.count(A) == 2


async def test_state_changes_are_told(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        miner.show(state=State.FAULT)
        await fleet.reading_of_next_round()
        await fleet.reading_of_next_round()
        miner.show(state=State.UNKNOWN)  # shows no state, so none has changed
        await fleet.reading_of_next_round()
        (event,) = fleet.sink.named("device.state")
        assert event.details == {"before": "mining", "after": "fault"}
        assert (event.message, event.device_id, event.address) == ("mining -> fault", ONE, A)


async def test_a_person_who_reads_now_publishes_nothing_and_waits_for_the_poll(fleet):
    async with fleet.running():
        miner, device = await fleet.add(A, 1)
        gate = miner.script.hold("read")
        fleet.clock.advance(fleet.interval_s)
        await gate.reached.wait()
        mine = asyncio.create_task(fleet.poller.read_now(device))
        await asyncio.sleep(0)
        assert miner.reads == 2  # the poll's; mine waits for its turn
        gate.open()
        assert (await mine).device_id == ONE
        await fleet.sink.until(lambda: len(fleet.sink.readings) == 2)
        assert miner.reads == 3


async def test_what_was_read_while_the_device_moved_is_published_under_no_id(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        gate = miner.script.hold("read")
        fleet.clock.advance(fleet.interval_s)
        await gate.reached.wait()
        fleet.inventory.settle(
            msgspec.structs.replace(
                await fleet.world.probe(fleet.inventory.at(A).endpoint, None),
                identity=mock_identity(9),
            ),
            fleet.clock.now(),
        )
        gate.open()
        while not fleet.poller.total.outcomes["displaced"]:
            await asyncio.sleep(0.001)
        assert fleet.sink.ids() == [ONE]


async def test_removed_devices_are_asked_no_more(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        await fleet.add(B, 2)
        fleet.poller.remove(A)
        for wanted in range(3, 6):
            await fleet.round(lambda wanted=wanted: len(fleet.sink.readings) >= wanted)
        assert miner.reads == 1


async def test_figures_are_taken_once_and_add_up_in_the_total(fleet):
    async with fleet.running():
        await fleet.add(A, 1)
        await fleet.reading_of_next_round()
        assert fleet.poller.take_stats().outcomes == {"ok": 1}
        assert not fleet.poller.take_stats().outcomes
        assert fleet.poller.total.outcomes == {"ok": 1}


async def test_polls_wait_while_a_site_is_put_to_sleep(fleet):
    async with fleet.running():
        miner, _ = await fleet.add(A, 1)
        for _ in range(MANY):
            fleet.precedence.begin()
        read = miner.reads
        for _ in range(3):
            fleet.clock.advance(fleet.interval_s / 100)
            await asyncio.sleep(TICK_S * 2)
        assert miner.reads == read
        fleet.precedence.end()
        await rounds(fleet, miner, 1)
