"""How a stock Antminer is asked: which questions, when, and what a failing side costs."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from drivers.api import Credential
from drivers.asic.antminer.driver import Antminer
from drivers.errors import AccessDenied, DeviceTimeout, DriverError, Unreachable
from drivers.model import Identity, MinerReading, State
from tests.replay import Replay

FOLDER = Path(__file__).parents[1] / "fixtures" / "asic"
SLOW = ["get_miner_conf", "summary", "get_blink_status"]


def recording(name: str = "antminer-mining") -> dict[str, Any]:
    found = json.loads((FOLDER / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


class Machine(Replay):
    """A recording whose machine goes on running, and whose web side can fail."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(copy.deepcopy(found))
        self.web_fails: DriverError | None = None
        self.bounds: list[float] = []

    def run(self, seconds: float) -> None:
        self.at += seconds
        self.recording["rpc"]["stats"]["STATS"][1]["Elapsed"] += seconds
        self.asked.clear()

    async def request(self, method: str, url: str, **more: Any) -> Any:
        self.bounds.append(more["deadline_s"])
        if self.web_fails:
            self.asked.append("web fails")
            raise self.web_fails
        return await super().request(method, url, **more)

    def pages(self) -> list[str]:
        gets = [line for line in self.asked if line.startswith("web GET")]
        return [line.rpartition("/")[2].removesuffix(".cgi") for line in gets]


def driver_of(machine: Machine, *credentials: Credential) -> Antminer:
    return Antminer(machine.endpoint, machine.context(*credentials))


async def read(driver: Antminer) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


async def test_most_polls_are_one_connection() -> None:
    machine = Machine(recording())
    driver = driver_of(machine)
    first = await read(driver)
    assert machine.pages() == [*SLOW, "stats"]
    counts = []
    for _ in range(90):
        machine.run(10)
        before = machine.connections
        again = await read(driver)
        counts.append(machine.connections - before)
        assert (again.mode, again.locating) == ("normal", False)
        assert again.boards[0].serial == first.boards[0].serial == "TESTBOARD00001"
    assert counts.count(1) == 72
    assert counts.count(2) == 17  # pools as well
    assert counts[-1] == 2 + len(SLOW)
    assert machine.pages() == SLOW  # at 900 s; the serials are known


async def test_a_machine_that_falls_asleep_is_looked_at_soon() -> None:
    machine = Machine(recording())
    driver = driver_of(machine)
    await read(driver)
    machine.run(60)
    machine.recording["rpc"]["stats"]["STATS"][1]["GHS 5s"] = 0.0
    machine.recording["web"]["/cgi-bin/get_miner_conf.cgi"]["bitmain-work-mode"] = 1
    reading = await read(driver)
    assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")
    machine.run(10)
    assert (await read(driver)).state is State.SLEEPING
    assert machine.pages() == []  # but not at every poll


async def test_another_machine_does_not_inherit() -> None:
    machine = Machine(recording())
    driver = driver_of(machine)
    await read(driver)
    machine.run(10)
    machine.recording["rpc"]["stats"]["STATS"][1] |= {"miner_id": "other", "Elapsed": 900}
    machine.web_fails = Unreachable("gone")
    reading = await read(driver)
    assert (reading.mode, reading.locating, reading.boards[0].serial) == (None, None, None)


@pytest.mark.parametrize(
    ("problem", "told"),
    [(Unreachable("refused"), 0), (DeviceTimeout("slow"), 1), (AccessDenied(401, "no"), 1)],
)
async def test_a_web_side_that_fails_costs_nothing_else(problem: DriverError, told: int) -> None:
    machine = Machine(recording())
    machine.web_fails = problem
    driver = driver_of(machine)
    reading = await read(driver)
    assert (reading.state, reading.hashrate_ths) == (State.MINING, 201.23456)
    assert len(reading.missing) == told
    assert max(machine.bounds) <= 2.0  # of 5 s
    machine.run(290)
    await read(driver)
    assert "web fails" not in machine.asked  # it rests
    machine.web_fails = None
    machine.run(20)
    assert (await read(driver)).mode == "normal"
    assert (await read(driver)).missing == ()


