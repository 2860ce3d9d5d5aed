"""The Innosilicon driver against the simulator over loopback."""

from typing import cast

import msgspec
import pytest

from drivers.asic.innosilicon.driver import Innosilicon
from drivers.errors import DeviceTimeout, Unreachable
from drivers.model import MinerReading, State
from drivers.probe import probe
from drivers.sim.dialects.innosilicon import DUTY_PERCENT, SESSION_S
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

NETWORK = "127.90.0.0/16"
PORT, PAGES = "Innosilicon T3-43T", "Innosilicon T2Tz-30T"


def driver_of(where: OnSite, number: int = 1) -> Innosilicon:
    return Innosilicon(where.endpoint(number), where.context)


async def reading_of(driver: Innosilicon) -> MinerReading:
    reading = cast("MinerReading", (await driver.read()).reading)
    msgspec.json.encode(reading)
    return reading


@pytest.mark.parametrize("model", [PORT, PAGES])
async def test_it_is_found_and_shows_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, now = where.machine(), where.machine().at(START)
        assert finding.driver_name == "innosilicon"
        identity = finding.identity
        assert (identity.make, identity.model) == ("Innosilicon", model.split()[1])
        assert (identity.mac, identity.serial) == (machine.mac.lower(), machine.miner_id)
        assert identity.firmware_version == machine.model.file_system
        reading = cast("MinerReading", (await finding.driver.read()).reading)
        await finding.driver.close()
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-6
    )
    assert [fan.duty_percent for fan in reading.fans] == [DUTY_PERCENT]
    assert reading.uptime_s == now.uptime_s
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.state, reading.faults, reading.mode) == (State.MINING, (), "performance 0")
    if model == PORT:
        assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
        assert [board.chips for board in reading.boards] == [machine.model.chips] * 3
        assert [board.chips_expected for board in reading.boards] == [machine.model.chips] * 3


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
        where.machine().become(condition, START)
        reading = await reading_of(driver_of(where))
    assert reading.state is state
    if condition is Condition.BOARD_LOST:
        assert reading.boards[-1].hashrate_ths == 0
        codes = [fault.code for fault in reading.faults]
        assert codes == (["Dead", None, "33"] if model == PORT else ["Dead", "33"])


async def test_one_session_for_many_polls_and_another_when_it_ends() -> None:
    async with on_site(PAGES, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(3):
            await driver.read()
        assert len(where.machine().sessions) == 1
        where.clock.at += SESSION_S + 1
        assert (await reading_of(driver)).state is State.MINING
        assert len(where.machine().sessions) == 2


async def test_faults_of_the_port_end_in_time() -> None:
    async with on_site(PORT, NETWORK, deadline_s=0.4) as where:
        for fault in ("tarpit", "drip"):
            where.server.faults.set(fault, address=where.endpoint().address)
            with pytest.raises(DeviceTimeout):
                await driver_of(where).read()


async def test_nobody_there() -> None:
    async with on_site(PORT, NETWORK) as where:
        with pytest.raises(Unreachable):
            await driver_of(where, 77).identify()
