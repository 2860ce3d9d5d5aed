"""The Whatsminer drivers against the simulated site: both APIs, all conditions, faults."""

from typing import Any

import msgspec
import pytest

from drivers.api import Driver
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, Sample, State
from drivers.probe import probe
from drivers.registry import create
from tests.wire.simsite import START, OnSite, on_site

NEW, OLD = "Whatsminer M30S+ VE40", "Whatsminer M20S V10"
FRAMES, HYDRO = "Whatsminer M60S VK40", "Whatsminer M63S VK30"
MODELS = (NEW, OLD, FRAMES, HYDRO)


def network_of(model: str) -> str:
    return "127.71.0.0/16" if model in (NEW, OLD) else "127.72.0.0/16"


def driver_of(where: OnSite, number: int = 1) -> Driver:
    return create(where.machine(number).model.dialect, where.endpoint(number), where.context)


async def reading_of(driver: Driver) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample, Sample)
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def site(model: str, **values: Any) -> Any:
    return on_site(model, network_of(model), **values)


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_is_found_and_named(model: str) -> None:
    async with site(model) as where:
        finding = await probe(where.endpoint(), where.context)
        machine = where.machine()
    identity = finding.identity
    assert finding.driver_name == machine.model.dialect, finding.evidence
    assert (identity.make, identity.model, identity.firmware) == ("MicroBT", model, "stock")
    assert identity.firmware_version == machine.model.firmware
    assert (identity.mac, identity.id) == (machine.mac.lower(), f"asic-{machine.mac.lower()}")
    if model != OLD:
        assert (identity.serial, identity.hostname) == (machine.serial, "WhatsMiner")


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with site(model) as where:
        driver = driver_of(where)
        identity = await driver.identify()
        reading = await reading_of(driver)
        machine, now = where.machine(), where.machine().at(START)
        await driver.close()
    make = machine.model
    assert reading.device_id == identity.id
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-4)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-4)
    assert reading.power_w == pytest.approx(now.power_w, abs=1)
    metered = PowerSource.REPORTED if model == OLD else PowerSource.METERED
    assert reading.power_source is metered
    assert reading.power_limit_w == make.extra["power_limit_w"]
    assert (reading.uptime_s, reading.state) == (now.uptime_s, State.MINING)
    # API 1 knows no `Env Temp`, API 3.0.0 no word for its mode.
    assert reading.inlet_temp_c == (None if model == OLD else pytest.approx(now.inlet_c, abs=0.1))
    assert reading.mode == (None if model == HYDRO else "normal")
    assert reading.chip_temp_max_c == max(now.chip_c)
    assert [board.index for board in reading.boards] == list(range(make.boards))
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert [board.chips for board in reading.boards] == [make.chips] * make.boards
    assert [board.chips_expected for board in reading.boards] == [make.chips] * make.boards
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
    assert [board.frequency_mhz for board in reading.boards] == (
        [machine.frequency_mhz] * make.boards
    )
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-5
    )
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    counted = model in (NEW, OLD)  # API 3 has no counts of shares
    assert reading.shares_accepted == (now.accepted if counted else None)
    assert reading.shares_rejected == (now.rejected if counted else None)
    assert (reading.faults, reading.missing) == ((), ())
    msgspec.json.encode(reading)


@pytest.mark.parametrize("model", MODELS)
async def test_a_stopped_machine_sleeps(model: str) -> None:
    async with site(model) as where:
        driver = driver_of(where)
        await driver.identify()
        assert (await reading_of(driver)).state is State.MINING
        where.site.put_to_sleep(where.endpoint().address)
        where.clock.at += 10
        for _ in range(2):
            reading = await reading_of(driver)
            assert reading.state is State.SLEEPING
            assert not reading.hashrate_ths
            assert reading.power_w == pytest.approx(where.machine().model.standby_w, abs=1)
            assert reading.power_source is (
                PowerSource.REPORTED if model == OLD else PowerSource.METERED
            )
            where.clock.at += 10


