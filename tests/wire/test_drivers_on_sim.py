"""Drivers against the simulated site: what they read is what the machine shows."""

from datetime import UTC, datetime

import msgspec
import pytest

from drivers.api import Credential, Driver
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    Unreachable,
    WrongProtocol,
)
from drivers.model import MinerReading, Sample, State
from drivers.registry import create
from tests.wire.simsite import START, OnSite, on_site

STOCK, S9, TERRA, BITFORCE, RADEON = (
    "Antminer S19 Pro",
    "Antminer S9",
    "CoinTerra TerraMiner",
    "BitForce SC",
    "Radeon R9 290",
)
MODERN = ("Antminer S19", STOCK, "Antminer S19j Pro", "Antminer S19 XP", "Antminer S21")
NETWORK = "127.66.0.0/16"


def driver_of(where: OnSite, number: int = 1) -> Driver:
    name = "antminer" if where.machine(number).model.dialect.startswith("stock") else "cgminer"
    return create(name, where.endpoint(number), where.context)


async def reading_of(driver: Driver) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample, Sample)
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


# --- readings against the machine ----------------------------------------------------------


@pytest.mark.parametrize("model", [*MODERN, S9, TERRA, BITFORCE, RADEON])
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        reading = await reading_of(driver)
        machine, now = where.machine(), where.machine().at(START)
        await driver.close()
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-3)
    assert (reading.uptime_s, reading.state) == (now.uptime_s, State.MINING)
    assert reading.taken_at == datetime.fromtimestamp(START, UTC)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-3
    )
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert reading.hw_errors == now.hw_errors
    assert (reading.power_w, reading.faults, reading.missing) == (None, (), ())
    msgspec.json.encode(reading)


@pytest.mark.parametrize("model", [*MODERN, S9])
async def test_a_stock_machine_shows_chips_temperatures_and_fans(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    make = machine.model
    numbers = list(range(make.first_board, make.first_board + make.boards))
    assert [board.index for board in reading.boards] == numbers
    assert [board.chips for board in reading.boards] == [make.chips] * make.boards
    assert [board.chips_expected for board in reading.boards] == [make.chips] * make.boards
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
    assert [board.frequency_mhz for board in reading.boards] == [
        machine.frequency_mhz
    ] * make.boards
    assert reading.chip_temp_max_c == max(now.chip_c)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-6)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [fan.index for fan in reading.fans] == [make.first_fan + at for at in range(make.fans)]
    assert reading.mode == (None if model == S9 else "normal")


