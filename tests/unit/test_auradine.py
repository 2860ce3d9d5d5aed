"""Auradine: recorded answers, sleep, tokens and pages at their pace, and damaged answers."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.auradine.answers import parse, parse_identity
from drivers.asic.auradine.driver import SLOW_PAGES, Auradine
from drivers.asic.auradine.pages import (
    Mode,
    Supply,
    read_frequencies,
    read_led,
    read_mode,
    read_psu,
    read_temperatures,
)
from drivers.errors import AccessDenied, DriverError, Unreachable
from drivers.model import Fault, MinerReading, PowerSource, State
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
AT1500 = ROOT / "Auradine_AT1500_stock-v1.json"
ASLEEP = ROOT / "Auradine_AT1500_stock-v1-sleep.json"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "asic" / "auradine-mining.json"
recorded = pytest.mark.skipif(not AT1500.exists(), reason="no captures beside the repository")
TOKEN = {"STATUS": [{"STATUS": "S"}], "Token": [{"Token": "t0"}]}


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def recording(capture: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The captured machine: its pages are those of port 8080, and want a token."""
    side = {f"/{name}": page for name, page in capture["web"].items()}
    side["POST /token"] = TOKEN
    return {"rpc": capture["rpc"], "side": side, "closed": list(side), "joins": True, **more}


def driver_of(replay: Replay) -> Auradine:
    return Auradine(replay.endpoint, replay.context())


def objects(replies: Any) -> dict[str, Any]:
    """What the transport lets through: answers that are objects."""
    return {name: reply for name, reply in replies.items() if isinstance(reply, dict)}


async def reading_of(driver: Any) -> MinerReading:
    sample = await driver.read()
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


# --- recordings ----------------------------------------------------------------------------


@recorded
async def test_at1500_is_identified() -> None:
    capture = load(AT1500)
    finding = await Replay(recording(capture)).probe()
    own = capture["web"]["ipreport"]["IPReport"][0]
    identity = finding.identity
    assert finding.driver_name == "auradine"
    assert (identity.make, identity.model) == ("Auradine", "Teraflux AT1500")
    assert (identity.mac, identity.serial) == (own["mac"], own["SerialNo"])
    assert (identity.hostname, identity.firmware_version) == (own["hostname"], own["version"])


@recorded
async def test_at1500_is_read() -> None:
    capture = load(AT1500)
    reading = await reading_of(driver_of(Replay(recording(capture))))
    summary = capture["rpc"]["summary"]["SUMMARY"][0]
    assert reading.hashrate_ths == pytest.approx(summary["MHS 5s"] / 1e6)
    assert reading.hashrate_avg_ths == pytest.approx(summary["MHS av"] / 1e6)
    assert (reading.uptime_s, reading.hw_errors) == (56696, 0)
    assert (reading.shares_accepted, reading.shares_rejected) == (3310, 1)
    assert reading.shares_stale is None  # `summary` has no such key here
    # The supply's own figures, of a machine that stood when they were taken: 0 W out.
    assert (reading.power_w, reading.power_source) == (58.94, PowerSource.METERED)
    assert reading.power_output_w == 0.0
    assert (reading.power_limit_w, reading.hashrate_nominal_ths) == (2000, 160)
    assert (reading.mode, reading.state, reading.locating) == ("custom", State.MINING, False)
    assert [board.hashrate_ths for board in reading.boards] == [6.8, 6.9, 7.0]
    assert [board.chips for board in reading.boards] == [132] * 3
    assert [board.chips_expected for board in reading.boards] == [132] * 3
    assert [board.board_temp_c for board in reading.boards] == [41.5, 43.0, 47.5]
    assert [board.inlet_temp_c for board in reading.boards] == [20.5, 21.5, 22.0]
    assert [board.chip_temp_c for board in reading.boards] == pytest.approx(
        [45.827271728515655, 48.220855712890625, 51.41230102539066]
    )
    serials = capture["web"]["ipreport"]["IPReport"][0]["HBSerialNo"]
    assert [board.serial for board in reading.boards] == serials
    assert [fan.rpm for fan in reading.fans] == [7080, 7020, 7100, 7020]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    # `expected` counts the light's word "Normal" as a message; nothing is wrong with it.
    assert (reading.faults, reading.missing) == ((), ())


