"""The SealMiner driver against simulated machines: values, session, states, faults."""

import pytest

from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

A2 = "SealMiner A2"
NETWORK = "127.85.0.0/16"


async def reading_of(driver: object) -> MinerReading:
    sample = await driver.read()  # type: ignore[attr-defined]
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("sealminer", where.endpoint(number), where.context)


async def test_a_reading_is_what_the_machine_shows() -> None:
    async with on_site(A2, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s, reading.mode) == (
        State.MINING,
        now.uptime_s,
        "normal",
    )
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000)
    assert reading.hashrate_nominal_ths == pytest.approx(226.0)
    assert (reading.power_w, reading.power_source) == (round(now.power_w), PowerSource.METERED)
    assert reading.power_output_w == round(now.power_w * 0.922)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs]
    )
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [(153, 153)] * 3
    assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.hw_errors) == (now.accepted, now.hw_errors)
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


async def test_it_is_found_and_identified() -> None:
    async with on_site(A2, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine = where.machine()
        assert finding.driver_name == "sealminer"
        assert finding.identity.id == f"asic-{machine.mac.lower()}"
        assert (finding.identity.model, finding.identity.serial) == (A2, machine.serial)


@pytest.mark.parametrize(
    ("condition", "state"),
    [(Condition.SLEEPING, State.SLEEPING), (Condition.NO_POOL, State.IDLE)],
)
async def test_states(condition: Condition, state: State) -> None:
    async with on_site(A2, NETWORK) as where:
        where.machine().become(condition, START)
        reading = await reading_of(driver_of(where))
    assert (reading.state, reading.hashrate_ths, reading.power_w) == (state, 0, 84)


async def test_a_lost_board_is_a_fault() -> None:
    async with on_site(A2, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START)
        reading = await reading_of(driver_of(where))
    assert [board.chips for board in reading.boards] == [153, 153, 0]
    assert [fault.message for fault in reading.faults] == ["board 2 does not answer"]
    assert reading.boards[2].chip_temp_c is None


async def test_one_login_for_many_polls() -> None:
    async with on_site(A2, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(12):
            assert (await reading_of(driver)).locating is False
            where.clock.at += 100
        assert where.asked.count("/cgi-bin/login.php") == 1
        assert where.asked.count("/cgi-bin/get_system_info.php") == 4
        where.machine().sessions.clear()
        where.clock.at += 300
        assert (await reading_of(driver)).locating is False
        assert where.asked.count("/cgi-bin/login.php") == 2


@pytest.mark.parametrize("fault", ["refuse", "tarpit", "garbage", "http"])
async def test_the_web_side_helps_where_port_4028_fails(fault: str) -> None:
    async with on_site(A2, NETWORK, deadline_s=0.6) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        driver = driver_of(where)
        reading = await reading_of(driver)
        now = where.machine().at(START)
        assert reading.power_w == round(now.power_w)
        assert reading.shares_accepted == now.accepted
        assert (reading.hashrate_ths, reading.state) == (None, State.UNKNOWN)
        assert reading.missing[0].startswith("rpc: ")
        where.server.faults.clear()
        assert (await reading_of(driver)).state is State.MINING


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
async def test_a_fault_has_its_error_without_a_web_side(
    fault: str, outcome: type[DriverError]
) -> None:
    async with on_site(A2, NETWORK, deadline_s=0.4) as where:
        where.machine().credential = ("seal", "another")
        driver = driver_of(where)
        await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await reading_of(driver)
        assert where.clock.monotonic() - began < 0.6
