"""The MARA driver against simulated machines: pages behind a digest, conditions, faults."""

from typing import Any

import pytest

from drivers.api import Credential
from drivers.errors import BadReply, DeviceTimeout, DriverError, Refused, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.dialects.mara import TARGET_W, VOLTS
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

MODEL = "Antminer S21 Pro"
NETWORK = "127.75.0.0/16"


def driver_of(where: OnSite) -> Any:
    return create("mara", where.endpoint(), where.context)


async def read(driver: Any) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


async def test_the_probe_finds_it_and_its_identity() -> None:
    async with on_site(MODEL, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine, identity = where.machine(), finding.identity
    assert finding.driver_name == "mara"
    assert identity.id == f"asic-{machine.mac.lower()}"
    assert (identity.make, identity.model) == ("Bitmain", MODEL)
    assert (identity.firmware, identity.firmware_version) == ("mara", "3.14.2")
    assert (identity.hostname, identity.algorithm) == (machine.hostname, "sha256")


async def test_a_reading_is_what_the_machine_shows() -> None:
    async with on_site(MODEL, NETWORK) as where:
        driver = driver_of(where)
        await driver.identify()
        reading = await read(driver)
        machine, now = where.machine(), where.machine().at(START)
    assert (reading.state, reading.uptime_s, reading.mode) == (State.MINING, now.uptime_s, "auto")
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-5)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000, rel=1e-5)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs / 1000, rel=1e-5)
    assert reading.power_w == pytest.approx(now.power_w, abs=0.1)
    assert (reading.power_source, reading.power_limit_w) == (PowerSource.REPORTED, TARGET_W)
    assert [b.index for b in reading.boards] == [0, 1, 2]
    assert [b.serial for b in reading.boards] == list(machine.board_serials)
    assert [b.hashrate_ths for b in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs], rel=1e-5
    )
    assert {(b.chips, b.chips_expected) for b in reading.boards} == {(65, 65)}
    assert [b.board_temp_c for b in reading.boards] == list(now.board_c)
    assert [b.chip_temp_c for b in reading.boards] == list(now.chip_c)
    assert {b.voltage_v for b in reading.boards} == {VOLTS}
    assert {b.frequency_mhz for b in reading.boards} == {machine.frequency_mhz}
    assert reading.chip_temp_max_c == max(now.chip_c)
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


async def test_a_machine_in_mode_sleep() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START - 3600)
        reading = await read(driver_of(where))
        now = where.machine().at(START)
    assert (reading.state, reading.mode, reading.hashrate_ths) == (State.SLEEPING, "sleep", 0)
    assert reading.power_w == pytest.approx(now.power_w, abs=0.1)
    assert reading.power_source is PowerSource.MODELLED
    assert (reading.chip_temp_max_c, reading.faults) == (None, ())


async def test_a_machine_whose_pools_are_dead_is_idle() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(Condition.NO_POOL, START - 3600)
        reading = await read(driver_of(where))
    assert (reading.state, reading.hashrate_ths) == (State.IDLE, 0)
    assert {(pool.status, pool.active) for pool in reading.pools} == {("Dead", False)}


async def test_a_lost_board_is_named() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START - 60)
        reading = await read(driver_of(where))
    lost = reading.boards[2]
    assert reading.state is State.MINING
    assert (lost.chips, lost.chips_expected, lost.hashrate_ths) == (0, 65, 0)
    assert (lost.board_temp_c, lost.chip_temp_c) == (None, None)
    assert [fault.message for fault in reading.faults] == ["board 2: hashboard does not answer"]


async def test_a_poll_is_three_pages() -> None:
    async with on_site(MODEL, NETWORK) as where:
        driver = driver_of(where)
        await driver.read()
        where.asked.clear()
        for _ in range(3):
            where.clock.at += 10
            await driver.read()
        await driver.close()
    assert where.asked == [f"/kaonsu/v1/{name}" for name in ("brief", "hashboards", "fans")] * 3


async def test_a_password_that_nobody_knows_leaves_port_4028() -> None:
    async with on_site(MODEL, NETWORK) as where:
        where.machine().credential = ("root", "s3cret")
        driver = driver_of(where)
        identity = await driver.identify()
        reading = await read(driver)
        now = where.machine().at(START)
        where.known = (Credential("root", "s3cret"),)
        opened = await read(driver)
    assert (identity.model, identity.firmware) == (MODEL, "mara")
    assert identity.firmware_version == "MARAFW_3.14.2"
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-4)
    assert reading.power_w is None
    assert [words.partition(":")[0] for words in reading.missing] == ["web"]
    assert (opened.missing, opened.power_source) == ((), PowerSource.REPORTED)


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
async def test_a_fault_has_its_error(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(MODEL, NETWORK, deadline_s=0.6) as where:
        driver = driver_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await driver.read()
        assert where.clock.monotonic() - began < 0.6 + 0.3
        where.server.faults.clear()
        assert (await read(driver)).state is State.MINING