@recorded
async def test_sleep_counts_before_the_rate() -> None:
    reading = await reading_of(driver_of(Replay(recording(load(ASLEEP)))))
    assert reading.hashrate_ths == pytest.approx(20.599767177)
    assert reading.state is State.SLEEPING


# --- traps ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"Mode": "custom", "Tune": "ths", "Power": 9, "Ths": 180},
            Mode(None, "custom", None, 180),
        ),
        ({"Mode": "custom", "Tune": "power", "Power": 9, "Ths": 1}, Mode(None, "custom", 9, None)),
        ({"Mode": "Turbo", "Sleep": "OFF", "Power": 9, "Ths": 1}, Mode(False, "turbo", None, None)),
        ({"Sleep": "on"}, Mode(True, None, None, None)),
        ({"Sleep": True}, Mode(None, None, None, None)),
    ],
)
def test_targets_count_in_their_mode_alone(row: dict[str, Any], expected: Mode) -> None:
    assert read_mode({"Mode": [row]}) == expected


def test_several_supplies_are_one() -> None:
    page = {"PSU": [{"PowerIn": "1700.5W", "PowerOut": "1600W"}, {"PowerIn": "1699.25W"}]}
    assert read_psu(page) == Supply(3399.75, None)


def test_a_light_says_what_it_shows() -> None:
    assert read_led({"LED": [{"Code": 2, "LED1": 4, "LED2": 4, "Msg": "Normal"}]}).locating is True
    assert read_led({"LED": [{"Code": 3}]}).locating is True
    trouble = read_led({"LED": [{"Code": "9", "Msg": "Fan 2 failed"}]})
    assert trouble.faults == (Fault("9", "Fan 2 failed"),)
    assert read_led({"LED": [{"Code": 7, "Msg": "Standby"}]}).faults == ()
    assert read_led({"LED": []}).locating is None


def test_sensors_that_show_nothing_are_no_temperatures() -> None:
    page = {"Temperature": [{"ID": 1, "BoardTemp": [{"Temperature": 0}, {"Temperature": 999}]}]}
    assert read_temperatures(page).boards[1] == (None, None, None)
    assert read_frequencies({"Frequency": [{"ID": 1, "ChipFrequency": [{"Frequency": 0}]}]}) == {}


