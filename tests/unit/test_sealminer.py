"""SealMiner: a recording, states, its web session, and damaged answers."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from drivers.api import WebReply
from drivers.asic.sealminer.answers import full_name, parse
from drivers.asic.sealminer.driver import Sealminer
from drivers.errors import DriverError, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
A2 = ROOT / "Bitdeer_SealMinerA2_stock-v2025.json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
recorded = pytest.mark.skipif(not A2.exists(), reason="no captures beside the repository")
INFO = "/cgi-bin/get_system_info.php"
LOGIN = "web POST /cgi-bin/login.php"


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def fixture(name: str) -> dict[str, Any]:
    return load(FIXTURES / f"sealminer-{name}.json")


def recording(capture: dict[str, Any], **more: Any) -> dict[str, Any]:
    web = {f"/cgi-bin/{name}.php": page for name, page in capture["web"].items()}
    web["POST /cgi-bin/login.php"] = {"state": 0, "msg": ""}
    return {"rpc": capture["rpc"], "web": web, "closed": [INFO], "joins": True, **more}


def driver_of(replay: Replay) -> Sealminer:
    return Sealminer(replay.endpoint, replay.context())


def objects(replies: Any) -> dict[str, Any]:
    """What the transport lets through: answers that are objects."""
    return {name: reply for name, reply in replies.items() if isinstance(reply, dict)}


async def reading_of(driver: Any) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


# --- a recording ---------------------------------------------------------------------------


@recorded
async def test_a2_is_identified_by_port_4028_alone() -> None:
    replay = Replay(recording(load(A2)))
    finding = await replay.probe()
    identity = finding.identity
    assert finding.driver_name == "sealminer"
    assert (identity.make, identity.model) == ("Bitdeer", "SealMiner A2")
    assert (identity.firmware, identity.firmware_version) == ("stock", "2025091001")
    assert (identity.mac, identity.serial) == ("50:d4:48:4b:86:78", "S127200252001850")
    assert not any(line.startswith("web") for line in replay.asked)


@recorded
async def test_a2_is_read() -> None:
    capture = load(A2)
    reading = await reading_of(driver_of(Replay(recording(capture))))
    row, summary = capture["rpc"]["stats"]["STATS"][0], capture["rpc"]["summary"]["SUMMARY"][0]
    # `expected` takes the mean for the rate. The 5 s of `summary` would be 368 TH/s.
    assert reading.hashrate_ths == pytest.approx(row["MHS(30s)"] / 1e6)
    assert summary["MHS 5s"] > 1.5 * row["MHS(Rated)"]
    assert reading.hashrate_avg_ths == pytest.approx(206.86047351)
    assert reading.hashrate_nominal_ths == pytest.approx(230.83940728559)
    assert (reading.power_w, reading.power_source) == (3504, PowerSource.METERED)
    assert reading.power_output_w == 3232
    # The supply's efficiency is the quotient of the two: both are measured.
    assert pytest.approx(row["PSU Efficiency"], abs=1e-4) == 3232 / 3504
    assert (reading.power_limit_w, reading.mode) == (3500, "normal")
    assert (reading.state, reading.uptime_s, reading.locating) == (State.MINING, 2481, True)
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (1421, 3, 0)
    assert (reading.hw_errors, reading.chip_temp_max_c) == (54, 70)
    for at, board in enumerate(reading.boards):
        assert board.serial == row[f"{at} SN"]
        assert board.hashrate_ths == pytest.approx(row[f"{at} MHS(Sample)"] / 1e6)
        assert board.hashrate_nominal_ths == pytest.approx(row[f"{at} MHS(Ideal)"] / 1e6)
        assert (board.chips, board.chips_expected) == (153, 153)
        assert board.frequency_mhz == row[f"{at} Freq"]
        temps = [row[f"{at} Temp {sensor}"] for sensor in range(4)]
        assert (board.chip_temp_c, board.inlet_temp_c) == (max(temps), min(temps))
    assert [fan.rpm for fan in reading.fans] == [3723, 3723, 3753, 3723]
    assert [pool.active for pool in reading.pools] == [True]
    assert [pool.accepted for pool in reading.pools] == [322]
    assert (reading.faults, reading.missing) == ((), ())


@recorded
async def test_a2_is_known_by_its_web_side_alone() -> None:
    capture = load(A2)
    finding = await Replay(recording(capture, rpc={}, closed=[])).probe()
    assert (finding.driver_name, finding.identity.model) == ("sealminer", "SealMiner A2")
    machine = recording(capture, closed=[])
    del machine["rpc"]
    reading = await reading_of(driver_of(Replay(machine)))
    assert (reading.power_w, reading.power_source) == (3504, PowerSource.METERED)
    assert (reading.locating, reading.hashrate_ths, reading.state) == (True, None, State.UNKNOWN)


# --- states and shapes ---------------------------------------------------------------------


def parsed(**values: Any) -> MinerReading:
    row = {"Model": "A2", "Elapsed": 4000, "MHS(30s)": 0.0, "PM State": "Running", **values}
    pools = {"POOLS": [{"URL": "x", "Status": "Dead"}]}
    reading = parse(Report({"stats": {"STATS": [row]}, "pools": pools}), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"PM State": "Suspended"}, State.SLEEPING),
        ({"PM State": "Standby"}, State.SLEEPING),
        ({"PM State": "Tuning"}, State.STARTING),
        ({"PM State": "Initialising"}, State.STARTING),
        ({}, State.IDLE),
        ({"PM State": None, "Elapsed": 30}, State.STARTING),
        ({"PM State": "Suspended", "MHS(30s)": 9e7}, State.MINING),
    ],
)
def test_states(values: dict[str, Any], state: State) -> None:
    assert parsed(**values).state is state


def test_water_cooled_machines_have_no_fans() -> None:
    reading = parsed(**{"Fan Count": 0, "PSU Fan Speed": 4000, "0 Speed": 0})
    assert reading.fans == ()


def test_boards_that_are_counted_and_not_shown_are_there() -> None:
    reading = parsed(**{"Board Count": 2, "0 Chip Count": 153, "Model": "A9"})
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [
        (153, 153),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("said", "name"),
    [("A2", "SealMiner A2"), ("A2 Pro Hyd", "SealMiner A2 Pro Hyd"), ("K10Pro", "K10Pro")],
)
def test_names(said: str, name: str) -> None:
    assert full_name(said) == name


# --- the web session -----------------------------------------------------------------------


async def test_the_light_is_looked_at_every_five_minutes_in_one_session() -> None:
    replay = Replay(fixture("mining"))
    driver = driver_of(replay)
    for at in range(61):
        replay.at = NOW + 10 * at
        replay.recording["rpc"]["stats"]["STATS"][0]["Elapsed"] = 40000 + 10 * at
        assert (await reading_of(driver)).locating is False
    assert replay.asked.count("rpc stats+summary+pools") == 61
    assert replay.asked.count(f"web GET {INFO}") == 3
    assert replay.asked.count(LOGIN) == 1
    await driver.close()


class WithCookies(Replay):
    """A server that insists on its own name for the session."""

    def __init__(self, recording: Any) -> None:
        super().__init__(recording)
        self.cookies: list[str] = []

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        reply = await super().request(method, url, **values)
        self.cookies.append((values.get("headers") or {}).get("Cookie", ""))
        if method == "POST":
            set_cookie = {"set-cookie": "PHPSESSID=given123; path=/; HttpOnly"}
            return WebReply(reply.status, set_cookie, reply.body)
        return reply


async def test_the_session_has_the_name_that_the_server_gives() -> None:
    replay = WithCookies(fixture("mining"))
    await driver_of(replay).read()
    ours, given = replay.cookies
    assert ours.startswith("PHPSESSID=")
    assert given == "PHPSESSID=given123"


@pytest.mark.parametrize("answer", [{"state": 1, "msg": "wrong"}, {"state": "2"}])
async def test_a_refused_login_loses_nothing_but_the_light(answer: Any) -> None:
    machine = fixture("mining")
    machine["web"]["POST /cgi-bin/login.php"] = answer
    replay = Replay(machine)
    driver = driver_of(replay)
    for _ in range(3):
        reading = await reading_of(driver)
        assert (reading.power_w, reading.locating) == (3390, None)
        assert [part.partition(":")[0] for part in reading.missing] == ["get_system_info"]
    assert replay.asked.count(LOGIN) == 1  # devices lock out who keeps trying


async def test_nothing_answers() -> None:
    driver = driver_of(Replay({}))
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()


# --- damage --------------------------------------------------------------------------------

FAULTY, HEALTHY = fixture("faults"), fixture("mining")


@settings(max_examples=200, deadline=None)
@given(mutations({name: FAULTY["rpc"][name] for name in ("stats", "summary", "pools")}))
def test_damaged_answers_are_read_as_far_as_they_go(replies: Any) -> None:
    sample = parse(Report(objects(replies)), "asic-x", NOW, True)
    msgspec.json.encode(sample)


@settings(max_examples=80, deadline=None)
@given(mutations({name: HEALTHY[name] for name in ("rpc", "web")}))
async def test_a_damaged_machine_raises_nothing_but_driver_errors(damaged: Any) -> None:
    sound = {name: part for name, part in damaged.items() if isinstance(part, dict)}
    driver = driver_of(Replay({**HEALTHY, **sound}))
    for act in (driver.identify, driver.read):
        try:
            msgspec.json.encode(await act())
        except DriverError:
            continue
