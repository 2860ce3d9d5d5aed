"""The Auradine driver against simulated machines: values, tokens, sleep, faults on the wire."""

import pytest

from drivers.api import Credential
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

MODELS = ("Teraflux AT1500", "Teraflux AT2880")
AT2880 = MODELS[1]
NETWORK = "127.84.0.0/16"


async def reading_of(driver: object) -> MinerReading:
    sample = await driver.read()  # type: ignore[attr-defined]
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("auradine", where.endpoint(number), where.context)


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        reading = await reading_of(driver_of(where))
        machine, now = where.machine(), where.machine().at(START)
    make = machine.model
    assert (reading.state, reading.uptime_s, reading.mode) == (
        State.MINING,
        now.uptime_s,
        "custom",
    )
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av / 1000)
    assert reading.power_w == pytest.approx(now.power_w, abs=0.01)
    assert reading.power_source is PowerSource.METERED
    assert reading.power_output_w == pytest.approx(now.power_w * 0.94, abs=0.01)
    assert reading.power_limit_w == round(machine.full_ghs / 1000 * make.efficiency_j_th)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx(
        [ghs / 1000 for ghs in now.board_ghs]
    )
    assert [board.serial for board in reading.boards] == list(machine.board_serials)
    assert [(b.chips, b.chips_expected) for b in reading.boards] == [(make.chips,) * 2] * 3
    assert [board.board_temp_c for board in reading.boards] == list(now.board_c)
    assert [board.chip_temp_c for board in reading.boards] == list(now.chip_c)
    assert {board.frequency_mhz for board in reading.boards} == {machine.frequency_mhz}
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.url for pool in reading.pools] == [pool.url for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


@pytest.mark.parametrize("model", MODELS)
async def test_it_is_found_and_identified(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        machine = where.machine()
        assert finding.driver_name == "auradine"
        assert finding.identity.id == f"asic-{machine.mac.lower()}"
        assert (finding.identity.model, finding.identity.serial) == (model, machine.serial)
        assert finding.identity.firmware_version == machine.model.firmware
        await finding.driver.close()


async def test_a_sleeping_machine_sleeps_and_still_draws() -> None:
    async with on_site(AT2880, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START)
        reading = await reading_of(driver_of(where))
    assert (reading.state, reading.hashrate_ths) == (State.SLEEPING, 0)
    assert (reading.power_w, reading.power_output_w) == (61.0, 0.0)


async def test_a_lost_board_is_a_fault() -> None:
    async with on_site(AT2880, NETWORK) as where:
        where.machine().become(Condition.BOARD_LOST, START)
        reading = await reading_of(driver_of(where))
    assert [board.chips for board in reading.boards] == [138, 138, None]
    assert [fault.message for fault in reading.faults] == ["board 3 is dead"]
    assert reading.boards[2].hashrate_ths == 0
    assert reading.state is State.MINING


async def test_without_pools_it_is_idle() -> None:
    async with on_site(AT2880, NETWORK) as where:
        where.machine().become(Condition.NO_POOL, START)
        assert (await reading_of(driver_of(where))).state is State.IDLE


async def test_a_token_is_kept_until_it_ends() -> None:
    async with on_site(AT2880, NETWORK) as where:
        driver = driver_of(where)
        for _ in range(8):
            assert (await reading_of(driver)).missing == ()
            where.clock.at += 600
        assert where.asked.count("/token") == 2  # it lives an hour
        assert len(where.machine().sessions) <= 2


async def test_the_operators_password_opens() -> None:
    async with on_site(AT2880, NETWORK) as where:
        where.machine().credential = ("admin", "s3cret")
        driver = driver_of(where)
        reading = await reading_of(driver)
        assert (reading.power_w, reading.hashrate_ths is None) == (None, False)
        assert "AccessDenied" in reading.missing[0]
        where.known = (Credential("admin", "s3cret"),)
        where.clock.at += 1
        assert (await reading_of(driver)).power_w


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
async def test_faults_of_port_4028_leave_the_pages(fault: str, outcome: type[DriverError]) -> None:
    async with on_site(AT2880, NETWORK, deadline_s=0.6) as where:
        driver = driver_of(where)
        await reading_of(driver)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        with pytest.raises(outcome):
            await reading_of(driver)  # these machines' API has no `summary`
        assert where.clock.monotonic() - began < 0.8
        where.server.faults.clear()
        assert (await reading_of(driver)).state is State.MINING
