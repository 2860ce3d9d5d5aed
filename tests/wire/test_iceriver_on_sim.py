"""The IceRiver driver against the simulator over loopback."""

from typing import cast

import msgspec
import pytest

from drivers.asic.iceriver.driver import Iceriver
from drivers.errors import AccessDenied, DriverError, Unreachable
from drivers.model import MinerReading, State
from drivers.probe import probe
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

NETWORK = "127.89.0.0/16"
OPEN, SESSION = "IceRiver KS5L", "IceRiver AL1"


def driver_of(where: OnSite, number: int = 1) -> Iceriver:
    return Iceriver(where.endpoint(number), where.context)


async def reading_of(driver: Iceriver) -> MinerReading:
    reading = cast("MinerReading", (await driver.read()).reading)
    msgspec.json.encode(reading)
    return reading


@pytest.mark.parametrize("model", [OPEN, SESSION])
async def test_it_is_found_and_shows_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, now = where.machine(), where.machine().at(START)
        assert finding.driver_name == "iceriver"
        identity = finding.identity
        assert (identity.make, identity.model) == ("IceRiver", model.removeprefix("IceRiver "))
        assert identity.mac == machine.mac.lower()
        reading = cast("MinerReading", (await finding.driver.read()).reading)
        await finding.driver.close()
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, abs=1e-3)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], abs=1e-4
    )
    assert [board.inlet_temp_c for board in reading.boards] == list(now.board_c)
    assert [board.outlet_temp_c for board in reading.boards] == list(now.chip_c)
    assert [board.chips for board in reading.boards] == [machine.model.chips] * 3
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert reading.uptime_s == now.uptime_s
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.state, reading.faults, reading.power_w) == (State.MINING, (), None)


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        (Condition.SLEEPING, State.FAULT),  # the page has no word for it
        (Condition.NO_POOL, State.IDLE),
        (Condition.BOARD_LOST, State.MINING),
    ],
)
async def test_conditions(condition: Condition, state: State) -> None:
    async with on_site(OPEN, NETWORK) as where:
        where.machine().become(condition, START)
        reading = await reading_of(driver_of(where))
    assert reading.state is state
    if condition is Condition.BOARD_LOST:
        assert (reading.boards[-1].chips, reading.boards[-1].hashrate_ths) == (0, 0)
        assert [fault.code for fault in reading.faults] == ["pow", "board"]


async def test_one_session_for_many_polls_and_another_when_it_ends() -> None:
    async with on_site(SESSION, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(3):
            await driver.read()
        assert len(where.machine().sessions) == 1
        where.machine().sessions.clear()
        with pytest.raises(DriverError):
            await driver.read()  # the login page, in place of the panel
        assert (await reading_of(driver)).state is State.MINING
        assert len(where.machine().sessions) == 1


async def test_a_wrong_password() -> None:
    async with on_site(SESSION, NETWORK) as where:
        where.machine().credential = ("admin", "something else")
        with pytest.raises(AccessDenied):
            await driver_of(where).read()


@pytest.mark.parametrize("fault", ["refuse", "tarpit", "drip", "reset", "truncated", "garbage"])
async def test_faults_end_in_the_drivers_own_errors(fault: str) -> None:
    async with on_site(OPEN, NETWORK, deadline_s=0.4) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        with pytest.raises(DriverError):
            await driver_of(where).read()


async def test_nobody_there() -> None:
    async with on_site(OPEN, NETWORK) as where:
        with pytest.raises(Unreachable):
            await driver_of(where, 77).identify()
