"""Hiveon against the simulated site: what the driver reads is what the machine shows."""

import pytest

from drivers.api import Credential, Driver
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.answers import Asked
from drivers.sim.dialects.rwglr import DUTY, VOLTS, watts_of
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

S9, S19 = "Antminer S9 (Hiveon)", "Antminer S19 (Hiveon)"
NETWORK = "127.77.0.0/16"


def driver_of(where: OnSite, number: int = 1) -> Driver:
    return create("hiveon", where.endpoint(number), where.context)


async def reading_of(driver: Driver) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("model", [S9, S19])
async def test_the_probe_finds_it_and_knows_it_by_its_mac(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
        assert (finding.driver_name, identity.firmware) == ("hiveon", "hiveon")
        assert identity.id == f"asic-{machine.mac.lower()}"
        assert (identity.make, identity.model) == ("Bitmain", model.partition(" (")[0])
        assert identity.firmware_version == machine.model.compile_time
        assert (identity.serial, identity.hostname) == (machine.serial, machine.hostname)


async def test_without_the_password_the_id_is_provisional() -> None:
    async with on_site(S19, NETWORK) as where:
        where.machine().credential = ("ops", "s3cret")
        driver = driver_of(where)
        assert (await driver.identify()).provisional
        where.known = (Credential("ops", "s3cret"),)
        assert (await driver.identify()).mac == where.machine().mac.lower()


@pytest.mark.parametrize("model", [S9, S19])
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-5)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-5)
    assert (reading.uptime_s, reading.state) == (now.uptime_s, State.MINING)
    assert reading.power_w == sum(watts_of(Asked(machine, now)))
    assert reading.power_source is PowerSource.MODELLED
    assert (reading.hw_errors, reading.faults, reading.missing) == (now.hw_errors, (), ())
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    first, chips = machine.model.first_board, machine.model.chips
    assert [board.index for board in reading.boards] == [first, first + 1, first + 2]
    for at, board in enumerate(reading.boards):
        assert board.hashrate_ths == pytest.approx(now.board_ghs[at] / 1000, rel=1e-4)
        assert (board.chips, board.chips_expected) == (chips, chips)
        assert (board.board_temp_c, board.chip_temp_c) == (now.board_c[at], now.chip_c[at])
        assert board.frequency_mhz == machine.frequency_mhz
        assert board.voltage_v == (None if model == S9 else VOLTS)
    assert [fan.rpm for fan in reading.fans] == list(now.fan_rpm)
    assert {fan.duty_percent for fan in reading.fans} == {None if model == S9 else DUTY}


@pytest.mark.parametrize(
    ("model", "condition", "state"),
    [
        (S19, Condition.SLEEPING, State.SLEEPING),
        (S19, Condition.NO_POOL, State.IDLE),
        (S9, Condition.NO_POOL, State.IDLE),
        (S19, Condition.BOARD_LOST, State.MINING),
        (S9, Condition.BOARD_LOST, State.MINING),
    ],
)
async def test_a_condition_has_its_state(model: str, condition: Condition, state: State) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(condition, START)
        where.clock.at += 60
        reading = await reading_of(driver_of(where))
        now, make = where.machine().at(where.clock.at), where.machine().model
    assert reading.state is state
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    if condition is Condition.BOARD_LOST:
        last = make.first_board + 2
        assert [fault.message for fault in reading.faults] == [
            f"board {last}: 0 of {make.chips} chips answer"
        ]
        assert (reading.boards[-1].index, reading.boards[-1].chips) == (last, 0)
    if condition is Condition.SLEEPING:
        assert (reading.mode, reading.faults) == ("sleep", ())


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("garbage", BadReply),
        ("http", WrongProtocol),
    ],
)
@pytest.mark.parametrize("model", [S9, S19])
async def test_a_fault_has_its_error(model: str, fault: str, outcome: type[DriverError]) -> None:
    async with on_site(model, NETWORK, deadline_s=0.4) as where:
        driver = driver_of(where)
        healthy = await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome) as caught:
            await driver.read()
        assert type(caught.value) is outcome
        assert where.clock.monotonic() - began < 0.4 + 0.3
        where.server.faults.clear()
        where.clock.at += 60
        later = await reading_of(driver)
        assert (later.shares_accepted or 0) > (healthy.shares_accepted or 0)


@pytest.mark.parametrize("model", [S9, S19])
async def test_a_truncated_answer_is_partly_read_and_says_so(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        where.server.faults.set("truncated", address=where.endpoint().address)
        where.clock.at += 60
        reading = await reading_of(driver)
        now = where.machine().at(where.clock.at)
        assert any("cut off" in part for part in reading.missing)
        assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
