"""The ePIC driver against simulated machines: HTTP on the RPC port."""

import pytest

from drivers.errors import BadReply, DeviceTimeout, DriverError, Refused, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

MODEL = "Antminer S19j Pro (ePIC)"
NETWORK = "127.81.0.0/16"


async def reading_of(where: OnSite, number: int = 1) -> MinerReading:
    driver = create("epic", where.endpoint(number), where.context)
    reading = (await driver.read()).reading
    await driver.close()
    assert isinstance(reading, MinerReading)
    return reading


async def test_the_probe_finds_it_and_its_identity() -> None:
    async with on_site(MODEL, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
    assert finding.driver_name == "epic"
    assert identity.id == f"asic-{machine.mac.lower()}"
    assert (identity.make, identity.model) == ("Bitmain", "Antminer S19j Pro")
    assert (identity.firmware, identity.firmware_version) == ("epic", machine.model.firmware)
    assert (identity.hostname, identity.serial) == (machine.hostname, machine.miner_id)


async def test_a_reading_is_what_the_machine_shows() -> None:
    async with on_site(MODEL, NETWORK) as where:
        reading = await reading_of(where)
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-4)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-4)
    assert reading.hashrate_nominal_ths == round(machine.full_ghs / 1000)
    assert reading.power_w == pytest.approx(now.power_w, abs=0.01)
    assert reading.power_source is PowerSource.METERED
    assert reading.power_output_w == pytest.approx(now.power_w * 0.94, abs=0.01)
    assert (reading.power_limit_w, reading.mode) == (3100, "VoltageOptimizer")
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-4
    )
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [(126, 126)] * 3
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert reading.pools[0].status == "Alive"
    assert (reading.faults, reading.missing) == ((), ())


async def test_a_machine_without_one_board() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START - 60)
        reading = await reading_of(where)
        now = where.machine().at(START)
    assert reading.state is State.MINING
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-4)
    assert [board.chips for board in reading.boards] == [126, 126, 0]
    assert [board.serial for board in reading.boards][:2] == list(where.machine().board_serials[:2])
    assert [fault.message for fault in reading.faults] == [
        "board 2 is disabled: by hand, or after a failure"
    ]


@pytest.mark.parametrize(
    ("condition", "state"),
    [(Condition.SLEEPING, State.SLEEPING), (Condition.NO_POOL, State.IDLE)],
)
async def test_a_machine_that_stands(condition: Condition, state: State) -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(condition, START - 3600)
        reading = await reading_of(where)
        now = where.machine().at(START)
    assert (reading.state, reading.hashrate_ths, reading.faults) == (state, None, ())
    assert reading.power_w == pytest.approx(now.power_w)
    assert [board.chips_expected for board in reading.boards] == [126] * 3


async def test_chips_are_asked_for_every_two_minutes() -> None:
    async with on_site(MODEL, NETWORK) as where:
        driver = create("epic", where.endpoint(), where.context)
        for _ in range(24):
            await driver.read()
            where.clock.at += 10
        assert where.asked.count("/summary") == 24
        assert where.asked.count("/hashrate") == 2
        where.site.swap(where.endpoint().address)
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert [board.serial for board in reading.boards] == list(where.machine().board_serials)


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
        driver = create("epic", where.endpoint(), where.context)
        await driver.read()
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await driver.read()
        assert where.clock.monotonic() - began < 0.5 + 0.3
        where.server.faults.clear()
        assert (await driver.read()).reading.state is State.MINING
