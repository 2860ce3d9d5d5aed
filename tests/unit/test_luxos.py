"""LuxOS: the recorded S19k Pro value by value, traps, states, and what a poll asks."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.asic.luxos.answers import parse, parse_identity
from drivers.asic.luxos.boards import boards
from drivers.asic.luxos.profiles import parse_profiles
from drivers.errors import Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.wire.cgminer import Report
from tests.replay import Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures"
CAPTURE = ROOT / "asic-rs" / "Bitmain_S19KPro_LuxOS-v1.json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
NOW = 1_790_000_000.0
POLL = "rpc summary+devs+power+pools+stats+temps+fans+config+events"
recorded = pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the repository")


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"luxos-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def report_of(rpc: dict[str, Any]) -> Report:
    return Report({name: reply for name, reply in rpc.items() if "|" not in name})


def read(rpc: dict[str, Any]) -> MinerReading:
    reading = parse(report_of(rpc), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


def row(rpc: dict[str, Any], command: str, section: str, at: int = 0) -> dict[str, Any]:
    found = rpc[command][section][at]
    assert isinstance(found, dict)
    return found


# --- the recorded machine ------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("joins", [True, False])
async def test_the_recorded_s19k_pro_says_who_it_is(joins: bool) -> None:
    capture = json.loads(CAPTURE.read_text())
    finding = await Replay({"rpc": capture["rpc"], "joins": joins}).probe()
    config, expected = row(capture["rpc"], "config", "CONFIG"), capture["expected"]
    identity = finding.identity
    assert finding.driver_name == "luxos"
    assert identity.mac == config["MACAddr"] == expected["mac"]
    assert identity.id == f"asic-{config['MACAddr']}"
    assert identity.serial == config["SerialNumber"] == expected["serial_number"]
    assert identity.hostname == config["Hostname"] == expected["hostname"]
    assert (identity.make, identity.model) == ("Bitmain", config["Model"])
    assert (identity.firmware, identity.firmware_version) == ("luxos", expected["firmware_version"])


@recorded
@pytest.mark.parametrize("joins", [True, False])
async def test_the_recorded_s19k_pro_value_by_value(joins: bool) -> None:
    rpc = json.loads(CAPTURE.read_text())["rpc"]
    finding = await Replay({"rpc": rpc, "joins": joins}).probe()
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    summary, stats = row(rpc, "summary", "SUMMARY"), row(rpc, "stats", "STATS", 1)
    profiles = rpc["profiles"]["PROFILES"]
    assert reading.hashrate_ths == summary["GHS 5s"] / 1000 == 59.75606
    assert reading.hashrate_avg_ths == pytest.approx(summary["GHS av"] / 1000)
    assert reading.hashrate_nominal_ths == stats["total_rateideal"] / 1000 == 61.9542
    assert (reading.uptime_s, reading.state) == (summary["Elapsed"], State.MINING)
    assert (reading.power_w, reading.power_source) == (1051, PowerSource.MODELLED)
    assert reading.power_limit_w == 1188  # of the profile 290MHz, that `config` names
    assert reading.mode == row(rpc, "config", "CONFIG")["Profile"] == "290MHz"
    assert reading.power_limit_min_w == min(profile["Watts"] for profile in profiles)
    assert reading.power_limit_max_w == max(profile["Watts"] for profile in profiles)
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (1483, 1, 0)
    assert (reading.hw_errors, reading.locating) == (0, False)
    assert (reading.missing, reading.pools_at) == ((), None)
    # Chips have no sensors here: `temp_chip` in `stats` repeats the boards'.
    assert stats["temp_chip1"] == stats["temp_pcb1"]
    assert reading.chip_temp_max_c is None
    assert (reading.inlet_temp_c, reading.outlet_temp_c) == (None, None)


@recorded
def test_the_recorded_s19k_pro_board_by_board() -> None:
    rpc = json.loads(CAPTURE.read_text())["rpc"]
    reading, stats = read(rpc), row(rpc, "stats", "STATS", 1)
    devices = {device["ASC"]: device for device in rpc["devs"]["DEVS"]}
    assert list(devices) == [2, 0, 1]
    assert [board.index for board in reading.boards] == [0, 1, 2]
    for board in reading.boards:
        device, chain = devices[board.index], board.index + 1
        temps = row(rpc, "temps", "TEMPS", board.index)
        assert board.serial == device["SerialNumber"]
        assert board.hashrate_ths == pytest.approx(device["MHS 5s"] / 1e6)
        # The rate of a chain in `stats` is the mean of that board since start.
        assert float(stats[f"chain_rate{chain}"]) * 1000 == pytest.approx(device["MHS av"], 1e-6)
        assert board.hashrate_nominal_ths == device["Nominal MHS"] / 1e6
        assert (board.chips, board.chips_expected) == (stats[f"chain_acn{chain}"], 77)
        assert board.frequency_mhz == stats[f"freq{chain}"]
        assert board.board_temp_c == device["Temperature"] == temps["TopLeft"]
        assert board.inlet_temp_c == max(temps["TopRight"], temps["BottomRight"])
        assert board.outlet_temp_c == max(temps["TopLeft"], temps["BottomLeft"])
        assert (board.chip_temp_c, board.voltage_v) == (None, None)
        assert board.hw_errors == device["Hardware Errors"]
    assert [fan.rpm for fan in reading.fans] == [fan["RPM"] for fan in rpc["fans"]["FANS"]]
    assert [fan.duty_percent for fan in reading.fans] == [20.0] * 4
    assert [fan.index for fan in reading.fans] == [0, 1, 2, 3]


@recorded
def test_the_recorded_s19k_pro_pools_and_events() -> None:
    capture = json.loads(CAPTURE.read_text())
    rpc, expected = capture["rpc"], capture["expected"]
    reading = read(rpc)
    # Expected are two groups of two pools: they share the work, so two are active.
    assert len(reading.pools) == expected["pools[0].len()"] + expected["pools[1].len()"]
    for pool, shown in zip(reading.pools, rpc["pools"]["POOLS"], strict=True):
        assert (pool.url, pool.user, pool.status) == (shown["URL"], shown["User"], shown["Status"])
        assert pool.active is shown["Stratum Active"]
        assert (pool.accepted, pool.rejected, pool.stale) == (
            shown["Accepted"],
            shown["Rejected"],
            shown["Stale"],
        )
    # Expected messages begin with `[BOARD 0]`; ours say the same in words.
    assert [(fault.code, fault.message) for fault in reading.faults] == [
        ("NOPIC_PROTECTION", "Miner shutdown due to NOPIC protection."),
        ("REBOOT_NOT_HASHING", "board 0: Board reboot due to it not hashing."),
    ]
    assert {fault.at for fault in reading.faults} == {datetime(2026, 4, 8, 3, 38, 27, tzinfo=UTC)}


# --- traps ---------------------------------------------------------------------------------


def test_old_builds_fill_other_firmwares_words_in() -> None:
    version = row(fixture("s9-old")["rpc"], "version", "VERSION")
    assert (version["BMMiner"], version["Miner"]) == ("1.0.0", "uart_trans.1.3")
    identity = parse_identity(report_of(fixture("s9-old")["rpc"]), "asic-at-10.0.0.1")
    assert (identity.firmware, identity.firmware_version) == ("luxos", "0.1.0")


def test_the_mac_also_stands_in_stats() -> None:
    rpc = fixture("s21-pro")["rpc"]
    del rpc["config"]
    identity = parse_identity(report_of(rpc), "asic-at-10.0.0.1")
    assert identity.mac == "02:0a:0b:0c:0d:01"
    assert identity.model == "Antminer S21 Pro"


def test_without_totals_the_rate_is_that_of_stats_or_of_the_boards() -> None:
    rpc = fixture("s21-pro")["rpc"]
    del rpc["summary"]
    assert read(rpc).hashrate_ths == 231.45678
    assert read(rpc).shares_accepted == 20123
    del rpc["stats"]
    assert read(rpc).hashrate_ths == pytest.approx(231.45678)
    del rpc["devs"]
    assert (read(rpc).hashrate_ths, read(rpc).state) == (None, State.UNKNOWN)
    assert len(read(rpc).fans) == 4


def test_fans_of_stats_serve_where_fans_are_not_answered() -> None:
    rpc = fixture("s21-pro")["rpc"]
    del rpc["fans"]
    assert [(fan.index, fan.rpm, fan.duty_percent) for fan in read(rpc).fans] == [
        (0, 5010, None),
        (1, 5040, None),
        (2, 4980, None),
        (3, 5070, None),
    ]


@pytest.mark.parametrize(
    ("key", "label", "field"),
    [
        ("TopLeft", "Board Exhaust (top)", "outlet_temp_c"),
        ("BoardCh0", "Board Intake", "inlet_temp_c"),
        ("BottomLeft", "Board Outlet", "outlet_temp_c"),
        ("ChipTopLeft", "", "chip_temp_c"),
        ("TopLeft", "Chip (hot side)", "chip_temp_c"),
        ("Chip", "", "chip_temp_c"),
        ("Board", "", "board_temp_c"),
    ],
)
def test_a_sensor_is_known_by_its_label_or_its_key(key: str, label: str, field: str) -> None:
    temps = {"METADATA": [{key: {"Label": label}}], "TEMPS": [{"ID": 0, key: 51.5}]}
    board = boards([{"ASC": 0}], {}, temps, None).boards[0]
    assert getattr(board, field) == 51.5
    assert board.board_temp_c == (None if field == "chip_temp_c" else 51.5)


def test_sensors_without_labels_tell_no_direction_and_zero_is_no_temperature() -> None:
    temps = {"TEMPS": [{"ID": 1, "TopLeft": 60, "TopRight": 0, "BottomLeft": 255}]}
    board = boards([{"ASC": 1}], {}, temps, None).boards[0]
    assert (board.board_temp_c, board.inlet_temp_c, board.outlet_temp_c) == (60, None, None)


def test_a_board_on_another_connector_is_not_taken_for_a_lost_one() -> None:
    body = {"chain_acn1": 76, "chain_acn2": 0, "chain_acn3": 76, "chain_acn4": 75}
    devices = [{"ASC": at} for at in (0, 2, 3)]
    found = boards(devices, body, {}, None).boards
    assert [(board.index, board.chips) for board in found] == [(0, 76), (2, 76), (3, 75)]


def test_a_name_of_a_profile_that_is_not_listed_sets_no_limit() -> None:
    report = report_of(fixture("s19j-pro-sleeping")["rpc"])
    profiles = parse_profiles(report, "mine")
    assert (profiles.watts, profiles.min_w, profiles.max_w) == (None, 2890, 3068)


# --- states --------------------------------------------------------------------------------


def state_of(**changes: Any) -> State:
    rpc = fixture("s21-pro")["rpc"]
    rpc["config"]["CONFIG"][0] |= changes.get("config", {})
    rpc["events"]["EVENTS"] = [{"Code": code} for code in changes.get("events", ())]
    for device in rpc["devs"]["DEVS"]:
        device.update(changes.get("device", {}))
    if "ghs" in changes:
        rpc["summary"]["SUMMARY"][0]["GHS 5s"] = changes["ghs"]
    return read(rpc).state


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (State.MINING, {}),
        (State.SLEEPING, {"config": {"CurtailMode": "Sleep"}}),
        (State.SLEEPING, {"config": {"CurtailMode": "Idle"}, "ghs": 0.0}),
        (State.SLEEPING, {"config": {"CurtailMode": None}, "events": ["SLEEP"], "ghs": 0}),
        (State.SLEEPING, {"device": {"IsUserShutdown": True}, "ghs": 0}),
        (State.STARTING, {"config": {"CurtailMode": "WakeUp"}, "ghs": 0}),
        (State.STARTING, {"device": {"IsRamping": True}, "ghs": 40_000.0}),
        (State.MINING, {"device": {"IsRamping": True}}),
        (State.STARTING, {"events": ["REBOOT_SYSINIT"], "ghs": 0}),
        (State.IDLE, {"events": ["NO_ACTIVE_POOLS"], "ghs": 0}),
        (State.MINING, {"events": ["NO_ACTIVE_POOLS"]}),
        (State.FAULT, {"events": ["PSU_PANIC", "NO_ACTIVE_POOLS"], "ghs": 0}),
        (State.MINING, {"events": ["BOARD_NOT_DETECTED"]}),
        (State.FAULT, {"ghs": 0}),
    ],
)
def test_a_state_is_the_machines_own(state: State, changes: dict[str, Any]) -> None:
    assert state_of(**changes) is state


def test_wishes_and_starts_are_no_faults() -> None:
    rpc = fixture("s21-pro")["rpc"]
    codes = ["SLEEP", "IDLE", "REBOOT_USER", "REBOOT_SYSINIT", "SHUTDOWN_USER"]
    rpc["events"]["EVENTS"] = [{"Code": code, "Description": "x"} for code in codes]
    assert read(rpc).faults == ()


def test_faults_are_bounded() -> None:
    rpc = fixture("s21-pro")["rpc"]
    rpc["events"]["EVENTS"] = [{"Code": f"E{at}", "Description": "x" * 9999} for at in range(5000)]
    faults = read(rpc).faults
    assert len(faults) == 64
    assert max(len(fault.message) for fault in faults) <= 300


# --- what is asked -------------------------------------------------------------------------


class Live(Replay):
    """A recording whose uptime goes on."""

    def _rpc(self, command: str, parameter: Any) -> Any:
        answer = super()._rpc(command, parameter)
        if command == "summary":
            answer["SUMMARY"][0]["Elapsed"] = int(self.at - NOW) + 86_400
        return answer


async def test_a_poll_is_one_connection_and_profiles_are_asked_every_five_minutes() -> None:
    replay = Live(fixture("s21-pro"))
    driver = (await replay.probe()).driver
    del replay.asked[:]
    for _ in range(61):
        await driver.read()
        replay.at += 10
    assert replay.asked.count(POLL) == 61
    assert replay.asked.count("rpc profiles+limits+devdetails+tempctrl+version") == 3
    assert len(replay.asked) == 64
    replay.recording["rpc"]["config"]["CONFIG"][0]["Profile"] = "495MHz"
    del replay.asked[:]
    await driver.read()
    assert replay.asked == [POLL, "rpc profiles+limits+devdetails+tempctrl+version"]


async def test_an_old_build_without_the_slow_commands_goes_on_joining() -> None:
    recording = fixture("s9-old")
    del recording["rpc"]["profiles"]
    replay = Live(recording)
    driver = (await replay.probe()).driver
    for _ in range(3):
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert "profiles: Unsupported code 14: Invalid command" in reading.missing
        assert not any(part.startswith("devdetails") for part in reading.missing)
        replay.at += 10
    assert replay.asked.count(POLL) == 3


async def test_without_joined_commands_three_carry_a_poll() -> None:
    replay = Live(fixture("s19-board-lost"))
    driver = (await replay.probe()).driver
    await driver.read()
    del replay.asked[:]
    ages = []
    for _ in range(7):
        replay.at += 10
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert len(reading.pools) == 1
        assert len(reading.faults) == 4
        ages.append((reading.taken_at - (reading.pools_at or reading.taken_at)).total_seconds())
    assert ages == [10, 20, 30, 40, 50, 0, 10]
    assert replay.asked.count("rpc summary") == 7
    assert replay.asked.count("rpc events") == 1
    replay.recording["rpc"]["summary"]["SUMMARY"][0]["GHS 5s"] = 0
    del replay.asked[:]
    replay.at += 10
    await driver.read()
    assert "rpc config" in replay.asked


async def test_no_session_is_opened_and_nothing_costly_asked() -> None:
    for name in ("s21-pro", "s19-board-lost"):
        replay = Live(fixture(name))
        driver = (await replay.probe()).driver
        for _ in range(5):
            replay.at += 100
            await driver.read()
        await driver.close()
        words = " ".join(replay.asked)
        assert not any(word in words for word in ("logon", "session", "healthchipget", "voltage"))


async def test_profiles_that_fail_cost_nothing_else() -> None:
    class Short(Live):
        async def exchange(self, address: str, port: int, request: bytes, **values: Any) -> bytes:
            if b"profiles" in request:
                raise Unreachable("reset")
            return await super().exchange(address, port, request, **values)

    replay = Short(fixture("s21-pro"))
    reading = (await (await replay.probe()).driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert reading.hashrate_ths == 231.45678
    assert reading.missing == ("profiles: Unreachable reset",)
    assert (reading.power_limit_w, reading.power_limit_max_w) == (3320, None)


# --- fingerprint ---------------------------------------------------------------------------


def test_a_board_that_goes_does_not_change_the_fingerprint() -> None:
    rpc = fixture("s21-pro")["rpc"]
    before = parse(report_of(rpc), "asic-x", NOW).fingerprint
    assert before.traits[0] == "02:0a:0b:0c:0d:01"
    rpc["devs"]["DEVS"].pop()
    rpc["stats"]["STATS"][1]["chain_acn2"] = 0
    assert parse(report_of(rpc), "asic-x", NOW).fingerprint == before


# --- hostile answers -----------------------------------------------------------------------


@given(st.sampled_from(["s21-pro", "s19-board-lost", "s9-old", "hydro"]), st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_answers_never_raise(name: str, data: st.DataObject) -> None:
    rpc = data.draw(mutations(fixture(name)["rpc"]))
    replies = {key: reply for key, reply in rpc.items() if isinstance(reply, dict)}
    report = Report(replies)
    profiles = parse_profiles(report, "default")
    sample = parse(report, "asic-x", NOW, profiles)
    msgspec.json.encode(sample)
    msgspec.json.encode(parse_identity(report, "asic-at-10.0.0.1"))


def test_deep_and_long_answers_cost_little() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"TopLeft": deep, "DEVS": [deep]}
    rpc = fixture("s21-pro")["rpc"]
    rpc["temps"] = {"METADATA": deep, "TEMPS": [deep] * 1000}
    rpc["devs"] = {"DEVS": [{"ASC": at} for at in range(1000)]}
    rpc["fans"] = {"FANS": [{"ID": at, "RPM": 1} for at in range(1000)]}
    rpc["pools"] = {"POOLS": [{"URL": "x"}] * 1000}
    reading = read(rpc)
    assert (len(reading.boards), len(reading.fans), len(reading.pools)) == (64, 32, 16)
    msgspec.json.encode(reading)
