"""LuxOS against the simulated site: what the driver reads is what the machine shows."""

import pytest

from drivers.api import Driver
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.dialects.luxos_rows import VOLTS, duty_of, profile_watts, watts_of
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

S19K, S21 = "Antminer S19k Pro (LuxOS)", "Antminer S21 (LuxOS)"
NETWORK = "127.76.0.0/16"
POLL = "summary+devs+power+pools+stats+temps+fans+config+events"


def driver_of(where: OnSite, number: int = 1) -> Driver:
    return create("luxos", where.endpoint(number), where.context)


async def reading_of(driver: Driver) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("model", [S19K, S21])
async def test_the_probe_finds_it_and_knows_it_by_its_mac(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
        assert (finding.driver_name, identity.make) == ("luxos", "Bitmain")
        assert identity.id == f"asic-{machine.mac.lower()}"
        assert identity.model == model.partition(" (")[0]
        assert identity.firmware_version == machine.model.firmware.partition("-")[0]
        assert (identity.serial, identity.hostname) == (machine.serial, "LuxOS")
        assert where.asked == ["version", "version+config+stats"]


@pytest.mark.parametrize("model", [S19K, S21])
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        identity = await driver.identify()
        reading = await reading_of(driver)
        machine, now = where.machine(), where.machine().at(START)
    assert reading.device_id == identity.id
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-6)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-5)
    assert (reading.uptime_s, reading.state) == (now.uptime_s, State.MINING)
    assert reading.power_w == watts_of(machine, now)
    source = PowerSource.REPORTED if model == S21 else PowerSource.MODELLED
    assert reading.power_source is source
    assert reading.power_limit_w == profile_watts(machine, 0)
    assert reading.power_limit_min_w == profile_watts(machine, -4)
    assert reading.power_limit_max_w == profile_watts(machine, 3)
    assert (reading.mode, reading.locating, reading.faults, reading.missing) == (
        "default",
        False,
        (),
        (),
    )
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert [(fan.rpm, fan.duty_percent) for fan in reading.fans] == [
        (rpm, duty_of(machine)) for rpm in now.fan_rpm
    ]
    assert [board.index for board in reading.boards] == [0, 1, 2]
    for board in reading.boards:
        at = board.index
        assert board.hashrate_ths == pytest.approx(now.board_ghs[at] / 1000, rel=1e-6)
        assert board.serial == machine.board_serials[at]
        assert (board.chips, board.chips_expected) == (machine.model.chips,) * 2
        assert board.board_temp_c == board.outlet_temp_c == now.board_c[at]
        assert board.inlet_temp_c == now.board_c[at] - 13
        assert (board.chip_temp_c, board.voltage_v) == (None, VOLTS)
        assert board.frequency_mhz == machine.frequency_mhz


async def test_a_poll_is_one_connection() -> None:
    async with on_site(S19K, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(31):
            await driver.read()
            where.clock.at += 10
        assert where.asked.count(POLL) == 31
        assert where.asked.count("profiles+devdetails+tempctrl+version") == 2
        assert len(where.asked) == 33
        assert where.machine().sessions == {}


async def test_a_session_of_somebody_else_is_left_alone() -> None:
    async with on_site(S19K, NETWORK) as where:
        where.machine().sessions["theirs"] = START
        driver = driver_of(where)
        await driver.identify()
        assert (await reading_of(driver)).state is State.MINING
        await driver.close()
        assert where.machine().sessions == {"theirs": START}


@pytest.mark.parametrize(
    ("condition", "state", "code"),
    [
        (Condition.SLEEPING, State.SLEEPING, None),
        (Condition.NO_POOL, State.IDLE, "NO_ACTIVE_POOLS"),
        (Condition.BOARD_LOST, State.MINING, "BOARD_NOT_DETECTED"),
    ],
)
async def test_a_condition_has_its_state(
    condition: Condition, state: State, code: str | None
) -> None:
    async with on_site(S21, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        where.clock.at += 60
        where.machine().become(condition, where.clock.at)
        where.clock.at += 60
        reading = await reading_of(driver)
        machine, now = where.machine(), where.machine().at(where.clock.at)
    assert reading.state is state
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
    assert reading.power_w == watts_of(machine, now)
    assert (code is None) == (reading.faults == ())
    if code:
        assert (reading.faults[0].code, reading.faults[0].at is None) == (code, False)
    if condition is Condition.SLEEPING:
        assert (reading.mode, reading.power_w) == ("sleep", 0)
        assert reading.power_source is PowerSource.MODELLED
    if condition is Condition.BOARD_LOST:
        lost = reading.boards[2]
        assert (lost.index, lost.chips, lost.hashrate_ths) == (2, 0, 0.0)
        assert reading.faults[0].message.startswith("board 2: Board was removed")
        assert reading.faults[1].message == f"board 2: 0 of {machine.model.chips} chips answer"


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
async def test_a_fault_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(S19K, NETWORK, deadline_s=0.4) as where:
        driver = driver_of(where)
        healthy = await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome) as caught:
            await driver.read()
        assert type(caught.value) is outcome
        assert where.clock.monotonic() - began < 0.4 + 0.3
        where.server.faults.clear()
        where.clock.at += 60
        later = await reading_of(driver)
        assert (later.shares_accepted or 0) > (healthy.shares_accepted or 0)


async def test_a_truncated_answer_is_partly_read_and_says_so() -> None:
    async with on_site(S19K, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        where.server.faults.set("truncated", address=where.endpoint().address)
        reading = await reading_of(driver)
        now = where.machine().at(START)
        assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-6)
        assert len(reading.boards) == 3
        assert reading.missing
        assert reading.state is State.MINING


async def test_a_swapped_machine_has_another_fingerprint() -> None:
    async with on_site(S19K, NETWORK) as where:
        driver = driver_of(where)
        before = (await driver.read()).fingerprint
        where.clock.at += 10
        assert (await driver.read()).fingerprint.traits == before.traits
        where.site.swap(where.endpoint().address)
        after = (await driver.read()).fingerprint
        assert set(after.traits) != set(before.traits)
        assert where.machine().mac.lower() in after.traits
