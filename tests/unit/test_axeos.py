"""AxeOS and its relatives: the recorded device, rates without shares, traps, hostile answers."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.axeos import answers as axeos_answers
from drivers.asic.axeos import build as axeos_build
from drivers.asic.axeos import parts as axeos_parts
from drivers.asic.axeos import shares as axeos_shares
from drivers.errors import AccessDenied, BadReply, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from tests.replay import NOW, Replay
from tests.spoilt import numbers, spoilt

HERE = Path(__file__)
CAPTURE = (
    HERE.parents[2].parent / "shared" / "captures" / "asic-rs" / "Bitaxe_Supra_AxeOS-v2_0_0.json"
)
FIXTURES = HERE.parents[1] / "fixtures" / "asic"
INFO, ASIC = "/api/system/info", "/api/system/asic"


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"axeos-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def info_of(name: str, **changes: Any) -> dict[str, Any]:
    return {**fixture(name)["web"][INFO], **changes}


def reading_of(info: dict[str, Any], chips: int | None = 1) -> MinerReading:
    reading = axeos_answers.parse(info, "asic-x", NOW, axeos_answers.Shape(chips)).reading
    assert isinstance(reading, MinerReading)
    return reading


# --- the recorded device ---------------------------------------------------------------------


@pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the repository")
async def test_the_recorded_supra() -> None:
    capture = json.loads(CAPTURE.read_text())
    info = capture["web"]["system/info"]
    replay = Replay({"web": {INFO: info}})
    finding = await replay.probe()
    identity = finding.identity
    assert finding.driver_name == "axeos"
    assert (identity.make, identity.model, identity.firmware) == ("Bitaxe", "Bitaxe Supra", "stock")
    assert identity.firmware_version == "v2.4.5-3-gb5d1e36-dirty"
    assert (identity.mac, identity.hostname) == ("aa:bb:cc:dd:ee:ff", "bitaxe")  # MAC replaced
    assert identity.algorithm == "sha256"
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.state, reading.uptime_s) == (State.MINING, 4)
    assert reading.hashrate_ths == 1.0  # hashRate 1000, in GH/s
    assert (reading.power_w, reading.power_source) == (info["power"], PowerSource.REPORTED)
    assert (reading.shares_accepted, reading.shares_rejected) == (0, 0)
    (board,) = reading.boards
    assert (board.chips, board.chips_expected) == (1, 1)
    # The other project takes `temp` for inlet and outlet: it is the chip's sensor.
    assert (board.board_temp_c, board.chip_temp_c) == (78.0, 59.875)
    assert (board.inlet_temp_c, board.outlet_temp_c) == (None, None)
    assert (board.voltage_v, board.frequency_mhz) == (5.175, 490.0)
    assert [(fan.rpm, fan.duty_percent) for fan in reading.fans] == [(3517, 35.0)]
    assert [(pool.url, pool.active) for pool in reading.pools] == [
        ("stratum+tcp://btc.example.pool:3333", True),
        ("stratum+tcp://btc2.example.pool:3333", False),
    ]
    assert (reading.faults, reading.missing) == ((), ())


# --- models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "make", "model"),
    [
        ({"boardVersion": "102"}, "Bitaxe", "Bitaxe Max"),
        ({"boardVersion": "0.11"}, "Bitaxe", "Bitaxe Ultra"),
        ({"boardVersion": "302"}, "Bitaxe", "Bitaxe Hex"),
        ({"boardVersion": 601}, "Bitaxe", "Bitaxe Gamma"),
        ({"boardVersion": "999"}, None, None),
        ({"deviceModel": "GammaTurbo", "boardVersion": "801"}, "Bitaxe", "Bitaxe Gamma Turbo"),
        ({"deviceModel": "SupraHex"}, "Bitaxe", "Bitaxe Supra Hex"),
        ({"deviceModel": "Bitaxe Touch"}, "Bitaxe", "Bitaxe Touch"),
        ({"deviceModel": "NerdOCTAXE-γ"}, "NerdAxe", "NerdOCTAXE-γ"),
        ({"minerModel": "LV07"}, None, "LV07"),
    ],
)
def test_a_model_is_known_by_name_or_board(
    page: dict[str, Any], make: str | None, model: str | None
) -> None:
    identity = axeos_build.parse_identity(page | {"hashRate": 1}, None, "asic-at-x")
    assert (identity.make, identity.model) == (make, model)


async def test_the_model_of_a_new_version_comes_from_the_other_page() -> None:
    replay = Replay(fixture("gamma"))
    driver = create("axeos", replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Bitaxe Gamma"
    del replay.recording["web"][ASIC]
    assert (await driver.identify()).model == "Bitaxe Gamma"  # by its board version
    del replay.recording["web"][INFO]["boardVersion"]
    assert (await driver.identify()).model is None


# --- units and traps -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "ths"), [(1068.4, 1.0684), (1068400.0, 1.0684), (1.0684e12, 1.0684), (1e22, None)]
)
def test_a_rate_in_another_unit_is_told_by_clock_and_cores(rate: float, ths: float | None) -> None:
    found = axeos_parts.hashrate_of(info_of("gamma", hashRate=rate), 1)
    assert found == (None if ths is None else pytest.approx(ths))


def test_without_clock_and_cores_the_rate_is_in_ghs() -> None:
    info = {"hashRate": 5e6}
    assert axeos_parts.hashrate_of(info, None) == 5000.0
    assert axeos_parts.hashrate_of({"hashRate": -3}, None) is None


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (19, 19),
        ("19", 19),
        ("1.2k", 1200),
        ("3M", 3_000_000),
        (-1, None),
        ("x", None),
        (None, None),
    ],
)
def test_shares_are_counted_also_in_short(value: Any, count: int | None) -> None:
    assert axeos_parts.counted(value) == count


@pytest.mark.parametrize(("volts", "found"), [(5068.75, 5.06875), (12.1, 12.1), (0, None)])
def test_an_input_voltage_is_in_millivolts_or_volts(volts: float, found: float | None) -> None:
    assert reading_of(info_of("gamma", voltage=volts)).boards[0].voltage_v == found


def test_sensors_that_are_not_there() -> None:
    info = info_of("gamma", temp=-1, temp2=0, vrTemp=0)
    board = reading_of(info).boards[0]
    assert (board.chip_temp_c, board.board_temp_c) == (None, None)


def test_a_chip_that_has_stopped_is_told() -> None:
    asics = [{"total": 1000.0, "errorCount": 1}] * 5 + [{"total": 0, "errorCount": 7}]
    reading = reading_of(info_of("gamma", hashrateMonitor={"asics": asics}), 6)
    assert (reading.boards[0].chips, reading.hw_errors) == (5, 12)
    assert [fault.message for fault in reading.faults] == ["5 of 6 chips answer"]


def test_both_pools_of_a_dual_miner_have_their_own_shares() -> None:
    info = info_of("nerdqaxe")
    info["stratum"]["activePoolMode"] = 1
    info["stratum"]["pools"][1] |= {"active": True, "connected": True, "accepted": 7, "rejected": 1}
    reading = reading_of(info, 4)
    assert [(pool.active, pool.accepted) for pool in reading.pools] == [(True, 20111), (True, 7)]
    assert reading.shares_accepted == 20111


def test_a_scheme_that_the_owner_typed_stays() -> None:
    info = info_of("gamma", stratumURL="stratum+tcp://x.example.com", stratumProtocol="SV2")
    assert reading_of(info).pools[0].url == "stratum+tcp://x.example.com:3333"
    info |= {"stratumURL": "x.example.com", "fallbackStratumURL": ""}
    (pool,) = reading_of(info).pools
    assert (pool.url, pool.accepted) == ("stratum2+tcp://x.example.com:3333", 8123)


# --- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State.MINING),
        ({"miningPaused": True}, State.SLEEPING),
        ({"miningPaused": "true", "hashRate": 0}, State.SLEEPING),
        ({"overheat_mode": 1}, State.FAULT),
        ({"overheat_mode": "0"}, State.MINING),
        ({"power_fault": "VOUT overcurrent"}, State.FAULT),
        ({"power_fault": ""}, State.MINING),
        ({"hardware_fault": "ASIC not found"}, State.FAULT),
        ({"hashRate": None}, State.UNKNOWN),
        ({"hashRate": 0, "uptimeSeconds": 20}, State.STARTING),
        ({"hashRate": 0}, State.UNKNOWN),  # nobody says whether the pool answers
        ({"hashRate": 0, "poolConnectionInfo": "Not connected"}, State.IDLE),
    ],
)
def test_the_state(changes: dict[str, Any], state: State) -> None:
    assert reading_of(info_of("gamma", **changes)).state is state


@pytest.mark.parametrize(("connected", "state"), [(False, State.IDLE), (True, State.FAULT)])
def test_a_nerdaxe_says_whether_its_pool_answers(connected: bool, state: State) -> None:
    info = info_of("nerdqaxe", hashRate=0)
    info["stratum"]["pools"][0]["connected"] = connected
    assert reading_of(info, 4).state is state


# --- a rate without shares -------------------------------------------------------------------


async def polled(changes: Any, polls: int, every_s: float = 10.0) -> list[MinerReading]:
    """Readings of a device that shows its fixture's rate, changed a poll at a time."""
    replay = Replay(fixture("gamma"))
    driver = create("axeos", replay.endpoint, replay.context())
    info, found = replay.recording["web"][INFO], []
    for poll in range(polls):
        replay.at = NOW + every_s * poll
        info["uptimeSeconds"] = 190_000 + every_s * poll
        changes(poll, info)
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        found.append(reading)
    assert replay.asked.count(f"web GET {ASIC}") == 1 + polls * every_s // 3600
    return found


