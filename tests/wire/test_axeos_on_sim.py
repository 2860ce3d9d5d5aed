"""The AxeOS driver against simulated Bitaxes of two ages and a NerdQAxe."""

import pytest

from drivers.errors import BadReply, DeviceTimeout, DriverError, Refused, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

GAMMA, ULTRA, NERD = MODELS = ("Bitaxe Gamma", "Bitaxe Ultra", "NerdQAxe++")
NETWORK = "127.82.0.0/16"
INFO, ASIC = "/api/system/info", "/api/system/asic"


async def reading_of(where: OnSite) -> MinerReading:
    reading = (await create("axeos", where.endpoint(), where.context).read()).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("model", MODELS)
async def test_the_probe_finds_it_and_its_identity(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
    assert finding.driver_name == "axeos"
    assert (identity.id, identity.model) == (f"asic-{machine.mac.lower()}", model)
    assert identity.make == ("NerdAxe" if model == NERD else "Bitaxe")
    assert (identity.firmware_version, identity.hostname) == (
        machine.model.firmware,
        machine.hostname,
    )


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_device_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(where)
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.power_w == pytest.approx(now.power_w, abs=1e-3)
    assert reading.power_source is PowerSource.REPORTED
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert reading.chip_temp_max_c == now.chip_c[0]
    (board,) = reading.boards
    assert board.chips_expected == machine.model.chips
    assert board.chips == (None if model == NERD else 1)
    assert board.board_temp_c == now.board_c[0] + (4 if model == NERD else 0)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools[:2]]
    assert [pool.active for pool in reading.pools] == [True, False]
    assert (reading.faults, reading.missing) == ((), ())
    nominal = pytest.approx(machine.full_ghs / 1000, rel=1e-3) if model == GAMMA else None
    assert reading.hashrate_nominal_ths == nominal


@pytest.mark.parametrize(
    ("model", "condition", "state"),
    [
        (GAMMA, Condition.SLEEPING, State.SLEEPING),
        (NERD, Condition.SLEEPING, State.SLEEPING),
        (GAMMA, Condition.NO_POOL, State.IDLE),
        (NERD, Condition.NO_POOL, State.IDLE),
        (ULTRA, Condition.NO_POOL, State.UNKNOWN),  # it does not say why it stands
        (GAMMA, Condition.BOARD_LOST, State.FAULT),
        (ULTRA, Condition.BOARD_LOST, State.FAULT),
        (NERD, Condition.BOARD_LOST, State.FAULT),
    ],
)
async def test_a_device_that_stands(model: str, condition: Condition, state: State) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(condition, START - 3600)
        reading = await reading_of(where)
        now = where.machine().at(START)
    assert (reading.state, reading.hashrate_ths) == (state, 0)
    assert reading.power_w == pytest.approx(now.power_w, abs=1e-3)
    told = condition is Condition.BOARD_LOST and model != NERD
    assert bool(reading.faults) is told


async def test_a_healthy_device_is_never_suspected_and_asked_one_page_a_poll() -> None:
    async with on_site(GAMMA, NETWORK) as where:
        driver = create("axeos", where.endpoint(), where.context)
        for _ in range(90):
            assert (await driver.read()).reading.faults == ()
            where.clock.at += 10
        assert where.asked.count(ASIC) == 1
        assert where.asked.count(INFO) == 90


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
    async with on_site(GAMMA, NETWORK, deadline_s=0.5) as where:
        driver = create("axeos", where.endpoint(), where.context)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await driver.read()
        assert where.clock.monotonic() - began < 0.5 + 0.3
        where.server.faults.clear()
        assert (await driver.read()).reading.state is State.MINING