@pytest.mark.parametrize("model", [TERRA, BITFORCE, RADEON])
async def test_a_classic_machine_shows_its_devices(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        now = where.machine().at(START)
    assert [board.index for board in reading.boards] == list(range(len(now.board_c)))
    assert [board.chip_temp_c for board in reading.boards] == list(now.board_c)
    if model == RADEON:
        assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm


async def test_a_machine_that_has_just_booted_is_starting() -> None:
    async with on_site(STOCK, NETWORK) as where:
        where.site.reboot(where.endpoint().address)
        where.clock.at += 10
        reading = await reading_of(driver_of(where))
        assert (reading.state, reading.uptime_s, reading.hashrate_ths) == (State.STARTING, 10, 0)


async def test_a_machine_that_is_gone_is_unreachable() -> None:
    async with on_site(STOCK, NETWORK) as where:
        driver = driver_of(where)
        where.site.remove(where.endpoint().address)
        for act in (driver.read, driver.identify):
            with pytest.raises(Unreachable):
                await act()


# --- faults on the wire --------------------------------------------------------------------


@pytest.mark.parametrize("model", [STOCK, TERRA])
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
        driver = driver_of(where)
        healthy = await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        loop_began = where.clock.monotonic()
        with pytest.raises(outcome) as caught:
            await driver.read()
        assert type(caught.value) is outcome
        assert where.clock.monotonic() - loop_began < 0.3 + 0.2
        assert (await driver_of(where, 2).read()).reading.state is State.MINING
        where.server.faults.clear()
        where.clock.at += 60
        assert (await reading_of(driver)).shares_accepted > (healthy.shares_accepted or 0)


@pytest.mark.parametrize("model", [STOCK, S9, TERRA])
@pytest.mark.parametrize("fault", ["missing-nul", "glued", "bad-utf8"])
async def test_a_malformation_changes_nothing_in_the_reading(model: str, fault: str) -> None:
    async with on_site(model, NETWORK) as where:
        healthy = await reading_of(driver_of(where))
        where.server.faults.set(fault, address=where.endpoint().address)
        assert await reading_of(driver_of(where)) == healthy


@pytest.mark.parametrize("model", [STOCK, S9, TERRA])
async def test_a_truncated_answer_is_partly_read_and_says_so(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        healthy = await reading_of(driver)
        where.server.faults.set("truncated", address=where.endpoint().address)
        where.clock.at += 60
        now = where.machine().at(where.clock.at)
        reading = await reading_of(driver)
        assert any("cut off" in part for part in reading.missing)
        assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
        assert reading.state is State.MINING
        assert reading.faults == ()
        assert len(reading.pools) <= len(healthy.pools)
        for board in reading.boards:
            assert board.hashrate_ths is None or board.hashrate_ths > 0
        if model == STOCK:
            where.server.faults.clear()
            whole = await reading_of(driver)
            assert (len(whole.pools), whole.missing, whole.pools_at) == (3, (), None)


async def test_a_frozen_machine_reads_alike_at_any_time() -> None:
    async with on_site(STOCK, NETWORK) as where:
        where.server.faults.set("stale", address=where.endpoint().address)
        driver = driver_of(where)
        before = await reading_of(driver)
        where.clock.at += 3600
        after = await reading_of(driver)
        assert after.taken_at > before.taken_at
        assert (after.uptime_s, after.hashrate_ths) == (before.uptime_s, before.hashrate_ths)


# --- pools every now and then --------------------------------------------------------------


async def test_an_antminer_is_asked_for_pools_every_45_seconds() -> None:
    async with on_site(STOCK, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        del where.asked[:]
        ages = []
        for _ in range(10):
            where.clock.at += 10
            reading = await reading_of(driver)
            assert len(reading.pools) == 3
            fresh = reading.pools_at or reading.taken_at
            ages.append((reading.taken_at - fresh).total_seconds())
        assert ages == [10, 20, 30, 40, 0, 10, 20, 30, 40, 0]
        assert where.asked.count("stats") == 10
        assert where.asked.count("pools") == 2


async def test_pools_are_asked_at_once_of_a_machine_that_stands_still_or_is_another() -> None:
    async with on_site(STOCK, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        for change in (where.site.swap, where.site.reboot):
            change(where.endpoint().address)
            del where.asked[:]
            reading = await reading_of(driver)
            assert where.asked == ["stats", "pools"]
            assert reading.pools_at is None
            assert [pool.user for pool in reading.pools] == [p.user for p in where.machine().pools]


async def test_firmware_that_joins_brings_pools_with_every_poll() -> None:
    async with on_site(S9, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(3):
            where.clock.at += 10
            assert (await reading_of(driver)).pools_at is None
        assert where.asked == ["stats+pools"] * 3


# --- identity ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODERN)
async def test_a_stock_machine_is_known_by_its_mac(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver, machine = driver_of(where), where.machine()
        identity = await driver.identify()
        assert identity.mac == machine.mac.lower()
        assert identity.id == f"asic-{machine.mac.lower()}"
        assert (identity.make, identity.model, identity.firmware) == ("Bitmain", model, "stock")
        assert identity.firmware_version == machine.model.file_system
        assert identity.hostname == "Antminer"
        assert (await driver.read()).reading.device_id == identity.id


async def test_the_operators_password_comes_first_and_then_the_factorys() -> None:
    async with on_site(STOCK, NETWORK) as where:
        where.machine(1).credential = ("ops", "s3cret")
        where.known = (Credential("ops", "s3cret"),)
        for number in (1, 2):
            assert not (await driver_of(where, number).identify()).provisional


async def test_without_the_password_the_id_is_provisional() -> None:
    async with on_site(STOCK, NETWORK) as where:
        where.machine().credential = ("ops", "unknown to us")
        driver = driver_of(where)
        identity = await driver.identify()
        assert identity.provisional
        assert identity.id == "asic-at-127.66.0.1"
        assert (identity.model, identity.mac) == (STOCK, None)
        assert (await driver.read()).reading.device_id == identity.id


@pytest.mark.parametrize("model", [S9, TERRA])
async def test_a_machine_without_web_pages_is_provisional(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        assert (await driver_of(where).identify()).id == "asic-at-127.66.0.1"


async def test_the_web_suffices_where_the_poll_port_is_silent() -> None:
    async with on_site(STOCK, NETWORK, deadline_s=0.3) as where:
        where.server.faults.set("tarpit", address=where.endpoint().address)
        identity = await driver_of(where).identify()
        assert identity.mac == where.machine().mac.lower()


async def test_a_swapped_machine_has_another_identity_and_fingerprint() -> None:
    async with on_site(STOCK, NETWORK) as where:
        driver = driver_of(where)
        before, sample = await driver.identify(), await driver.read()
        where.clock.at += 10
        again = await driver.read()
        assert again.fingerprint.traits == sample.fingerprint.traits
        assert again.fingerprint.uptime_s == (sample.fingerprint.uptime_s or 0) + 10
        where.site.swap(where.endpoint().address)
        swapped = await driver.read()
        assert swapped.fingerprint.traits != sample.fingerprint.traits
        after = await driver.identify()
        assert after.id != before.id
        assert after.mac == where.machine().mac.lower()