async def test_a_flat_line_without_shares_is_told() -> None:
    # 1.0684 TH/s at difficulty 1024 finds a share each 4.1 s: 16 are due after 66 s, and ten
    # minutes pass before anything is said.
    readings = await polled(lambda *_: None, 70)
    told = [bool(reading.faults) for reading in readings]
    assert told == [False] * 60 + [True] * 10
    last = readings[-1]
    assert last.state is State.UNKNOWN
    assert last.hashrate_ths == pytest.approx(1.0684)
    assert [fault.code for fault in last.faults] == ["no-shares"]
    assert last.faults[0].message == (
        "reports 1.07 TH/s but has found no share for 12 minutes, in which 168 were due"
    )


async def test_shares_that_grow_end_the_suspicion() -> None:
    def one_share(poll: int, info: dict[str, Any]) -> None:
        info["sharesRejected"] = 5 + (poll >= 65)

    readings = await polled(one_share, 70)
    assert [bool(reading.faults) for reading in readings] == [False] * 60 + [True] * 5 + [False] * 5
    assert readings[-1].state is State.MINING


@pytest.mark.parametrize(
    "changes",
    [
        {"poolDifficulty": 1_000_000},  # one share an hour is due
        {"poolDifficulty": None},  # who knows
        {"hashRate": 0},
        {"miningPaused": True},
        {"sharesAccepted": None},
        {"poolConnectionInfo": "Not connected"},
    ],
)
async def test_nothing_is_concluded_where_no_share_was_due(changes: dict[str, Any]) -> None:
    for reading in await polled(lambda _, info: info.update(changes), 80):
        assert "no-shares" not in [fault.code for fault in reading.faults]


