"""The Elphapex driver against simulated machines: values, pages, states, faults of the web."""

import pytest

from drivers.api import Credential
from drivers.errors import AccessDenied, BadReply, DeviceTimeout, DriverError, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

PLUS, HOME = "DG1+", "DG-Home1"
NETWORK = "127.86.0.0/16"


async def reading_of(driver: object) -> MinerReading:
    sample = await driver.read()  # type: ignore[attr-defined]
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("elphapex", where.endpoint(number), where.context)


@pytest.mark.parametrize("model", [PLUS, HOME])
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    make = machine.model
    assert (reading.state, reading.uptime_s, reading.mode) == (
        State.MINING,
        now.uptime_s,
        "normal",
    )
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, abs=1e-9)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, abs=1e-9)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, abs=1e-9)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], abs=1e-9
    )
    assert [board.index for board in reading.boards] == list(range(4 - make.boards, 4))
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert {(b.chips, b.chips_expected) for b in reading.boards} == {(make.chips, make.chips)}
    assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
    assert {board.board_temp_c for board in reading.boards} == {None}
    assert {board.frequency_mhz for board in reading.boards} == {machine.frequency_mhz}
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    home_w = (round(now.power_w), PowerSource.REPORTED)
    assert (reading.power_w, reading.power_source) == (home_w if model == HOME else (None, None))
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


@pytest.mark.parametrize("model", [PLUS, HOME])
async def test_it_is_found_and_identified(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine = where.machine()
        assert finding.driver_name == "elphapex"
        assert finding.identity.id == f"asic-{machine.mac.lower()}"
        assert (finding.identity.model, finding.identity.serial) == (model, machine.serial)
        assert finding.identity.algorithm == "scrypt"


async def test_one_page_a_poll() -> None:
    async with on_site(PLUS, NETWORK) as where:
        driver = driver_of(where)
        await reading_of(driver)
        del where.asked[:]
        for _ in range(4):
            where.clock.at += 10
            await reading_of(driver)
        assert where.asked == ["/cgi-bin/stats.cgi"] * 4


async def test_a_machine_that_is_put_to_sleep_sleeps_at_the_next_poll() -> None:
    async with on_site(HOME, NETWORK) as where:
        driver = driver_of(where)
        await reading_of(driver)
        where.clock.at += 10
        where.machine().become(Condition.SLEEPING, where.clock.at)
        reading = await reading_of(driver)
        assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")
        assert (reading.hashrate_ths, reading.power_w) == (0, 25)
        where.clock.at += 10
        where.machine().become(Condition.RUNNING, where.clock.at)
        assert (await reading_of(driver)).state is State.MINING


async def test_a_lost_board_is_a_fault_and_no_pool_idles() -> None:
    async with on_site(PLUS, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START)
        reading = await reading_of(driver_of(where))
        assert [board.chips for board in reading.boards] == [204, 204, 204, 0]
        assert [fault.message for fault in reading.faults] == ["board 3: 0 of 204 chips answer"]
        where.machine(2).become(Condition.NO_POOL, START)
        reading = await reading_of(driver_of(where, 2))
        assert reading.state is State.IDLE
        assert [fault.message for fault in reading.faults] == ["no pool answers"]


async def test_the_operators_password_opens() -> None:
    async with on_site(PLUS, NETWORK) as where:
        where.machine().credential = ("root", "s3cret")
        driver = driver_of(where)
        with pytest.raises(AccessDenied):
            await reading_of(driver)
        where.known = (Credential("root", "s3cret"),)
        assert (await reading_of(driver)).state is State.MINING


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("truncated", Unreachable),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("garbage", BadReply),
    ],
)
async def test_a_fault_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(PLUS, NETWORK, deadline_s=0.4) as where:
        driver = driver_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        for act in (driver.read, driver.identify):  # type: ignore[attr-defined]
            began = where.clock.monotonic()
            with pytest.raises(outcome):
                await act()
            assert where.clock.monotonic() - began < 0.6
        assert (await reading_of(driver_of(where, 2))).state is State.MINING
        where.server.faults.clear()
        assert (await reading_of(driver)).state is State.MINING
