"""Elphapex: recordings, constants that mean nothing, ways to log in, and damaged answers."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import WebReply
from drivers.asic.elphapex.answers import Config, parse, read_health
from drivers.asic.elphapex.driver import SLOW_PAGES, Elphapex, parse_identity
from drivers.errors import AccessDenied, DriverError, Unreachable, Unsupported
from drivers.model import Fault, MinerReading, PowerSource, State
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
HOME = ROOT / "Elphapex_DG1Home_stock-v1.json"
EXTRA = ROOT / "Elphapex_DG1Home_stock-extra-web.json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
recorded = pytest.mark.skipif(not HOME.exists(), reason="no captures beside the repository")
STATS = "/cgi-bin/stats.cgi"


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def fixture(name: str) -> dict[str, Any]:
    return load(FIXTURES / f"elphapex-{name}.json")


def recording(capture: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"web": {f"/cgi-bin/{k}.cgi": page for k, page in capture["web"].items()}, **more}


def driver_of(replay: Replay) -> Elphapex:
    return Elphapex(replay.endpoint, replay.context())


async def reading_of(driver: Any) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


# --- recordings ----------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("more", [{}, {"realm": "Daoge"}])
async def test_dg_home_is_identified(more: dict[str, Any]) -> None:
    finding = await Replay(recording(load(HOME), **more)).probe()
    identity = finding.identity
    assert finding.driver_name == "elphapex"
    assert (identity.make, identity.model) == ("Elphapex", "DG-Home1")
    assert (identity.firmware, identity.firmware_version) == ("stock", "1.0.5")
    assert (identity.mac, identity.serial) == ("b8:4c:87:e0:66:b2", "13HY24B056N300037C11B")
    assert (identity.hostname, identity.algorithm) == ("DG-Home1", "scrypt")


@recorded
async def test_dg_home_is_read() -> None:
    reading = await reading_of(driver_of(Replay(recording(load(HOME)))))
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (0, 0)
    assert reading.hashrate_nominal_ths == pytest.approx(3003.75e-6)
    # `expected` calls it mining by its mode; no pool can be reached, the rate is 0 and the
    # chips are at 25 degrees. It was switched on ten days before (`when`), so it is not starting.
    assert (reading.state, reading.mode, reading.uptime_s) == (State.IDLE, "normal", 0)
    # The key says output and the machine has no other figure: its own, of unknown making.
    assert (reading.power_w, reading.power_source) == (25, PowerSource.REPORTED)
    # `expected` has four boards of 120 chips: three places are empty, all of the machine's
    # nominal rate is the fourth's. The chips' sensors are in thousandths of a degree.
    (board,) = reading.boards
    assert (board.index, board.serial) == (3, "10HY24B046N300036H10JC53")
    assert (board.chips, board.chips_expected) == (120, 120)
    assert board.hashrate_nominal_ths == reading.hashrate_nominal_ths
    assert (board.chip_temp_c, reading.chip_temp_max_c) == (25.687, 25.687)
    # `temp_pcb` says 47, 46, 67, 66 here and on every other machine: `expected` takes its mean.
    assert (board.board_temp_c, board.hw_errors) == (None, None)
    assert [fan.rpm for fan in reading.fans] == [420, 420, 420, 1020]
    assert [pool.status for pool in reading.pools] == ["Unreachable"] * 3
    assert [pool.accepted for pool in reading.pools] == [0] * 3
    # An empty status is of what was not looked at: `expected` counts two messages.
    assert (reading.locating, reading.faults, reading.missing) == (False, (), ())


@recorded
async def test_the_network_page_tells_who_it_is() -> None:
    finding = await Replay(recording(load(EXTRA))).probe()
    assert (finding.driver_name, finding.identity.mac) == ("elphapex", "b8:4c:87:e0:66:b2")
    with pytest.raises(Unsupported):
        await finding.driver.read()


# --- traps ---------------------------------------------------------------------------------


def parsed(row: dict[str, Any], pages: dict[str, Any] | None = None) -> MinerReading:
    stats = {"STATUS": {"when": 90000}, "INFO": {"type": "DG9"}, "STATS": [row]}
    reading = parse(stats, "asic-x", NOW, pages or {}).reading
    assert isinstance(reading, MinerReading)
    return reading


def test_the_frequency_is_in_khz() -> None:
    # On both recorded models a chip makes 576 hashes in 2048 cycles of it, to the last digit.
    for freq, chips, ideal in ((62000, 204, 3557.25), (89000, 120, 3003.75)):
        assert freq * 1e3 * chips * 576 / 2048 == ideal * 1e6
    chain = {"index": 0, "asic_num": 204, "freq_avg": 62000}
    assert parsed({"chain": [chain]}).boards[0].frequency_mhz == 62


def test_a_board_sensor_that_moves_is_believed() -> None:
    chain = {"index": 0, "asic_num": 204, "temp_pcb": [48, 46, 66, 65], "temp_chip": "61500"}
    (board,) = parsed({"chain": [chain]}).boards
    assert (board.board_temp_c, board.chip_temp_c) == (66, 61.5)


@pytest.mark.parametrize(
    ("rate", "pages", "state"),
    [
        (0, {"get_miner_conf": Config(-1000)}, State.SLEEPING),
        (900, {"get_miner_conf": Config(-1000)}, State.MINING),
        (0, {}, State.UNKNOWN),  # nobody knows of its pools
        (0, {"pools": ()}, State.UNKNOWN),  # nor of its mode
        (0, {"pools": (), "get_miner_conf": Config(0)}, State.FAULT),
        (None, {}, State.UNKNOWN),
    ],
)
def test_states(rate: Any, pages: dict[str, Any], state: State) -> None:
    row = {"chain": [{"asic_num": 120}], **({} if rate is None else {"rate_5s": rate})}
    assert parsed(row, pages).state is state


def test_health_is_told_in_the_devices_words() -> None:
    rows = [
        {"type": "rate", "status": "", "code": 0, "msg": ""},
        {"type": "fans", "status": "e", "code": "7", "msg": "fan lost"},
        {"type": "network", "status": "w", "code": 0},
        {"type": "temp", "status": "S"},
    ]
    assert read_health({"SUMMARY": [{"status": rows}]}) == (
        Fault("7", "fan lost"),
        Fault(None, "the firmware says that network is not well"),
    )


@pytest.mark.parametrize(
    ("build", "version"),
    [("DG1+_SW_V1.0.2", "1.0.2"), ("DG-Home1_V1.0.5", "1.0.5"), ("beta", "beta"), (None, None)],
)
def test_versions(build: str | None, version: str | None) -> None:
    found = parse_identity({"system_filesystem_version": build}, {}, "asic-at-10.0.0.1")
    assert found.firmware_version == version


# --- pages and logins ----------------------------------------------------------------------


async def test_each_page_has_its_pace() -> None:
    replay = Replay(fixture("mining"))
    driver = driver_of(replay)
    ages = []
    for at in range(31):
        replay.at = NOW + 10 * at
        replay.recording["web"][STATS]["STATUS"]["when"] = 700000 + 10 * at
        reading = await reading_of(driver)
        ages.append((reading.taken_at - (reading.pools_at or reading.taken_at)).total_seconds())
    assert ages[:11] == [0, 10, 20, 30, 40, 0, 10, 20, 30, 40, 0]
    counts = {name: replay.asked.count(f"web GET /cgi-bin/{name}.cgi") for name in SLOW_PAGES}
    assert counts == {
        "pools": 7,
        "get_miner_conf": 6,
        "summary": 6,
        "get_power": 6,
        "get_blink_status": 2,
    }
    assert replay.asked.count(f"web GET {STATS}") == 31


async def test_a_machine_that_stops_is_looked_at_closely() -> None:
    replay = Replay(fixture("mining"))
    driver = driver_of(replay)
    assert (await reading_of(driver)).state is State.MINING
    web = replay.recording["web"]
    web[STATS]["STATS"][0]["rate_5s"] = 0
    web["/cgi-bin/get_miner_conf.cgi"]["fc-work-mode"] = -1000
    replay.at += 1
    web[STATS]["STATUS"]["when"] += 1
    assert (await reading_of(driver)).state is State.SLEEPING


class Basic(Replay):
    """A server that wants basic authentication."""

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        sent = (values.get("headers") or {}).get("Authorization")
        if sent != "Basic cm9vdDpyb290":
            return WebReply(401, {"www-authenticate": 'Basic realm="x"'}, b"")
        return await super().request(method, url, **values)


async def test_basic_authentication_is_answered_as_such() -> None:
    replay = Basic({**fixture("mining"), "realm": None})
    assert (await driver_of(replay).identify()).model == "DG1+"


class Locked(Replay):
    """A server whose password is another."""

    async def request(self, method: str, url: str, **_: Any) -> WebReply:
        self.asked.append(url)
        return WebReply(401, {"www-authenticate": 'Digest realm="Daoge"'}, b"")


async def test_a_wrong_password_is_not_got_around() -> None:
    replay = Locked({})
    driver = driver_of(replay)
    for act in (driver.identify, driver.read):
        with pytest.raises(AccessDenied):
            await act()
    assert not any("luci" in url for url in replay.asked)


async def test_nothing_answers() -> None:
    driver = driver_of(Replay({}))
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()
    await driver.close()


# --- damage --------------------------------------------------------------------------------

FAULTY = fixture("faults")
PAGES = {path.rpartition("/")[2].removesuffix(".cgi"): page for path, page in FAULTY["web"].items()}


@settings(max_examples=200, deadline=None)
@given(mutations({"stats": PAGES["stats"]}), st.data())
def test_damaged_answers_are_read_as_far_as_they_go(damaged: Any, data: st.DataObject) -> None:
    stats = damaged.get("stats")
    pages = {
        name: slow.reduce(data.draw(mutations(PAGES[name])))
        for name, slow in SLOW_PAGES.items()
        if name in PAGES
    }
    sample = parse(stats if isinstance(stats, dict) else {}, "asic-x", NOW, pages, NOW)
    msgspec.json.encode(sample)


@settings(max_examples=80, deadline=None)
@given(mutations({"web": FAULTY["web"]}))
async def test_a_damaged_machine_raises_nothing_but_driver_errors(damaged: Any) -> None:
    web = damaged.get("web")
    driver = driver_of(Replay({"web": web if isinstance(web, dict) else {}}))
    for act in (driver.identify, driver.read):
        try:
            msgspec.json.encode(await act())
        except DriverError:
            continue
