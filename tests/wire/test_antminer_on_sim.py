"""The stock Antminer driver against machines in trouble, and what its web side adds."""

import pytest

from drivers.model import MinerReading, State
from drivers.probe import probe
from drivers.registry import create
from drivers.sim.machine import Condition
from tests.wire.simsite import START, OnSite, on_site

S21, S19PRO, S9 = "Antminer S21", "Antminer S19 Pro", "Antminer S9"
NETWORK = "127.80.0.0/16"
SLOW = [f"/cgi-bin/{name}.cgi" for name in ("get_miner_conf", "summary", "get_blink_status")]


async def reading_of(driver: object) -> MinerReading:
    reading = (await driver.read()).reading  # type: ignore[attr-defined]
    assert isinstance(reading, MinerReading)
    return reading


def driver_of(where: OnSite, number: int = 1) -> object:
    return create("antminer", where.endpoint(number), where.context)


@pytest.mark.parametrize("model", [S21, S19PRO])
async def test_a_sleeping_machine(model: str) -> None:
    """The S19 Pro's build says its mode on a web page alone."""
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.SLEEPING, START)
        reading = await reading_of(driver_of(where))
        assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")
        assert (reading.hashrate_ths, reading.faults) == (0, ())


async def test_it_falls_asleep_and_wakes_up() -> None:
    async with on_site(S19PRO, NETWORK) as where:
        driver, machine = driver_of(where), where.machine()
        for condition, state in (
            (Condition.RUNNING, State.MINING),
            (Condition.SLEEPING, State.SLEEPING),
            (Condition.RUNNING, State.MINING),
        ):
            machine.become(condition, where.clock.at)
            where.clock.at += 60
            assert (await reading_of(driver)).state is state


@pytest.mark.parametrize("model", [S21, S9])
async def test_a_lost_board(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        machine = where.machine()
        machine.become(Condition.BOARD_LOST, START)
        reading = await reading_of(driver_of(where))
        make = machine.model
        last = make.first_board + make.boards - 1
        assert [board.index for board in reading.boards] == list(range(make.first_board, last + 1))
        assert [board.chips for board in reading.boards] == [make.chips, make.chips, 0]
        assert reading.boards[-1].chip_temp_c is None
        words = [fault.message for fault in reading.faults]
        assert words[0] == f"board {last}: 0 of {make.chips} chips answer"
        # The S9 of this site has no web pages that could tell more.
        assert words[1:] == ([] if model == S9 else ["rate: R:1"])
        assert reading.state is State.MINING


@pytest.mark.parametrize("model", [S21, S9])
async def test_no_pool(model: str) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(Condition.NO_POOL, START)
        reading = await reading_of(driver_of(where))
        assert reading.state is State.IDLE
        assert {pool.status for pool in reading.pools} == {"Dead"}
        assert not any(pool.active for pool in reading.pools)
        codes = [fault.code for fault in reading.faults]
        assert codes == ([] if model == S9 else ["2"])


async def test_what_the_web_side_adds_and_how_often() -> None:
    async with on_site(S21, NETWORK) as where:
        driver = driver_of(where)
        reading = await reading_of(driver)
        assert [b.serial for b in reading.boards] == list(where.machine().board_serials)
        assert reading.locating is False
        seen = [path for path in where.asked if path.startswith("/")]
        assert list(dict.fromkeys(seen)) == [*SLOW, "/cgi-bin/stats.cgi"]
        del where.asked[:]
        for _ in range(89):
            where.clock.at += 10
            await reading_of(driver)
        assert not any(path.startswith("/") for path in where.asked)
        where.clock.at += 10
        await reading_of(driver)
        seen = [path for path in where.asked if path.startswith("/")]
        # The server's challenge has grown stale since: the first page is asked for twice.
        assert seen == [SLOW[0], *SLOW]


async def test_the_probe_finds_it() -> None:
    async with on_site(S21, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        assert (finding.driver_name, finding.identity.model) == ("antminer", S21)
        assert finding.identity.serial == where.machine().serial


async def test_a_wrong_password_costs_the_web_side_alone() -> None:
    async with on_site(S21, NETWORK) as where:
        where.machine().credential = ("ops", "unknown to us")
        driver = driver_of(where)
        reading = await reading_of(driver)
        assert (reading.state, reading.mode) == (State.MINING, "normal")
        assert any("AccessDenied" in part for part in reading.missing)
        del where.asked[:]
        where.clock.at += 10
        await reading_of(driver)
        assert where.asked == ["stats"]
