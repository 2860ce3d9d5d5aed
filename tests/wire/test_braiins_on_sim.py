"""The Braiins driver against simulated machines: generations, sessions, conditions, faults."""

from typing import Any

import pytest

from drivers.api import Credential
from drivers.errors import BadReply, DeviceTimeout, DriverError, Refused, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.dialects.braiins_rest import LIMITS_W
from drivers.sim.dialects.braiins_rows import LIMIT_W, REFUSED, VOLTS
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

S9 = "Antminer S9 (Braiins OS 20.09)"
S19J = "Antminer S19j Pro (Braiins OS 24.09)"
S21 = "Antminer S21 (Braiins OS 26.01)"
MODELS = (S9, S19J, S21)
NETWORK = "127.74.0.0/16"


def driver_of(where: OnSite) -> Any:
    return create("braiins", where.endpoint(), where.context)


async def read(driver: Any) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("model", MODELS)
async def test_the_probe_finds_it_and_its_identity(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
    assert finding.driver_name == "braiins"
    assert identity.id == f"asic-{machine.mac.lower()}"
    assert (identity.make, identity.model) == ("Bitmain", model.partition(" (")[0])
    assert (identity.firmware, identity.algorithm) == ("braiins", "sha256")
    assert identity.firmware_version == machine.model.firmware
    assert identity.hostname == machine.hostname
    assert identity.serial == (machine.serial if model == S21 else None)


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        await driver.identify()
        reading = await read(driver)
        machine, now = where.machine(), where.machine().at(START)
    boards, nominal_ths = range(machine.model.boards), machine.full_ghs / 1000
    assert reading.state is State.MINING
    assert reading.uptime_s == now.uptime_s + (30 if model == S21 else 0)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000)
    assert reading.hashrate_nominal_ths == pytest.approx(nominal_ths, rel=1e-5)
    assert (reading.power_w, reading.power_source) == (round(now.power_w), PowerSource.MODELLED)
    assert reading.power_limit_w == LIMIT_W
    limits = LIMITS_W if model == S21 else (None, None)
    assert (reading.power_limit_min_w, reading.power_limit_max_w) == limits
    assert [b.index for b in reading.boards] == [machine.model.first_board + at for at in boards]
    assert [b.hashrate_ths for b in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs]
    )
    assert {(b.chips, b.chips_expected) for b in reading.boards} == {(machine.model.chips,) * 2}
    assert {b.frequency_mhz for b in reading.boards} == {machine.frequency_mhz}
    assert {b.voltage_v for b in reading.boards} == {VOLTS}
    assert [b.board_temp_c for b in reading.boards] == list(now.board_c)
    assert [b.chip_temp_c for b in reading.boards] == list(now.chip_c)
    assert reading.chip_temp_max_c == max(now.chip_c)
    serials = [None] * 3 if model == S9 else list(machine.board_serials)
    assert [b.serial for b in reading.boards] == serials
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert {fan.duty_percent for fan in reading.fans} == {72.0}
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert reading.shares_stale == now.stale
    assert reading.locating is False
    assert (reading.faults, reading.missing) == ((), ())


@pytest.mark.parametrize("model", MODELS)
async def test_a_paused_machine_sleeps(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START - 3600)
        reading = await read(driver_of(where))
        now = where.machine().at(START)
    assert (reading.state, reading.hashrate_ths) == (State.SLEEPING, 0)
    assert reading.power_w == round(now.power_w)
    assert reading.chip_temp_max_c is None
    assert reading.faults == ()


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_whose_pools_are_dead_is_idle(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.NO_POOL, START - 3600)
        reading = await read(driver_of(where))
    assert (reading.state, reading.hashrate_ths) == (State.IDLE, 0)
    assert {pool.status for pool in reading.pools} == {"Dead"}


