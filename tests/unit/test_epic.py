"""ePIC's UMC firmware: the recorded machine, its states, its slow pages, hostile answers."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.epic import answers as epic_answers
from drivers.asic.epic import build as epic_build
from drivers.asic.epic.driver import SLOW_EVERY_S
from drivers.errors import BadReply, Unsupported, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from tests.replay import NOW, Replay
from tests.spoilt import numbers, spoilt

HERE = Path(__file__)
CAPTURE = (
    HERE.parents[2].parent / "shared" / "captures" / "asic-rs" / "Bitmain_S19XP_ePIC-UMC-v1.json"
)
FIXTURES = HERE.parents[1] / "fixtures" / "asic"


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"epic-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def reading_of(summary: dict[str, Any], build: Any = None) -> MinerReading:
    reading = epic_answers.parse(summary, "asic-x", NOW, build).reading
    assert isinstance(reading, MinerReading)
    return reading


# --- the recorded machine --------------------------------------------------------------------


@pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the repository")
async def test_the_recorded_s19_xp_with_its_dead_board() -> None:
    capture = json.loads(CAPTURE.read_text())
    pages = capture["web"]
    replay = Replay({"rpc_http": {f"/{name}": page for name, page in pages.items()}})
    finding = await replay.probe()
    identity = finding.identity
    assert finding.driver_name == "epic"
    assert (identity.make, identity.model) == ("Bitmain", "Antminer S19 XP")
    assert (identity.firmware, identity.firmware_version) == ("epic", "PowerPlay-BMS v1.5.13")
    assert identity.mac == "e6:d4:41:51:64:28"
    assert identity.serial == "002000353232510933363631"
    assert (identity.hostname, identity.algorithm) == ("miner-host01", "sha256")

    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    expected, summary = capture["expected"], pages["summary"]
    assert reading.uptime_s == expected["uptime"]["value"] == summary["Session"]["Uptime"]
    assert reading.power_w == expected["wattage"]["value"]
    # The supply shows 0 V and 0 A at its input: it has not measured those watts.
    assert reading.power_source is PowerSource.REPORTED
    assert reading.state is State.MINING
    assert reading.hashrate_ths == pytest.approx((49440724.0 + 49925124.0) * 1e-6)
    assert reading.hashrate_avg_ths == pytest.approx(90.07199)
    session = summary["Session"]
    worked_ths = session["Accepted"] * session["Difficulty"] * 2**32 / session["Uptime"] / 1e12
    assert reading.hashrate_avg_ths == pytest.approx(worked_ths, rel=0.01)  # the mean, in MH/s
    assert (reading.hashrate_nominal_ths, reading.power_limit_w) == (143.0, 3000.0)
    assert (reading.mode, reading.locating) == ("VoltageOptimizer", False)
    assert len(reading.boards) == expected["hashboards.len()"] == 3
    dead, *alive = reading.boards
    assert expected["hashboards[0].active"] is False
    assert (dead.index, dead.chips, dead.chips_expected) == (0, 0, 110)
    assert (dead.hashrate_ths, dead.serial) == (None, None)
    assert [fault.message for fault in reading.faults] == [
        "board 0 is disabled: by hand, or after a failure"
    ]
    assert [board.chips for board in alive] == [110, 110]
    assert [board.serial for board in alive] == ["YNAHYPDBCJEBC0D6S", "YNAHYPDBCJEBC0C6R"]
    assert [board.board_temp_c for board in alive] == [67.0, 64.312]
    assert [board.voltage_v for board in alive] == [12.6, 12.6]
    assert [board.frequency_mhz for board in alive] == [487.5, 487.5]
    # The page of chips says 485 MHz set: 103.1 and 104.1 % of the theoretical rate.
    assert [board.hashrate_nominal_ths for board in alive] == pytest.approx([47.95, 47.96], abs=0.1)
    assert [(fan.index, fan.rpm) for fan in reading.fans] == [
        (1, 5971),
        (2, 0),
        (3, 5942),
        (4, 5745),
    ]
    (pool,) = reading.pools
    assert (pool.url, pool.active, pool.status) == (
        "stratum+tcp://mine.ocean.xyz:3334",
        True,
        "Alive",
    )
    assert (pool.accepted, pool.rejected) == (1862, 2)
    assert "password" not in msgspec.json.encode(reading).decode()


# --- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "connected", "state"),
    [
        ({"Operating State": "Mining"}, True, State.MINING),
        ({"Operating State": "Mining"}, False, State.MINING),  # it hashes on without a pool
        ({"Operating State": "Idling", "Last Command": "stop"}, False, State.SLEEPING),
        ({"Operating State": "Idling", "Last Command": "autostart"}, False, State.IDLE),
        ({"Operating State": "Idling", "Last Error": "Over temperature"}, True, State.FAULT),
        ({"Operating State": "Idling", "Last Error": {"X": None}}, True, State.FAULT),
        ({"Operating State": "Idling"}, True, State.SLEEPING),
        ({"Operating State": "Stopped"}, True, State.SLEEPING),
        ({"Operating State": "Rebooting"}, True, State.STARTING),
        ({"Operating State": "Dancing"}, True, State.MINING),  # unknown, but it has a rate
        ({}, True, State.MINING),
    ],
)
def test_the_state_is_the_firmwares_word(
    status: dict[str, Any], connected: bool, state: State
) -> None:
    summary = fixture("mining")["rpc_http"]["/summary"] | {"Status": status}
    summary["Stratum"]["IsPoolConnected"] = connected
    assert reading_of(summary).state is state


def test_mining_without_rate_and_pool_is_idle_and_an_unknown_word_is_unknown() -> None:
    summary = fixture("mining")["rpc_http"]["/summary"]
    summary["Session"]["Average MHs"] = 0.0
    summary["HBs"] = []
    summary["Stratum"]["IsPoolConnected"] = False
    assert reading_of(summary).state is State.IDLE
    summary["Status"]["Operating State"] = "Dancing"
    reading = reading_of(summary)
    assert (reading.state, reading.hashrate_ths) == (State.UNKNOWN, None)


# --- traps -----------------------------------------------------------------------------------


def test_sensors_on_chips_are_chip_temperatures() -> None:
    build = epic_build.Build(
        **epic_build.parse_build({"Model": "X", "Temp Sensor Info": {"Type": "Chip", "Count": 4}})
    )
    board = reading_of(fixture("mining")["rpc_http"]["/summary"], build).boards[0]
    assert (board.chip_temp_c, board.board_temp_c) == (61.5, None)


def test_serials_without_numbers_are_given_only_where_they_must_be_right() -> None:
    summary = fixture("mining")["rpc_http"]["/summary"]
    build = epic_build.Build(serials=("A", "B"))
    assert [board.serial for board in reading_of(summary, build).boards] == [None] * 3


def test_a_target_in_watts_is_a_limit_and_no_rate() -> None:
    summary = fixture("mining")["rpc_http"]["/summary"]
    tuner = summary["PerpetualTune"]["Algorithm"]
    tuner["ChipTune"] |= {"Unit": "W", "Target": 2800}
    reading = reading_of(summary)
    assert reading.power_limit_w == 2800
    assert reading.hashrate_nominal_ths == pytest.approx(34.8 / 1.005 + 34.7 + 35.1 / 1.01)


def test_a_list_of_clocks_gives_their_mean() -> None:
    summary = fixture("mining")["rpc_http"]["/summary"]
    summary["HBs"][0] |= {"Core Clock": [480.0, 490.0, "x"], "Core Clock Avg": None}
    assert reading_of(summary).boards[0].frequency_mhz == 485


# --- asking ----------------------------------------------------------------------------------


async def test_slow_pages_are_asked_every_two_minutes() -> None:
    replay = Replay(fixture("mining"))
    driver = create("epic", replay.endpoint, replay.context())
    for poll in range(24):
        replay.at = NOW + 10 * poll
        replay.recording["rpc_http"]["/summary"]["Session"]["Uptime"] = 60_000 + 10 * poll
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert reading.boards[0].chips == 126
    assert replay.asked.count("rpc_http GET /summary") == 24
    assert replay.asked.count("rpc_http GET /hashrate") == 2 == 240 / SLOW_EVERY_S


async def test_what_was_kept_of_one_machine_is_not_shown_of_another() -> None:
    replay = Replay(fixture("mining"))
    driver = create("epic", replay.endpoint, replay.context())
    await driver.read()
    pages = replay.recording["rpc_http"]
    pages["/summary"]["Hostname"] = "epic-0018"
    del pages["/capabilities"], pages["/hashrate"]
    replay.at += 10
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert [board.chips for board in reading.boards] == [None] * 3
    assert [board.chips_expected for board in reading.boards] == [None] * 3
    assert [part.partition(":")[0] for part in reading.missing] == ["/capabilities", "/hashrate"]
    assert reading.hashrate_ths == pytest.approx(104.6)


async def test_another_http_server_at_the_port_stays_another() -> None:
    for page in ({"hello": "world"}, [1, 2], '"text"'):
        replay = Replay({"rpc_http": {"/summary": page}})
        with pytest.raises(WrongProtocol):
            await replay.probe()
        driver = create("epic", replay.endpoint, replay.context())
        for act in (driver.read, driver.identify):
            with pytest.raises(WrongProtocol):
                await act()
    replay = Replay({"rpc_http": {"/summary": "<html></html>"}})
    with pytest.raises(BadReply):
        await create("epic", replay.endpoint, replay.context()).read()
    with pytest.raises(Unsupported):
        replay = Replay({"rpc_http": {}})
        await create("epic", replay.endpoint, replay.context()).read()


async def test_a_machine_without_network_page_is_known_by_its_serial() -> None:
    recording = fixture("mining")
    del recording["rpc_http"]["/network"]
    identity = (await Replay(recording).probe()).identity
    assert identity.id == "asic-00410027353235109312AB17"
    recording["rpc_http"]["/network"] = {"static": {"mac_address": "02-E1-C0-00-00-17"}}
    assert (await Replay(recording).probe()).identity.id == "asic-02:e1:c0:00:00:17"


# --- hostile answers -------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=300)
def test_no_summary_breaks_the_reading(data: st.DataObject) -> None:
    pages = fixture(data.draw(st.sampled_from(["mining", "dead-board", "stopped", "v1"])))[
        "rpc_http"
    ]
    summary = data.draw(spoilt(pages["/summary"]))
    capabilities = data.draw(spoilt(pages["/capabilities"]))
    chips = data.draw(spoilt(pages.get("/hashrate", [{"Index": 0, "Data": [[1.0]]}])))
    network = data.draw(spoilt(pages.get("/network", {"dhcp": {"mac_address": "x"}})))
    build = epic_build.Build(
        **epic_build.parse_build(capabilities), chips=epic_build.parse_chips(chips)
    )
    sample = epic_answers.parse(summary, "asic-x", NOW, build)
    raw = msgspec.json.encode(sample.reading)
    again = msgspec.json.decode(raw, type=MinerReading)
    assert all(map(math.isfinite, numbers(msgspec.to_builtins(sample.reading))))
    assert all(map(math.isfinite, sample.fingerprint.counters))
    assert max(len(again.boards), len(again.faults)) <= 64
    assert len(again.pools) <= 16
    identity = epic_build.parse_identity({**summary, "HBs": []}, capabilities, network, "asic-at-x")
    msgspec.json.encode(identity)
