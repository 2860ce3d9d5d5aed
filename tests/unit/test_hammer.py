"""Hammer, blackMiner and VolcMiner: a recording, their units, their web side, damaged answers."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import Credential, WebReply
from drivers.asic.hammer.answers import make_of, parse
from drivers.asic.hammer.driver import Hammer
from drivers.asic.hammer.pages import decode, parse_status
from drivers.errors import BadReply, DriverError, Unreachable
from drivers.model import MinerReading, State
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures" / "pyasic"
D10 = ROOT / "Hammer_HammerD10_2023_05_28.json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
recorded = pytest.mark.skipif(not D10.exists(), reason="no captures beside the repository")


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def fixture(name: str) -> dict[str, Any]:
    return load(FIXTURES / f"hammer-{name}.json")


def recording(capture: dict[str, Any], **more: Any) -> dict[str, Any]:
    web = {f"/cgi-bin/{name}.cgi": page for name, page in capture["web"].items()}
    return {"rpc": capture["rpc"], "web": web, "realm": "blackMiner Configuration", **more}


def driver_of(replay: Replay) -> Hammer:
    return Hammer(replay.endpoint, replay.context())


async def reading_of(driver: Any) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


# --- a recording ---------------------------------------------------------------------------


@recorded
async def test_d10_is_identified() -> None:
    finding = await Replay(recording(load(D10))).probe()
    identity = finding.identity
    assert finding.driver_name == "hammer"
    assert (identity.make, identity.model) == ("Hammer", "Hammer D10")
    assert (identity.firmware, identity.algorithm) == ("stock", "scrypt")
    assert identity.firmware_version == "2023-05-28 17-20-35 CST"
    assert (identity.mac, identity.hostname) == ("12:34:56:78:90:12", "Hammer")


@recorded
async def test_d10_is_read() -> None:
    capture = load(D10)
    reading = await reading_of(driver_of(Replay(recording(capture))))
    body = capture["rpc"]["stats"]["STATS"][1]
    # 4686.4886 of a machine of 5 GH/s: MH/s, and the boards add up to it.
    assert reading.hashrate_ths == pytest.approx(0.0046864886, abs=1e-9)
    assert sum(board.hashrate_ths or 0 for board in reading.boards) == pytest.approx(
        reading.hashrate_ths, abs=3e-9
    )
    assert reading.hashrate_avg_ths == pytest.approx(0.0048728713, abs=1e-9)
    assert (reading.state, reading.uptime_s, reading.hw_errors) == (State.MINING, 119161, 7978)
    assert [(b.index, b.chips, b.chips_expected) for b in reading.boards] == [
        (1, 108, 108),
        (2, 108, 108),
        (3, 108, 108),
    ]
    assert [board.board_temp_c for board in reading.boards] == [45, 42, 40]
    assert [board.hw_errors for board in reading.boards] == [2133, 2942, 2903]
    assert [board.frequency_mhz for board in reading.boards] == [float(body["frequency"])] * 3
    # `expected` stops at two fans; the machine shows four that turn.
    assert [fan.rpm for fan in reading.fans] == [4650, 4500, 3870, 3930]
    # `summary` has 156 for accepted and rejected alike: the pools are right.
    assert (reading.shares_accepted, reading.shares_rejected) == (30000, 300)
    assert (reading.power_w, reading.mode, reading.locating) == (None, None, None)
    assert reading.faults == ()


# --- what they are, and in what units --------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "make"),
    [
        ("Hammer D10+", "Hammer"),
        ("VolcMiner D1 Lite", "VolcMiner"),
        ("Blackminer F1", "HashAltCoin"),
        (None, ""),
        (7, ""),
    ],
)
def test_makes_are_told_apart_by_their_own_words(said: Any, make: str) -> None:
    assert make_of(said).name == make


def parsed(head: dict[str, Any], body: dict[str, Any], **more: Any) -> MinerReading:
    reading = parse(Report({"stats": {"STATS": [head, body]}}), "asic-x", NOW, **more).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize(
    ("kind", "key", "ths"),
    [
        ("Hammer D10", "MHS 5s", 5e-3),
        ("Hammer D10", "GHS 5s", 5e-3),
        ("VolcMiner D1", "GHS 5s", 5e-3),
        ("Blackminer F1", "GHS 5s", 5.0),
        ("Blackminer F1", "MHS 5s", 5e-3),
    ],
)
def test_units(kind: str, key: str, ths: float) -> None:
    reading = parsed({"Type": kind}, {key: "5000.0", "Elapsed": 9000, "chain_rate1": "5000.0"})
    assert reading.hashrate_ths == pytest.approx(ths)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx([ths])


async def test_without_stats_it_is_read_as_any_descendant() -> None:
    machine = fixture("mining")
    del machine["rpc"]["stats"], machine["web"]
    reading = await reading_of(driver_of(Replay(machine)))
    assert reading.hashrate_ths == pytest.approx(0.004990125)
    assert reading.state is State.MINING


# --- the web side --------------------------------------------------------------------------


class WithPassword(Replay):
    """A server with a password of its own."""

    password = "ltc@dog"

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        login = values.get("login")
        if isinstance(login, Credential) and login.password != self.password:
            values["login"] = None
        return await super().request(method, url, **values)


async def test_the_factory_has_two_passwords() -> None:
    driver = driver_of(WithPassword(fixture("volcminer-sleeping")))
    assert (await driver.identify()).mac == "02:d1:0a:00:00:05"


async def test_a_password_that_is_not_known_leaves_port_4028() -> None:
    replay = WithPassword(fixture("mining"))
    replay.password = "other"
    driver = driver_of(replay)
    assert (await driver.identify()).id == "asic-at-10.0.0.1"
    reading = await reading_of(driver)
    assert reading.hashrate_ths == pytest.approx(0.004990125)
    assert [part.partition(":")[0] for part in reading.missing] == [
        "/cgi-bin/get_miner_conf.cgi",
        "/cgi-bin/get_blink_status.cgi",
    ]


async def test_mode_and_light_are_looked_at_every_five_minutes() -> None:
    replay = Replay(fixture("mining"))
    driver = driver_of(replay)
    for at in range(31):
        replay.at = NOW + 10 * at
        replay.recording["rpc"]["stats"]["STATS"][1]["Elapsed"] = 52000 + 10 * at
        await driver.read()
    assert replay.asked.count("web GET /cgi-bin/get_miner_conf.cgi") == 2
    assert replay.asked.count("web GET /cgi-bin/get_blink_status.cgi") == 2
    assert replay.asked.count("rpc stats") == 31


def test_a_status_page_that_the_firmware_cut_at_the_wrong_commas() -> None:
    words = "STATUS=S,When=1,Description=ccminer 2.3.3|SUMMARY,Elapsed=247622,MHS 5s=4869.1373,"
    words += "MHS av=4831.2598,Found Blocks=0|"
    page = {
        "summary": {"elapsed": "247622,MHS 5s=4869.1373|", "ghs5s": words, "ghsav": words},
        "pools": [{"url": "stratum+tcp://a.example.com:1", "status": "Alive", "accepted": "12979"}],
        "devs": [{"index": "1", "chain_acn": "108", "temp": [55, 57], "freq": "800"}],
        "fan1": "1,200",
    }
    info = {"minertype": "Hammer D10"}
    reading = parse_status(page, info, make_of("Hammer D10"), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    assert reading.hashrate_ths == pytest.approx(0.0048691373, abs=1e-9)
    assert reading.hashrate_avg_ths == pytest.approx(0.0048312598, abs=1e-9)
    assert (reading.uptime_s, reading.shares_accepted) == (247622, 12979)
    assert (reading.boards[0].chips, reading.boards[0].board_temp_c) == (108, 57)
    assert [fan.rpm for fan in reading.fans] == [1200]


@pytest.mark.parametrize("body", [b"", b"[1]", b'"x"', b"<html>", b'{"data":"{ "a":', b"\xff{"])
def test_status_pages_that_are_none(body: bytes) -> None:
    with pytest.raises(BadReply):
        decode(body)


async def test_nothing_answers() -> None:
    driver = driver_of(Replay({}))
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()
    await driver.close()


# --- damage --------------------------------------------------------------------------------

HEALTHY = fixture("mining")
STATUS = decode(fixture("volcminer-web")["web"]["/cgi-bin/get_miner_statusV1.cgi"].encode())


@settings(max_examples=200, deadline=None)
@given(mutations({name: HEALTHY["rpc"][name] for name in ("stats", "pools", "summary")}))
def test_damaged_answers_are_read_as_far_as_they_go(replies: Any) -> None:
    whole = {name: reply for name, reply in replies.items() if isinstance(reply, dict)}
    msgspec.json.encode(parse(Report(whole), "asic-x", NOW))


@settings(max_examples=200, deadline=None)
@given(mutations(STATUS), mutations({"minertype": "VolcMiner D1", "macaddr": "02:00:00:00:00:01"}))
def test_damaged_pages_are_read_as_far_as_they_go(page: Any, info: Any) -> None:
    make = make_of(info.get("minertype"))
    msgspec.json.encode(parse_status(page, info, make, "asic-x", NOW))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_a_page_raise_anything_else(body: bytes) -> None:
    try:
        decode(body)
    except DriverError:
        return


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