@pytest.mark.parametrize("model", MODELS)
async def test_a_lost_board_is_named(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START - 60)
        reading = await read(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    number = machine.model.first_board + 2
    assert reading.state is State.MINING
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000)
    lost = reading.boards[2]
    assert (lost.index, lost.hashrate_ths) == (number, 0)
    assert lost.chips == (None if model == S21 else 0)
    assert (lost.board_temp_c, lost.chip_temp_c, lost.frequency_mhz) == (None, None, None)
    words = [fault.message for fault in reading.faults]
    if model == S21:
        assert words == [f"Hashboard {number}: {REFUSED}"]
    else:
        assert words == [f"board {number}: {REFUSED}", f"board {number} is dead"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_booting_machine_starts(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().boot_at = START - 10
        driver = driver_of(where)
        reading = await read(driver)
        assert reading.state is State.STARTING
        assert reading.hashrate_ths is None
        where.machine().boot_at = START - 7200
        assert (await read(driver)).state is State.MINING


async def test_rest_keeps_its_token_and_takes_a_new_one() -> None:
    async with on_site(S21, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(5):
            await driver.read()
            where.clock.at += 10
        asked = list(where.asked)
        assert len(where.machine().sessions) == 1
        where.clock.at += 3700  # tokens end after an hour without use
        assert (await read(driver)).state is State.MINING
        assert len(where.machine().sessions) == 2
        await driver.close()
    assert asked.count("/api/v1/auth/login") == 1
    assert asked.count("/api/v1/miner/details") == 6  # the first was refused
    assert asked.count("/api/v1/pools") == 1


async def test_a_poll_of_an_older_machine_is_one_connection() -> None:
    async with on_site(S19J, NETWORK) as where:
        driver = driver_of(where)
        await driver.identify()
        await driver.read()
        where.asked.clear()
        for _ in range(3):
            where.clock.at += 10
            await driver.read()
        assert len(where.asked) == 3
        assert {asked.count("+") for asked in where.asked} == {7}


async def test_a_password_of_the_owners_opens_rest() -> None:
    async with on_site(S21, NETWORK) as where:
        where.machine().credential = ("root", "s3cret")
        driver = driver_of(where)
        closed = await read(driver)
        where.known = (Credential("root", "s3cret"),)
        opened = await read(driver)
    assert closed.state is State.MINING
    assert [words.partition(":")[0] for words in closed.missing] == ["rest"]
    assert closed.boards[0].serial is None
    assert opened.missing == ()
    assert opened.boards[0].serial == where.machine().board_serials[0]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", None),
        ("reset", None),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("truncated", None),
        ("garbage", None),
        ("http", None),
    ],
)
async def test_what_strikes_port_4028_leaves_graphql(
    fault: str, outcome: type[DriverError] | None
) -> None:
    async with on_site(S19J, NETWORK, deadline_s=0.6) as where:
        driver = driver_of(where)
        await driver.identify()
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        if outcome is None:
            reading = await read(driver)
            assert reading.hashrate_ths == pytest.approx(where.machine().at(START).ghs_5s / 1000)
        else:
            with pytest.raises(outcome):
                await driver.read()
        assert where.clock.monotonic() - began < 0.6 + 0.3
        where.server.faults.clear()
        assert (await read(driver)).state is State.MINING


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("garbage", BadReply),
        ("http", Refused),
    ],
)
async def test_a_fault_of_all_ports_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(S21, NETWORK, deadline_s=0.6) as where:
        driver = driver_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await driver.read()
        assert where.clock.monotonic() - began < 0.6 + 0.3
        where.server.faults.clear()
        reading = await read(driver)
        assert (reading.state, reading.missing) == (State.MINING, ())


async def test_what_was_cut_on_all_ports_still_gives_a_part() -> None:
    async with on_site(S21, NETWORK) as where:
        where.server.faults.set("truncated", address=where.endpoint().address)
        reading = await read(driver_of(where))
        now = where.machine().at(START)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000)
    assert any(words.endswith("cut off") for words in reading.missing)


async def test_nobody_there() -> None:
    async with on_site(S19J, NETWORK, count=1, deadline_s=0.5) as where:
        driver = create("braiins", where.endpoint(9), where.context)
        with pytest.raises(Unreachable):
            await driver.read()
        with pytest.raises(Unreachable):
            await driver.identify()