async def test_the_login_is_kept() -> None:
    machine = Machine(recording())
    tried: list[Any] = []
    inner = machine.digest
    machine.digest = lambda credential: tried.append(credential) or inner(credential)  # type: ignore[method-assign]
    driver = driver_of(machine)
    await driver.identify()
    for _ in range(3):
        await driver.read()
        machine.run(301)
    assert tried == [Credential("root", "root")]


async def test_port_4028_closed() -> None:
    found = recording("antminer-pages-alone")
    machine = Machine(found)
    driver = driver_of(machine)
    with pytest.raises(Unreachable):
        await driver.read()
    identity = await driver.identify()
    assert identity.id == "asic-02:1a:2b:3c:4d:07"
    machine.asked.clear()
    reading = await read(driver)
    assert machine.pages() == ["stats", "pools", *SLOW]
    assert (reading.state, reading.hashrate_ths) == (State.MINING, 201.23456)


async def test_port_4028_closed_and_no_stats_page() -> None:
    found = recording("antminer-pages-alone")
    del found["web"]["/cgi-bin/stats.cgi"], found["web"]["/cgi-bin/pools.cgi"]
    driver = driver_of(Machine(found))
    await driver.identify()
    reading = await read(driver)
    assert (reading.hashrate_ths, reading.hashrate_nominal_ths) == (201.23456, 200.0)
    assert [word.partition(":")[0] for word in reading.missing] == ["stats", "pools"]


async def test_a_version_without_a_model_is_completed_by_stats() -> None:
    found = recording()
    del found["rpc"]["version"]["VERSION"][0]["Type"]
    del found["web"]
    identity = await driver_of(Machine(found)).identify()
    assert isinstance(identity, Identity)
    assert (identity.model, identity.provisional) == ("Antminer S21", True)


async def test_nothing_answers() -> None:
    driver = driver_of(Machine({}))
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()


@pytest.mark.parametrize("page", ["[]", "null", "<html>", '{"SUMMARY": 5}', "{", '{"a":' * 900])
async def test_pages_that_are_none(page: str) -> None:
    found = recording()
    found["web"] = dict.fromkeys(found["web"], page)
    driver = driver_of(Machine(found))
    identity = await driver.identify()
    assert identity.provisional
    assert (await read(driver)).hashrate_ths == 201.23456


async def test_a_machine_that_knows_its_watts_is_asked_for_the_new_form() -> None:
    found = recording()
    page = found["web"]["/cgi-bin/stats.cgi"]
    page["STATS"][0]["watt"] = 3510
    machine = Machine(found)
    requests: list[bytes] = []
    inner = machine.exchange

    async def exchange(address: str, port: int, request: bytes, **more: Any) -> bytes:
        requests.append(request)
        if json.loads(request).get("new_api"):
            page["STATS"][0] |= {"watt": 3600, "elapsed": 86410}
            return json.dumps(page).encode()
        return await inner(address, port, request, **more)

    machine.exchange = exchange  # type: ignore[method-assign]
    driver = driver_of(machine)
    assert (await read(driver)).power_w == 3510  # from the page, read this moment
    machine.run(10)
    requests.clear()
    reading = await read(driver)
    assert requests[0] == b'{"command":"stats","new_api":true}'
    assert (reading.power_w, reading.power_source) == (3600, "reported")
    assert (reading.hashrate_ths, reading.boards[2].serial) == (201.23456, "TESTBOARD00003")


@pytest.mark.parametrize("joins", [True, False])
async def test_a_machine_without_stats_is_read_by_its_pages(joins: bool) -> None:
    found = recording() | {"joins": joins}
    del found["rpc"]["stats"]
    machine = Machine(found)
    driver = driver_of(machine)
    for _ in range(2):
        reading = await read(driver)
        assert (reading.hashrate_ths, len(reading.boards)) == (201.23456, 3)
        assert (reading.mode, reading.pools[0].active) == ("normal", True)
        assert reading.missing == ()
    machine.web_fails = Unreachable("gone")
    found["rpc"]["summary"] = {}
    assert (await read(driver)).pools[0].accepted == 5120
