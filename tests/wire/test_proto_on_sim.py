"""The Proto driver against simulated rigs: tokens, boards, faults."""

import pytest

from drivers.api import Credential, Driver
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    Refused,
    Unreachable,
)
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

MODEL = "Proto Rig"
NETWORK = "127.83.0.0/16"
OWNER = Credential("", "proto-password")


def driver_of(where: OnSite) -> Driver:
    where.known = (OWNER,)
    return create("proto", where.endpoint(), where.context)


async def read(driver: Driver) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


async def test_the_probe_finds_it_and_its_identity_without_a_password() -> None:
    async with on_site(MODEL, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
        reading = await read(finding.driver)
    assert (reading.state, reading.hashrate_ths) == (State.UNKNOWN, None)
    assert len(reading.boards) == machine.model.boards
    assert reading.missing[0].startswith("mining: AccessDenied")
    assert finding.driver_name == "proto"
    assert identity.id == f"asic-{machine.mac.lower()}"
    assert (identity.make, identity.model, identity.serial) == ("Proto", MODEL, machine.serial)
    assert (identity.firmware_version, identity.hostname) == ("1.9.3", machine.hostname)


async def test_a_reading_is_what_the_rig_shows() -> None:
    async with on_site(MODEL, NETWORK) as where:
        reading = await read(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-4)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-5)
    assert reading.power_w == pytest.approx(now.power_w, abs=0.01)
    assert reading.power_source is PowerSource.METERED
    assert reading.power_output_w == pytest.approx(now.power_w * 0.945, abs=0.01)
    assert (reading.power_limit_min_w, reading.power_limit_max_w) == (400, 3600)
    assert reading.mode == "MaximumHashrate"
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [board.index for board in reading.boards] == [1, 2, 3]
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-5
    )
    assert [board.outlet_temp_c for board in reading.boards] == list(now.board_c)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.faults, reading.missing) == ((), ())


@pytest.mark.parametrize(
    ("condition", "state"),
    [(Condition.SLEEPING, State.SLEEPING), (Condition.NO_POOL, State.IDLE)],
)
async def test_a_rig_that_stands(condition: Condition, state: State) -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(condition, START - 3600)
        reading = await read(driver_of(where))
        now = where.machine().at(START)
    assert (reading.state, reading.hashrate_ths, reading.faults) == (state, 0, ())
    assert reading.power_w == pytest.approx(now.power_w, abs=0.01)
    dead = condition is Condition.NO_POOL
    assert {pool.status for pool in reading.pools} == ({"Dead"} if dead else {"Active", "Idle"})


async def test_a_rig_without_one_board() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START - 60)
        reading = await read(driver_of(where))
        serials = list(where.machine().board_serials)
    assert reading.state is State.MINING
    assert [board.serial for board in reading.boards] == serials
    assert reading.boards[2].hashrate_ths is None
    codes = [fault.code for fault in reading.faults]
    assert codes == ["HashboardOffline", "DegradedMining", None, None]
    assert reading.faults[0].at is not None
    assert reading.faults[0].at.timestamp() == START - 60
    assert reading.faults[-1].message == "board 3 gives no telemetry"


async def test_a_token_is_kept_renewed_and_given_back() -> None:
    async with on_site(MODEL, NETWORK) as where:
        driver, machine = driver_of(where), where.machine()
        for _ in range(6):
            await driver.read()
            where.clock.at += 10
        assert len(machine.sessions) == 1
        where.clock.at += 3600  # the rig's tokens end
        await driver.read()
        assert where.asked.count("/api/v1/auth/login") == 2
        await driver.close()
        assert where.asked[-1] == "/api/v1/auth/logout"
        assert len(machine.sessions) == 1  # the one that had ended


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("truncated", Unreachable),
        ("garbage", BadReply),
        ("http", Refused),
    ],
)
async def test_a_fault_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(MODEL, NETWORK, deadline_s=0.5) as where:
        driver = driver_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await driver.read()
        assert where.clock.monotonic() - began < 0.5 + 0.3
        where.server.faults.clear()
        assert (await driver.read()).reading.state is State.MINING
