"""The Goldshell driver against the simulator over loopback."""

from typing import cast

import msgspec
import pytest

from drivers.api import Credential
from drivers.asic.goldshell.driver import Goldshell
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, State
from drivers.probe import probe
from drivers.sim.dialects.goldshell_settings import MILLIVOLTS
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

NETWORK = "127.88.0.0/16"
PORT, PAGES = "Goldshell SC5Pro", "Goldshell KD6"


def driver_of(where: OnSite, number: int = 1) -> Goldshell:
    return Goldshell(where.endpoint(number), where.context)


async def reading_of(driver: Goldshell) -> MinerReading:
    reading = cast("MinerReading", (await driver.read()).reading)
    msgspec.json.encode(reading)
    return reading


@pytest.mark.parametrize("model", [PORT, PAGES])
async def test_it_is_found_and_shows_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, now = where.machine(), where.machine().at(START)
        assert finding.driver_name == "goldshell"
        identity = finding.identity
        assert (identity.make, identity.model) == ("Goldshell", model.removeprefix("Goldshell "))
        assert (identity.mac, identity.algorithm) == (machine.mac.lower(), "blake2b(SC)")
        assert identity.firmware_version == machine.model.file_system
        reading = cast("MinerReading", (await finding.driver.read()).reading)
        await finding.driver.close()
    assert reading.device_id == f"asic-{machine.mac.lower()}"
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-6
    )
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.state, reading.mode, reading.power_w) == (State.MINING, "normal", None)
    if model == PORT:
        assert (reading.uptime_s, reading.shares_accepted) == (now.uptime_s, now.accepted)
        assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-6)
        assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
        assert [board.chips for board in reading.boards] == [machine.model.chips] * 4
        assert {board.voltage_v for board in reading.boards} == {MILLIVOLTS / 1000}
        assert reading.power_output_w == pytest.approx(now.power_w, rel=1e-6)
    else:
        assert reading.uptime_s == now.uptime_s // 60 * 60


@pytest.mark.parametrize("model", [PORT, PAGES])
@pytest.mark.parametrize(
    ("condition", "state"),
    [
        (Condition.SLEEPING, State.SLEEPING),
        (Condition.NO_POOL, State.IDLE),
        (Condition.BOARD_LOST, State.MINING),
    ],
)
async def test_conditions(model: str, condition: Condition, state: State) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        await driver.identify()
        where.machine().become(condition, START)
        reading = await reading_of(driver)
        now = where.machine().at(START)
    assert reading.state is state
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
    if condition is Condition.BOARD_LOST:
        assert reading.boards[-1].hashrate_ths == 0
        assert (reading.boards[-1].board_temp_c, len(reading.boards)) == (None, 4)
        assert bool(reading.faults) is (model == PORT)


async def test_a_wrong_password_leaves_port_4028() -> None:
    async with on_site(PORT, NETWORK) as where:
        where.machine().credential = ("admin", "something else")
        driver = driver_of(where)
        identity = await driver.identify()
        assert (identity.model, identity.mac) == ("SC5Pro", None)
        assert (await reading_of(driver)).state is State.MINING
        where.known = [Credential("admin", "something else")]
        assert (await driver_of(where).identify()).mac == where.machine().mac.lower()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("tarpit", DeviceTimeout), ("drip", DeviceTimeout)],
)
async def test_faults_of_the_port_end_in_time(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(PORT, NETWORK, deadline_s=0.4) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        with pytest.raises(outcome):
            await driver_of(where).read()


@pytest.mark.parametrize("fault", ["refuse", "garbage", "http", "reset"])
async def test_the_pages_do_where_the_port_fails(fault: str) -> None:
    async with on_site(PORT, NETWORK) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        try:
            reading = await reading_of(driver_of(where))
        except (Unreachable, BadReply, WrongProtocol):
            return  # the fault struck both ports
        assert len(reading.boards) == 4
        assert reading.missing[0].startswith("rpc: ")