async def test_polls_far_apart_prove_nothing() -> None:
    for reading in await polled(lambda *_: None, 10, every_s=1000.0):
        assert reading.faults == ()


def test_another_device_or_a_restart_begins_anew() -> None:
    info = info_of("gamma")
    wait = axeos_shares.Wait("02:A3:E0:5B:00:21", 8128, 1000.0, 189_990.0, 900.0)
    assert axeos_shares.waited(wait, info, 1).due > 900  # type: ignore[union-attr]
    for changes in ({"macAddr": "02:00:00:00:00:01"}, {"uptimeSeconds": 5}):
        again = axeos_shares.waited(wait, info | changes, 1)
        assert again is not None
        assert (again.due, again.for_s) == (0.0, 0.0)


# --- asking ----------------------------------------------------------------------------------


async def test_a_poll_is_one_page() -> None:
    replay = Replay(fixture("overheated"))
    driver = create("axeos", replay.endpoint, replay.context())
    for _ in range(3):
        await driver.read()
    assert replay.asked == [f"web GET {INFO}"] * 3


async def test_a_version_without_the_other_page_is_not_asked_for_it_again() -> None:
    recording = fixture("gamma")
    del recording["web"][ASIC]
    replay = Replay(recording)
    driver = create("axeos", replay.endpoint, replay.context())
    for poll in range(5):
        replay.at = NOW + 10 * poll
        recording["web"][INFO]["uptimeSeconds"] = 190_000 + 10 * poll
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert (reading.boards[0].chips_expected, reading.missing) == (None, ())
    assert replay.asked.count(f"web GET {ASIC}") == 1


async def test_another_web_server_is_another() -> None:
    pages: tuple[Any, ...] = ({"hello": 1}, [], '"x"')
    for page in pages:
        replay = Replay({"web": {INFO: page}})
        driver = create("axeos", replay.endpoint, replay.context())
        for act in (driver.read, driver.identify):
            with pytest.raises(WrongProtocol):
                await act()
    with pytest.raises(BadReply):
        replay = Replay({"web": {INFO: "<html>"}})
        await create("axeos", replay.endpoint, replay.context()).read()
    with pytest.raises(AccessDenied):  # it lets private networks in only
        replay = Replay({"web": {INFO: {}}, "closed": [INFO]})
        await create("axeos", replay.endpoint, replay.context()).read()


# --- hostile answers -------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=300)
def test_no_page_breaks_the_reading(data: st.DataObject) -> None:
    pages = fixture(data.draw(st.sampled_from(["gamma", "overheated", "nerdqaxe"])))["web"]
    info = data.draw(spoilt(pages[INFO]))
    asic = data.draw(spoilt(copy.deepcopy(pages.get(ASIC, {"asicCount": 1}))))
    shape = axeos_answers.shape_of(asic)
    wait = axeos_shares.waited(None, pages[INFO], shape.chips)
    wait = axeos_shares.waited(wait, info, shape.chips)
    sample = axeos_answers.parse(info, "asic-x", NOW, shape, wait)
    raw = msgspec.json.encode(sample.reading)
    again = msgspec.json.decode(raw, type=MinerReading)
    assert all(map(math.isfinite, numbers(msgspec.to_builtins(sample.reading))))
    assert all(map(math.isfinite, sample.fingerprint.counters))
    assert len(again.pools) <= 2
    identity = axeos_build.parse_identity({**info, "hashRate": 1}, asic, "asic-at-x")
    msgspec.json.encode(identity)
