"""MSKMiner against the simulated site: what the driver reads is what the machine shows."""

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

S19 = "Antminer S19 (MSKMiner)"
NETWORK = "127.78.0.0/16"


def driver_of(where: OnSite, number: int = 1) -> Driver:
    return create("mskminer", where.endpoint(number), where.context)


async def reading_of(driver: Driver) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


async def test_the_probe_finds_it_and_knows_it_by_its_mac() -> None:
    async with on_site(S19, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        identity = finding.identity
        assert (finding.driver_name, identity.firmware) == ("mskminer", "mskminer")
        assert identity.id == f"asic-{where.machine().mac.lower()}"
        assert (identity.make, identity.model) == ("Bitmain", "Antminer S19")
        assert identity.firmware_version == "2.6.0.39"


async def test_the_operators_password_opens_and_the_session_is_kept() -> None:
    async with on_site(S19, NETWORK) as where:
        where.machine().credential = ("ops", "s3cret")
        driver = driver_of(where)
        assert (await driver.identify()).provisional
        where.known = (Credential("ops", "s3cret"),)
        for _ in range(2):
            assert (await driver.identify()).mac == where.machine().mac.lower()
        assert len(where.machine().sessions) == 1


async def test_a_reading_is_what_the_machine_shows() -> None:
    async with on_site(S19, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-5)
    assert (reading.uptime_s, reading.state) == (now.uptime_s, State.MINING)
    assert reading.power_w == sum(watts_of(Asked(machine, now)))
    assert reading.power_source is PowerSource.MODELLED
    assert (reading.shares_accepted, reading.faults, reading.missing) == (now.accepted, (), ())
    for at, board in enumerate(reading.boards):
        assert (board.index, board.chips, board.chips_expected) == (at + 1, 88, 88)
        assert board.hashrate_ths == pytest.approx(now.board_ghs[at] / 1000, rel=1e-4)
        assert (board.board_temp_c, board.chip_temp_c) == (now.board_c[at], now.chip_c[at])
        assert (board.frequency_mhz, board.voltage_v) == (machine.frequency_mhz, VOLTS)
    assert [(fan.rpm, fan.duty_percent) for fan in reading.fans] == [
        (rpm, DUTY) for rpm in now.fan_rpm
    ]


@pytest.mark.parametrize(
    ("condition", "state"),
    [(Condition.NO_POOL, State.IDLE), (Condition.BOARD_LOST, State.MINING)],
)
async def test_a_condition_has_its_state(condition: Condition, state: State) -> None:
    async with on_site(S19, NETWORK) as where:
        where.machine().become(condition, START)
        where.clock.at += 60
        reading = await reading_of(driver_of(where))
    assert reading.state is state
    lost = ["board 3: 0 of 88 chips answer"] if condition is Condition.BOARD_LOST else []
    assert [fault.message for fault in reading.faults] == lost


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("tarpit", DeviceTimeout),
        ("garbage", BadReply),
        ("http", WrongProtocol),
    ],
)
async def test_a_fault_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(S19, NETWORK, deadline_s=0.4) as where:
        driver = driver_of(where)
        await driver.read()
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome) as caught:
            await driver.read()
        assert type(caught.value) is outcome
        assert where.clock.monotonic() - began < 0.4 + 0.3


async def test_the_web_suffices_where_the_poll_port_is_silent() -> None:
    async with on_site(S19, NETWORK, deadline_s=0.4) as where:
        where.server.faults.set("tarpit", address=where.endpoint().address)
        identity = await driver_of(where).identify()
        assert identity.mac == where.machine().mac.lower()
