"""Proto Rig: the simulator's recording, tokens, states, units, hostile answers."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import Credential, WebReply
from drivers.asic.proto import answers as proto_answers
from drivers.asic.proto import build as proto_build
from drivers.asic.proto.driver import LOGIN, LOGOUT, POLLED, SLOW_EVERY_S
from drivers.errors import BadReply, Unsupported, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.spoilt import numbers, spoilt

HERE = Path(__file__)
CAPTURE = HERE.parents[2].parent / "shared" / "captures" / "asic-rs" / "Proto_Rig_stock-v1.json"
FIXTURES = HERE.parents[1] / "fixtures" / "asic"
BASE = "/api/v1"
CLOSED = ["/mining", "/mining/target", "/telemetry", "/pools", "/cooling", "/errors"]


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"proto-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def report_of(recording: dict[str, Any]) -> Report:
    names = ("mining", "telemetry", "pools", "cooling", "errors")
    return Report({name: recording["web"][f"{BASE}/{name}"] for name in names}, {})


def reading_of(report: Report, rig: proto_build.Rig | None = None) -> MinerReading:
    reading = proto_answers.parse(report, "asic-x", NOW, rig).reading
    assert isinstance(reading, MinerReading)
    return reading


# --- the recording, which is a simulator's ---------------------------------------------------


@pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the repository")
async def test_the_recorded_simulator() -> None:
    pages = json.loads(CAPTURE.read_text())["web"]
    finding = await Replay({"web": pages}).probe()
    identity = finding.identity
    assert finding.driver_name == "proto"
    assert (identity.make, identity.model, identity.firmware) == ("Proto", "Proto Rig", "stock")
    assert (identity.mac, identity.serial) == ("02:00:00:ad:66:39", "PROTO-SIM-b6bdaf86")
    assert (identity.hostname, identity.firmware_version) == ("proto-miner-af86", "1.8.0")
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    mining, telemetry = pages[f"{BASE}/mining"]["mining-status"], pages[f"{BASE}/telemetry"]
    assert reading.hashrate_ths == pytest.approx(telemetry["miner"]["hashrate"]["value"])
    assert reading.hashrate_nominal_ths == 145.0
    assert reading.hashrate_avg_ths == pytest.approx(mining["average_hashrate_ghs"] / 1000)
    assert (reading.state, reading.uptime_s) == (State.MINING, 28)
    # The other project takes the miner's own figure, 3466 W; the supplies measure 3526 W.
    supplies = [row["power"] for row in telemetry["psus"]]
    assert reading.power_w == pytest.approx(sum(row["input"] for row in supplies))
    assert reading.power_output_w == pytest.approx(sum(row["output"] for row in supplies))
    assert (reading.power_source, reading.power_limit_w) == (PowerSource.METERED, 3400)
    assert [board.index for board in reading.boards] == [1, 2, 3, 4]
    assert [board.chips_expected for board in reading.boards] == [120] * 4
    # The other project takes the number of chips on a board for those that work.
    assert [board.chips for board in reading.boards] == [None] * 4
    for board, row in zip(reading.boards, telemetry["hashboards"], strict=True):
        assert board.serial == row["serial_number"]
        assert board.hashrate_ths == pytest.approx(row["hashrate"]["value"])
        assert board.inlet_temp_c == row["temperature"]["inlet"]
        assert board.outlet_temp_c == row["temperature"]["outlet"]
        # The hottest sensor, where the other project takes the average.
        assert board.board_temp_c == row["temperature"]["outlet"]
        assert board.voltage_v == pytest.approx(row["voltage"]["value"])
    assert [fan.rpm for fan in reading.fans] == [4346, 4691, 4658, 4443]
    assert [fan.duty_percent for fan in reading.fans] == [60.0] * 4
    assert [(pool.url, pool.accepted, pool.active) for pool in reading.pools] == [
        ("stratum+tcp://pool-a.example.com:3333", 12345, True),
        ("stratum+tcp://pool-b.example.com:4444", 12345, True),
    ]
    assert (reading.faults, reading.missing) == ((), ())


# --- states and units ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Uninitialized", State.STARTING),
        ("PoweringOn", State.STARTING),
        ("Mining", State.MINING),
        ("DegradedMining", State.MINING),
        ("PoweringOff", State.SLEEPING),
        ("Stopped", State.SLEEPING),
        ("Curtailed", State.SLEEPING),
        ("NoPools", State.IDLE),
        ("Error", State.FAULT),
        ("Something", State.MINING),  # unknown, but it has a rate
        (None, State.MINING),
    ],
)
def test_the_state_is_the_rigs_word(word: str | None, state: State) -> None:
    report = report_of(fixture("mining"))
    report.replies["mining"]["mining-status"]["status"] = word
    assert reading_of(report).state is state


@pytest.mark.parametrize(
    ("metric", "ths"),
    [
        ({"value": 180.25, "unit": "TH/s"}, 180.25),
        ({"value": 180250.0, "unit": "GH/s"}, 180.25),
        ({"value": "180.25"}, 180.25),
        ({"value": -1, "unit": "TH/s"}, 180.5),  # none: then that of `mining`, in GH/s
        (None, 180.5),
    ],
)
def test_a_metric_has_its_unit(metric: Any, ths: float) -> None:
    report = report_of(fixture("mining"))
    report.replies["telemetry"]["miner"]["hashrate"] = metric
    assert reading_of(report).hashrate_ths == pytest.approx(ths)


def test_chips_are_counted_where_telemetry_has_them() -> None:
    report = report_of(fixture("mining"))
    report.replies["telemetry"]["hashboards"][0]["asics"] = {
        "hashrate": {"unit": "TH/s", "values": [0.3] * 126 + [0, None]},
        "temperature": {"unit": "°C", "values": [61.5, 72.25, -1]},
    }
    reading = reading_of(report)
    assert (reading.boards[0].chips, reading.chip_temp_max_c) == (126, 72.25)


def test_without_hardware_boards_are_numbered_as_slots() -> None:
    report = report_of(fixture("mining"))
    assert [board.index for board in reading_of(report).boards] == [1, 2, 3]
    for row in report.replies["telemetry"]["hashboards"]:
        del row["serial_number"]
    rig = proto_build.parse_hardware(fixture("mining")["web"][f"{BASE}/hardware"])
    boards = reading_of(report, rig).boards
    assert [board.serial for board in boards] == ["PHB-00-77", "PHB-01-77", "PHB-02-77"]
    assert [board.hashrate_ths for board in boards] == [60.0, 60.25, 60.0]


def test_an_error_without_time_zone_has_no_time() -> None:
    report = report_of(fixture("mining"))
    report.replies["errors"] = {
        "errors": [
            {"message": "a", "timestamp": "2026-09-21T12:00:00"},
            {"error_code": "b", "timestamp": 10**20},
            {
                "error_code": "c",
                "message": "d",
                "slot": 3,
                "source": "fan",
                "timestamp": 1790000000,
            },
            "e",
        ]
    }
    faults = reading_of(report).faults
    assert [(fault.code, fault.message) for fault in faults] == [
        (None, "a"),
        ("b", "b"),
        ("c", "fan 3: d"),
    ]
    assert [fault.at for fault in faults] == [None, None, datetime.fromtimestamp(NOW, UTC)]


def test_five_thousand_errors_are_bounded() -> None:
    report = report_of(fixture("mining"))
    report.replies["errors"] = [{"error_code": "X", "message": "y" * 1000}] * 5000
    faults = reading_of(report).faults
    assert len(faults) == 64
    assert len(faults[0].message) <= 256


# --- tokens ----------------------------------------------------------------------------------


class Guarded(Replay):
    """A rig with a password: tokens are checked, and end when told to."""

    password = "correct horse"

    def __init__(self) -> None:
        super().__init__(fixture("mining"))
        self.token: str | None = None
        self.logins: list[str] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        login: Any = None,
        body: bytes | None = None,
        **values: Any,
    ) -> WebReply:
        path = url.partition(":80")[2]
        if path == LOGIN:
            self.asked.append(f"web POST {path}")
            self.logins.append(json.loads(body or b"{}")["password"])
            if self.logins[-1] != self.password:
                return WebReply(401, {}, b'{"error":{"code":"INVALID","message":"no"}}')
            self.token = f"token-{len(self.logins)}"
            return WebReply(
                200, {}, json.dumps({"access_token": self.token, "refresh_token": "r"}).encode()
            )
        if path == LOGOUT:
            self.asked.append(f"web POST {path}")
            assert json.loads(body or b"{}") == {"access_token": self.token, "refresh_token": "r"}
            self.token = None
            return WebReply(200, {}, b"{}")
        if any(path.startswith(f"{BASE}{name}") for name in CLOSED):
            wanted = f"Bearer {self.token}" if self.token else None
            if wanted is None or (headers or {}).get("Authorization") != wanted:
                return WebReply(401, {}, b"")
        return await super().request(method, url, headers=headers, login=login, **values)


async def test_one_token_serves_many_polls_and_is_given_back() -> None:
    rig = Guarded()
    driver = create("proto", rig.endpoint, rig.context(Credential("", rig.password)))
    assert (await driver.identify()).mac == "02:9f:0b:00:00:77"
    for _ in range(4):
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert reading.missing == ()
    assert rig.logins == [rig.password]
    rig.token = "another"  # the rig was restarted
    assert (await driver.read()).reading.missing == ()
    assert rig.logins == [rig.password] * 2
    await driver.close()
    assert rig.token is None
    await driver.close()
    assert rig.asked.count(f"web POST {LOGOUT}") == 1


async def test_a_wrong_password_is_tried_once_in_five_minutes() -> None:
    rig = Guarded()
    driver = create("proto", rig.endpoint, rig.context(Credential("", "wrong")))
    assert (await driver.identify()).serial == "5150CB77000177"  # those pages are open
    for _ in range(5):
        rig.at += 30
        await driver.read()
    assert rig.logins == ["wrong"]
    rig.at += 300
    reading = (await driver.read()).reading
    assert reading.state is State.UNKNOWN
    assert all("AccessDenied" in line for line in reading.missing)
    assert rig.logins == ["wrong"] * 2
    await driver.close()


async def test_a_rig_without_a_password_is_read_without_a_token() -> None:
    replay = Replay(fixture("mining"))
    driver = create("proto", replay.endpoint, replay.context())
    for poll in range(31):
        replay.at = NOW + 10 * poll
        replay.recording["web"][f"{BASE}/mining"]["mining-status"]["reboot_uptime_s"] = 10 * poll
        await driver.read()
    assert replay.asked.count(f"web GET {BASE}/mining") == 31
    assert replay.asked.count(f"web GET {BASE}/hardware") == 2 == 1 + 300 // SLOW_EVERY_S
    assert not [line for line in replay.asked if "auth" in line]


async def test_pages_that_fail_are_named_and_cost_nothing_else() -> None:
    recording = fixture("mining")
    for name in ("pools", "cooling", "errors", "hardware"):
        del recording["web"][f"{BASE}/{name}"]
    recording["web"][f"{BASE}/errors"] = "<html>"
    reading = (await (await Replay(recording).probe()).driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert sorted(part.partition(":")[0] for part in reading.missing) == [
        "cooling",
        "errors",
        "hardware",
        "pools",
    ]
    assert (reading.hashrate_ths, reading.power_w) == (180.25, 3360.0)
    assert (reading.pools, reading.fans, reading.shares_accepted) == ((), (), None)
    assert len(reading.boards) == 3


async def test_another_server_is_another() -> None:
    with pytest.raises(WrongProtocol):
        replay = Replay({"web": {f"{BASE}/system": {"x": 1}}})
        await create("proto", replay.endpoint, replay.context()).identify()
    with pytest.raises(Unsupported):
        replay = Replay({"web": {}})
        await create("proto", replay.endpoint, replay.context()).read()
    with pytest.raises(BadReply):
        replay = Replay({"web": dict.fromkeys((path.partition("?")[0] for path in POLLED), "{")})
        await create("proto", replay.endpoint, replay.context()).read()


# --- hostile answers -------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=300)
def test_no_page_breaks_the_reading(data: st.DataObject) -> None:
    recording = data.draw(spoilt(fixture(data.draw(st.sampled_from(["mining", "degraded"])))))
    web = recording.get("web")
    pages = web if isinstance(web, dict) else {}
    hardware, target = pages.get(f"{BASE}/hardware"), pages.get(f"{BASE}/mining/target")
    rig = proto_build.parse_target(target, proto_build.parse_hardware(hardware))
    names = ("mining", "telemetry", "pools", "cooling", "errors")
    report = Report({name: pages.get(f"{BASE}/{name}") for name in names}, {})
    sample = proto_answers.parse(report, "asic-x", NOW, rig)
    raw = msgspec.json.encode(sample.reading)
    again = msgspec.json.decode(raw, type=MinerReading)
    assert all(map(math.isfinite, numbers(msgspec.to_builtins(sample.reading))))
    assert all(map(math.isfinite, sample.fingerprint.counters))
    assert max(len(again.boards), len(again.faults)) <= 64
    assert len(again.pools) <= 16
    network = {"network-info": {"mac": 1}}
    identity = proto_build.parse_identity(
        pages.get(f"{BASE}/system"), network, hardware, "asic-at-x"
    )
    msgspec.json.encode(identity)
