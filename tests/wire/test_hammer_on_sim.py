"""The Hammer driver against simulated machines: a D10 by port 4028, a VolcMiner by its web."""

import pytest

from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    Unreachable,
    WrongProtocol,
)
from drivers.model import MinerReading, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

D10, VOLC = "Hammer D10", "VolcMiner D1"
NETWORK = "127.87.0.0/16"


async def reading_of(driver: object) -> MinerReading:
    sample = await driver.read()  # type: ignore[attr-defined]
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("hammer", where.endpoint(number), where.context)


@pytest.mark.parametrize("model", [D10, VOLC])
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    digits = 1e-9 if model == D10 else 1e-8  # the page has two digits of MH/s
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, abs=digits)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, abs=digits)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], abs=digits
    )
    assert [board.index for board in reading.boards] == [1, 2, 3]
    assert {board.chips for board in reading.boards} == {machine.model.chips}
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert {board.frequency_mhz for board in reading.boards} == {machine.frequency_mhz}
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert (reading.hw_errors, reading.faults, reading.power_w) == (now.hw_errors, (), None)
    if model == D10:
        assert (reading.mode, reading.locating, reading.missing) == ("normal", False, ())
    else:
        assert [part.partition(":")[0] for part in reading.missing] == ["rpc"]


@pytest.mark.parametrize(("model", "make"), [(D10, "Hammer"), (VOLC, "VolcMiner")])
async def test_it_is_found_and_identified(model: str, make: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
        assert finding.driver_name == "hammer"
        assert identity.id == f"asic-{machine.mac.lower()}"
        assert (identity.make, identity.model, identity.algorithm) == (make, model, "scrypt")
        assert (await finding.driver.read()).reading.device_id == identity.id


async def test_a_sleeping_machine_and_one_without_pools() -> None:
    async with on_site(D10, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START)
        reading = await reading_of(driver_of(where))
        assert (reading.state, reading.mode, reading.faults) == (State.SLEEPING, "sleep", ())
        where.machine(2).become(Condition.NO_POOL, START)
        assert (await reading_of(driver_of(where, 2))).state is State.IDLE


async def test_a_lost_board_is_a_fault() -> None:
    async with on_site(D10, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START)
        reading = await reading_of(driver_of(where))
    assert [board.chips for board in reading.boards] == [108, 108, 0]
    assert [fault.message for fault in reading.faults] == ["board 3: 0 of 108 chips answer"]


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
    async with on_site(D10, NETWORK, deadline_s=0.4) as where:
        where.machine().credential = ("root", "another")
        driver = driver_of(where)
        await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await reading_of(driver)
        assert where.clock.monotonic() - began < 0.6
        where.server.faults.clear()
        where.clock.at += 60
        assert (await reading_of(driver)).state is State.MINING


@pytest.mark.parametrize("fault", ["missing-nul", "bad-utf8"])
async def test_a_malformation_changes_nothing(fault: str) -> None:
    async with on_site(D10, NETWORK) as where:
        healthy = await reading_of(driver_of(where))
        where.server.faults.set(fault, address=where.endpoint().address)
        assert await reading_of(driver_of(where)) == healthy


async def test_a_truncated_answer_is_partly_read_and_says_so() -> None:
    async with on_site(D10, NETWORK) as where:
        where.server.faults.set("truncated", address=where.endpoint().address)
        reading = await reading_of(driver_of(where))
        assert any("cut off" in part for part in reading.missing)
        assert reading.hashrate_ths


async def test_a_volcminer_with_another_password_is_refused() -> None:
    async with on_site(VOLC, NETWORK) as where:
        where.machine().credential = ("root", "another")
        with pytest.raises(AccessDenied):
            await reading_of(driver_of(where))


async def test_a_closed_port_is_left_alone_for_a_minute() -> None:
    async with on_site(VOLC, NETWORK) as where:
        driver = driver_of(where)
        await reading_of(driver)
        del where.asked[:]
        for _ in range(3):
            where.clock.at += 10
            assert (await reading_of(driver)).missing
        assert where.asked == ["/cgi-bin/get_miner_statusV1.cgi"] * 3
