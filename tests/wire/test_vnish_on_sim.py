"""The VNish driver against simulated machines over loopback."""

import msgspec
import pytest

from drivers.api import Credential
from drivers.errors import DriverError
from drivers.model import MinerReading, PowerSource, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.dialects.vnish import presets
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

S19J = "Antminer S19j Pro (Vnish 1.2.6)"
L7 = "Antminer L7 (Vnish 1.2.6)"
S19XP = "Antminer S19 XP (Vnish 1.2.0-rc1)"
MODELS = (S19J, L7, S19XP)
NETWORK = "127.79.0.0/16"


async def reading_of(driver: object) -> MinerReading:
    reading = (await driver.read()).reading  # type: ignore[attr-defined]
    assert isinstance(reading, MinerReading)
    msgspec.json.encode(reading)
    return reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("vnish", where.endpoint(number), where.context)


@pytest.mark.parametrize("model", MODELS)
async def test_a_reading_is_what_the_machine_shows(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        driver = driver_of(where)
        reading = await reading_of(driver)
        machine, now = where.machine(), where.machine().at(START)
        await driver.close()  # type: ignore[attr-defined]
        assert machine.sessions == {}
    scale = 1e-6 if model == L7 else 1e-3
    boards = range(machine.model.boards)
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s * scale, rel=1e-3)
    assert reading.hashrate_avg_ths == pytest.approx(now.ghs_av * scale, rel=1e-3)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.full_ghs * scale, rel=1e-3)
    assert (reading.state, reading.uptime_s) == (State.MINING, now.uptime_s)
    assert [b.hashrate_ths for b in reading.boards] == pytest.approx(
        [ghs * scale for ghs in now.board_ghs], rel=1e-3
    )
    assert [b.chips for b in reading.boards] == [machine.model.chips for _ in boards]
    assert [b.chip_temp_c for b in reading.boards] == list(now.chip_c)
    assert [b.board_temp_c for b in reading.boards] == list(now.board_c)
    assert [b.serial for b in reading.boards] == list(machine.board_serials)
    assert {b.voltage_v for b in reading.boards} == {13.4}
    assert tuple(fan.rpm for fan in reading.fans) == now.fan_rpm
    assert [pool.user for pool in reading.pools] == [pool.user for pool in machine.pools]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (now.accepted, now.rejected)
    watts = None if model == S19XP else round(now.power_w)
    assert reading.power_w == watts
    assert reading.power_source is (None if watts is None else PowerSource.REPORTED)
    rows = presets(machine)
    assert reading.power_limit_w == float(rows[2]["name"])
    assert reading.power_limit_min_w == float(rows[1]["name"])
    assert reading.power_limit_max_w == float(rows[-2]["name"])
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


@pytest.mark.parametrize("model", MODELS)
async def test_it_is_found_and_named(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        identity = finding.identity
        assert finding.driver_name == "vnish"
        assert identity.id == f"asic-{where.machine().mac.lower()}"
        assert identity.model == model.partition(" (")[0]
        assert (identity.firmware, identity.firmware_version) == (
            "vnish",
            where.machine().model.firmware,
        )
        assert identity.algorithm == ("scrypt" if model == L7 else "sha256")
        assert (await finding.driver.read()).reading.device_id == identity.id
        await finding.driver.close()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rpc_alone", [False, True])
async def test_conditions(model: str, *, rpc_alone: bool) -> None:
    async with on_site(model, NETWORK) as where:
        if rpc_alone:
            where.machine().credential = ("", "unknown to us")
            if model != S19XP:
                return  # its pages are open
        machine = where.machine()
        expected = {
            Condition.SLEEPING: State.SLEEPING,
            Condition.NO_POOL: State.IDLE,
            Condition.BOARD_LOST: State.MINING,
        }
        for condition, state in expected.items():
            machine.become(condition, START)
            driver = driver_of(where)
            reading = await reading_of(driver)
            await driver.close()  # type: ignore[attr-defined]
            assert reading.state is state, condition
            assert bool(reading.hashrate_ths) is (condition is Condition.BOARD_LOST)
            if condition is Condition.BOARD_LOST:
                last = reading.boards[-1]
                assert (last.chips, last.hashrate_ths, last.chip_temp_c) == (0, 0, None)
                assert any("No chips detected" in fault.message for fault in reading.faults)
            else:
                assert reading.faults == ()
            if condition is Condition.NO_POOL:
                assert {pool.status for pool in reading.pools} == {"Dead"}


async def test_a_poll_is_one_page_and_the_token_is_kept() -> None:
    async with on_site(S19XP, NETWORK) as where:
        driver = driver_of(where)
        await reading_of(driver)
        assert len(where.machine().sessions) == 1
        for _ in range(5):
            del where.asked[:]
            where.clock.at += 10
            await reading_of(driver)
            assert where.asked == ["/api/v1/summary"]
        where.clock.at += 1000  # the token has died; the next poll unlocks anew
        assert (await reading_of(driver)).missing == ()
        await driver.close()  # type: ignore[attr-defined]
        assert where.machine().sessions == {}


async def test_the_operators_password() -> None:
    async with on_site(S19XP, NETWORK) as where:
        where.machine().credential = ("", "s3cret")
        where.known = (Credential("any", "s3cret"),)
        assert not (await driver_of(where).identify()).provisional  # type: ignore[attr-defined]


async def test_a_locked_machine_is_read_over_the_rpc() -> None:
    async with on_site(S19XP, NETWORK) as where:
        where.machine().credential = ("", "unknown to us")
        driver = driver_of(where)
        identity = await driver.identify()  # type: ignore[attr-defined]
        reading = await reading_of(driver)
        now = where.machine().at(START)
        assert (identity.provisional, identity.model) == (True, "Antminer S19 XP")
        assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
        assert reading.shares_accepted == now.accepted
        assert any("AccessDenied" in part for part in reading.missing)


@pytest.mark.parametrize(
    "fault", ["refuse", "reset", "tarpit", "drip", "garbage", "http", "truncated", "bad-utf8"]
)
async def test_a_web_side_that_fails_leaves_the_rpc(fault: str) -> None:
    async with on_site(S19J, NETWORK, deadline_s=0.8) as where:
        driver = driver_of(where)
        where.server.faults.set(fault, address=where.endpoint().address)
        began = where.clock.monotonic()
        try:
            reading = await reading_of(driver)
        except DriverError:
            pass
        else:
            now = where.machine().at(START)
            assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
        assert where.clock.monotonic() - began < 1.1
        where.server.faults.clear()
        where.clock.at += 400
        assert (await reading_of(driver)).state is State.MINING
        assert (await reading_of(driver_of(where, 2))).state is State.MINING


async def test_a_machine_that_is_gone() -> None:
    async with on_site(S19J, NETWORK) as where:
        driver = driver_of(where)
        where.site.remove(where.endpoint().address)
        for act in (driver.read, driver.identify):  # type: ignore[attr-defined]
            with pytest.raises(DriverError):
                await act()