def test_uneven_chips_are_of_no_board() -> None:
    replies = {
        "devs": {"DEVS": [{"DEV": 1, "Status": "Alive"}, {"DEV": 2, "Status": "Alive"}]},
        "asccount": {"ASCCount": [{"AsicCount": 263, "BoardCount": 2}]},
    }
    reading = parse(Report(replies), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    assert [board.chips for board in reading.boards] == [None, None]


def test_what_stands_may_be_asleep_where_the_pages_are_closed() -> None:
    replies = {"summary": {"SUMMARY": [{"MHS 5s": 0, "Elapsed": 5000}]}}
    assert parse(Report(replies), "asic-x", NOW).reading.state is State.UNKNOWN
    awake = {"/mode": Mode(False)}
    assert parse(Report(replies), "asic-x", NOW, awake).reading.state is State.FAULT


def test_without_pages_the_build_stands_in_the_status() -> None:
    version = {"STATUS": [{"STATUS": "S", "Description": "FluxOS-2024-06.11-d37c5dd4"}]}
    identity = parse_identity(version, {}, "asic-at-10.0.0.1")
    assert (identity.firmware_version, identity.model) == ("2024-06.11", None)


# --- pages and tokens ----------------------------------------------------------------------


async def test_each_page_has_its_pace() -> None:
    replay = Replay(load(FIXTURE))
    driver = driver_of(replay)
    await driver.identify()
    counts: dict[str, int] = {}
    for at in range(31):
        replay.at = NOW + 10 * at
        replay.recording["rpc"]["summary"]["SUMMARY"][0]["Elapsed"] = 86400 + 10 * at
        replay.asked.clear()
        await driver.read()
        for line in replay.asked:
            counts[line] = counts.get(line, 0) + 1
    assert "side POST /token" not in counts  # the one of `identify` goes on
    assert counts["rpc summary+devs+pools"] == 29
    assert counts["rpc summary+devs+pools+asccount"] == 2
    pages = {path: counts[f"side GET {path}"] for path in SLOW_PAGES}
    assert pages == {
        "/mode": 31,
        "/psu": 31,
        "/fan": 6,
        "/temperature": 6,
        "/led": 6,
        "/ipreport": 2,
        "/frequency": 2,
    }


async def test_another_machine_does_not_carry_what_was_kept() -> None:
    replay = Replay(load(FIXTURE))
    driver = driver_of(replay)
    await driver.read()
    replay.recording["rpc"]["summary"]["SUMMARY"][0]["Elapsed"] = 5
    replay.at += 10
    replay.asked.clear()
    await driver.read()
    assert [f"side GET {path}" for path in SLOW_PAGES] == replay.asked[1:]


async def test_a_token_that_has_ended_is_asked_for_again() -> None:
    replay = Replay(load(FIXTURE))
    driver = driver_of(replay)
    await driver.identify()
    ended = {"STATUS": [{"STATUS": "E", "Code": 25, "Msg": "Token expired"}]}
    pages = replay.recording["side"]
    pages["/mode"], whole = ended, pages["/mode"]
    replay.asked.clear()
    assert (await reading_of(driver)).mode is None
    assert replay.asked.count("side POST /token") == 1
    pages["/mode"] = whole
    replay.at += 1
    assert (await reading_of(driver)).mode == "custom"


async def test_without_the_password_port_4028_is_read_alone() -> None:
    fixture = load(FIXTURE)
    fixture["side"]["POST /token"] = {"STATUS": [{"STATUS": "E", "Msg": "Bad password"}]}
    driver = driver_of(Replay(fixture))
    identity = await driver.identify()
    assert (identity.provisional, identity.firmware_version) == (True, "2025-03.11")
    reading = await reading_of(driver)
    assert reading.hashrate_ths == 181.0
    assert (reading.power_w, reading.power_source) == (3190, PowerSource.REPORTED)
    assert all("AccessDenied" in part for part in reading.missing)
    assert len(reading.missing) == len(SLOW_PAGES)


async def test_where_port_4028_is_closed_the_pages_have_it_all() -> None:
    fixture = load(FIXTURE)
    rpc = fixture.pop("rpc")
    fixture["side"] |= {f"/{name}": rpc[name] for name in ("summary", "devs", "pools")}
    driver = driver_of(Replay(fixture))
    assert (await driver.identify()).model == "Teraflux AT2880"
    reading = await reading_of(driver)
    assert (reading.hashrate_ths, len(reading.boards), len(reading.pools)) == (181.0, 3, 2)
    assert any(part.startswith("rpc: Unreachable") for part in reading.missing)


async def test_nothing_answers() -> None:
    driver = driver_of(Replay({}))
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()
    await driver.close()


async def test_closed_pages_without_tokens_are_denied() -> None:
    fixture = load(FIXTURE)
    del fixture["side"]["POST /token"], fixture["rpc"]
    with pytest.raises((AccessDenied, Unreachable)):
        await driver_of(Replay(fixture)).identify()


# --- damage --------------------------------------------------------------------------------

ANSWERS = load(FIXTURE)
COMMANDS = ("summary", "devs", "pools", "asccount")


@settings(max_examples=150, deadline=None)
@given(mutations({name: ANSWERS["rpc"][name] for name in COMMANDS}), st.data())
def test_damaged_answers_are_read_as_far_as_they_go(replies: Any, data: st.DataObject) -> None:
    pages = {}
    for path, slow in SLOW_PAGES.items():
        pages[path] = slow.reduce(data.draw(mutations(ANSWERS["side"][path])))
    sample = parse(Report(objects(replies)), "asic-x", NOW, pages)
    msgspec.json.encode(sample)


@settings(max_examples=80, deadline=None)
@given(mutations({name: ANSWERS[name] for name in ("rpc", "side")}))
async def test_a_damaged_machine_raises_nothing_but_driver_errors(damaged: Any) -> None:
    sound = {name: part for name, part in damaged.items() if isinstance(part, dict)}
    driver = driver_of(Replay({**ANSWERS, **sound}))
    for act in (driver.identify, driver.read):
        try:
            msgspec.json.encode(await act())
        except DriverError:
            continue