@pytest.mark.parametrize("model", MODELS)
async def test_a_lost_board_is_told(model: str) -> None:
    async with site(model) as where:
        where.site.lose_board(where.endpoint().address)
        driver = driver_of(where)
        await driver.identify()
        reading = await reading_of(driver)
        last = where.machine().model.boards - 1
    assert reading.state is State.MINING
    assert [board.index for board in reading.boards] == list(range(last + 1))
    lost = reading.boards[last]
    # Firmware of API 1 does not list it any more; that of later ones shows it without chips.
    assert (lost.chips, lost.hashrate_ths) == ((None, None) if model == OLD else (0, 0.0))
    assert [fault.code for fault in reading.faults] == [f"53{last}", None]
    assert reading.faults[1].message == f"Hash board {last} does not answer."


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_without_pools_is_idle(model: str) -> None:
    async with site(model) as where:
        where.site.lose_pools(where.endpoint().address)
        reading = await reading_of(driver_of(where))
    assert (reading.state, reading.hashrate_ths) == (State.IDLE, 0)
    assert {pool.status for pool in reading.pools} == {"Dead"}
    assert [pool.active for pool in reading.pools] == [False] * 3
    if model != OLD or reading.faults:
        assert [fault.code for fault in reading.faults] == ["2010"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_machine_that_ramps_up_is_starting(model: str) -> None:
    async with site(model) as where:
        where.site.reboot(where.endpoint().address)
        driver = driver_of(where)
        where.clock.at += 20
        assert (await reading_of(driver)).state is State.STARTING
        where.clock.at += 120
        reading = await reading_of(driver)
        assert reading.state is State.STARTING
        assert reading.hashrate_ths
        where.clock.at += 600
        assert (await reading_of(driver)).state is State.MINING


@pytest.mark.parametrize("model", MODELS)
async def test_polls_cost_one_connection(model: str) -> None:
    async with site(model) as where:
        driver = driver_of(where)
        await driver.read()
        for _ in range(4):
            where.asked.clear()
            where.clock.at += 10
            await driver.read()
            expected = (
                ["summary+devs+pools"]
                if model in (NEW, OLD)
                else ["get.miner.status|summary", "get.miner.status|edevs"]
            )
            assert where.asked == expected


@pytest.mark.parametrize("model", MODELS)
async def test_another_machine_at_the_address_shows(model: str) -> None:
    async with site(model) as where:
        driver = driver_of(where)
        before = await driver.read()
        where.clock.at += 10
        where.site.swap(where.endpoint().address)
        after = await driver.read()
    assert isinstance(before, Sample)
    assert isinstance(after, Sample)
    assert before.fingerprint.traits != after.fingerprint.traits


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", (Unreachable,)),
        ("tarpit", (DeviceTimeout,)),
        ("drip", (DeviceTimeout,)),
        ("reset", (Unreachable,)),
        ("garbage", (BadReply, Unreachable)),
        ("http", (WrongProtocol, BadReply)),
    ],
)
async def test_a_fault_has_its_error(
    model: str, fault: str, outcome: tuple[type[DriverError], ...]
) -> None:
    async with site(model, deadline_s=0.6) as where:
        driver = driver_of(where)
        await driver.read()
        where.server.faults.set(fault, address=where.endpoint().address)
        where.clock.at += 10
        with pytest.raises(outcome):
            await driver.read()
        where.server.faults.clear()
        where.clock.at += 10
        assert (await reading_of(driver)).state is State.MINING


@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("fault", ["missing-nul", "glued", "bad-utf8", "truncated"])
async def test_a_malformed_answer_still_gives_what_it_holds(model: str, fault: str) -> None:
    async with site(model) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        reading = await reading_of(driver_of(where))
        now = where.machine().at(START)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert bool(reading.missing) is (fault == "truncated")


@pytest.mark.parametrize("model", [FRAMES, HYDRO])
async def test_half_a_frame_is_no_answer(model: str) -> None:
    async with site(model) as where:
        where.server.faults.set("truncated", address=where.endpoint().address)
        with pytest.raises(Unreachable):
            await driver_of(where).read()
