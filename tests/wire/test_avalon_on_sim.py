"""The Avalon driver against simulated machines over loopback."""

import pytest

from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.dialects.avalon import EFFICIENCY
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

A1346, A1566, Q = "Avalon 1346", "Avalon 1566", "Avalon Q"
MODELS = (A1346, A1566, Q)
NETWORK = "127.73.0.0/16"


async def reading_of(where: OnSite, number: int = 1) -> MinerReading:
    driver = create("avalon", where.endpoint(number), where.context)
    reading = (await driver.read()).reading
    await driver.close()
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("model", MODELS)
async def test_the_probe_finds_it_and_its_identity(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
    assert finding.driver_name == "avalon"
    assert (identity.make, identity.model, identity.firmware) == ("Canaan", model, "stock")
    assert identity.firmware_version == machine.model.firmware
    assert (identity.mac, identity.serial) == (machine.mac.lower(), machine.miner_id)
    assert identity.id == f"asic-{machine.mac.lower()}"
    assert where.asked == ["version", "version"]  # the probe's own, and the driver's


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(where)
        machine, now = where.machine(), where.machine().at(START)
    make = machine.model
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, abs=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, abs=1e-5)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, abs=1e-5)
    assert reading.power_w == round(now.power_w)
    assert reading.power_source is PowerSource.REPORTED
    assert reading.power_output_w == round(round(now.power_w) * EFFICIENCY)
    assert reading.power_limit_w == make.extra["target_w"]
    assert reading.mode == ("super" if model == Q else "high performance")
    assert reading.inlet_temp_c == round(now.inlet_c)
    assert reading.chip_temp_max_c == max(now.chip_c)
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert (reading.shares_stale, reading.hw_errors) == (now.stale, now.hw_errors)
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [
        (make.chips, make.chips)
    ] * make.boards
    assert [board.frequency_mhz for board in reading.boards] == [
        machine.frequency_mhz
    ] * make.boards
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert {fan.duty_percent for fan in reading.fans} == {60.0}
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.faults, reading.missing) == ((), ())
    if model == Q:
        (board,) = reading.boards
        assert board.hashrate_ths == reading.hashrate_ths
        assert (board.outlet_temp_c, board.board_temp_c) == (now.board_c[0], now.board_c[0])
    else:
        means = sum(board.hashrate_ths or 0 for board in reading.boards)
        assert means == pytest.approx(now.ghs_av / 1000, abs=1e-4)
        assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_asleep(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START - 60)
        reading = await reading_of(where)
        make = where.machine().model
    assert (reading.state, reading.hashrate_ths) == (State.SLEEPING, 0.0)
    assert (reading.power_w, reading.power_output_w) == (make.standby_w, 0.0)
    assert reading.hashrate_avg_ths
    assert (reading.chip_temp_max_c, reading.faults) == (None, ())
    for board in reading.boards:
        assert (board.hashrate_ths, board.chips, board.chip_temp_c) == (0.0, None, None)


@pytest.mark.parametrize("model", [A1346, A1566])
async def test_a_machine_without_one_board(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START - 60)
        reading = await reading_of(where)
        now = where.machine().at(START)
        chips = where.machine().model.chips
    assert reading.state is State.MINING
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, abs=1e-5)
    assert [board.chips for board in reading.boards] == [chips, chips, 0]
    lost = reading.boards[2]
    assert (lost.hashrate_ths, lost.chip_temp_c) == (0.0, None)
    assert [fault.message for fault in reading.faults] == [
        "board 2: the board's power is not good",
        "board 2: the hash board reports an error",
        "2 of 3 hash boards work",
        f"board 2: 0 of {chips} chips answer",
    ]


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_without_pools_is_idle(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.NO_POOL, START - 60)
        reading = await reading_of(where)
    assert (reading.state, reading.hashrate_ths) == (State.IDLE, 0.0)
    assert {pool.status for pool in reading.pools} == {"Dead"}


async def test_a_machine_that_has_just_booted_is_starting() -> None:
    async with on_site(A1346, NETWORK) as where:
        where.site.reboot(where.endpoint().address)
        where.clock.at += 10
        reading = await reading_of(where)
    assert (reading.state, reading.uptime_s, reading.hashrate_ths) == (State.STARTING, 10, 0)


async def test_one_connection_a_poll() -> None:
    async with on_site(A1346, NETWORK) as where:
        driver = create("avalon", where.endpoint(), where.context)
        for _ in range(4):
            where.clock.at += 10
            await driver.read()
        assert where.asked == ["summary+estats+pools"] * 4


async def test_a_q_is_polled_by_its_short_answer() -> None:
    async with on_site(Q, NETWORK) as where:
        driver = create("avalon", where.endpoint(), where.context)
        for _ in range(40):
            where.clock.at += 10
            reading = (await driver.read()).reading
            assert isinstance(reading, MinerReading)
            assert reading.boards[0].chips == 160
        assert where.asked.count("summary+estats+pools") == 2
        assert where.asked.count("summary+litestats+pools") == 38


async def test_a_swapped_machine_has_another_identity_and_fingerprint() -> None:
    async with on_site(A1346, NETWORK) as where:
        driver = create("avalon", where.endpoint(), where.context)
        before, sample = await driver.identify(), await driver.read()
        where.site.swap(where.endpoint().address)
        assert (await driver.read()).fingerprint.traits != sample.fingerprint.traits
        after = await driver.identify()
        assert after.id != before.id
        assert (await driver.read()).reading.device_id == after.id


@pytest.mark.parametrize("model", [A1346, Q])
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
async def test_a_fault_has_its_error(model: str, fault: str, outcome: type[DriverError]) -> None:
    async with on_site(model, NETWORK, deadline_s=0.3) as where:
        driver = create("avalon", where.endpoint(), where.context)
        healthy = (await driver.read()).reading
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome) as caught:
            await driver.read()
        assert type(caught.value) is outcome
        assert where.clock.monotonic() - began < 0.3 + 0.2
        assert (await reading_of(where, 2)).state is State.MINING
        where.server.faults.clear()
        assert (await driver.read()).reading == healthy


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", ["missing-nul", "glued", "bad-utf8"])
async def test_a_malformation_changes_nothing_in_the_reading(model: str, fault: str) -> None:
    async with on_site(model, NETWORK) as where:
        healthy = await reading_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        assert await reading_of(where) == healthy


@pytest.mark.parametrize("model", MODELS)
async def test_a_truncated_answer_is_partly_read_and_says_so(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.server.faults.set("truncated", address=where.endpoint().address)
        reading = await reading_of(where)
        now = where.machine().at(START)
    assert reading.missing
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
    assert (reading.state, reading.faults) == (State.MINING, ())
