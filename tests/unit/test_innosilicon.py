"""Innosilicon: port 4028 and the pages, units, sessions, and what is kept."""

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings

from drivers.asic.innosilicon.answers import (
    NO_DETAILS,
    Details,
    as_report,
    parse,
    parse_details,
    parse_identity,
)
from drivers.asic.innosilicon.driver import DETAILS_EVERY_S, Innosilicon
from drivers.errors import Unreachable
from drivers.model import Fault, MinerReading, PowerSource
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"


def load(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FIXTURES / f"innosilicon-{name}.json").read_text()))


async def reading_of(driver: Innosilicon) -> MinerReading:
    return cast("MinerReading", (await driver.read()).reading)


async def test_one_question_a_poll_and_the_pages_now_and_then() -> None:
    fixture = load("t2")
    replay = Replay(fixture)
    driver = Innosilicon(replay.endpoint, replay.context())
    await driver.identify()
    await driver.read()
    replay.asked.clear()
    summary = fixture["rpc"]["summary"]["SUMMARY"][0]
    for _ in range(5):
        replay.at += 20
        summary["Elapsed"] += 20
        assert (await reading_of(driver)).mode == "performance 0"
    assert replay.asked == ["rpc summary+devs+pools+stats"] * 5
    replay.asked.clear()
    replay.at += DETAILS_EVERY_S
    summary["Elapsed"] += DETAILS_EVERY_S
    await driver.read()
    assert replay.asked[1:] == ["web POST /api/getAll", "web POST /api/getErrorDetail"]


async def test_a_session_that_ended_is_begun_again_once() -> None:
    class Forgetful(Replay):
        ended = False

        def _page(self, section: str, method: str, path: str) -> Any:
            if path == "/api/auth":
                self.ended = False
            if self.ended and path.startswith("/api/"):
                found = {"success": False, "token": "expired"}
                return (
                    super()
                    ._page(section, method, path)
                    .__class__(200, {}, json.dumps(found).encode())
                )
            return super()._page(section, method, path)

    replay = Forgetful(load("pages"))
    driver = Innosilicon(replay.endpoint, replay.context())
    await driver.identify()
    replay.ended = True
    replay.asked.clear()
    assert (await reading_of(driver)).hashrate_ths == 9.933334
    assert replay.asked.count("web POST /api/auth") == 1


async def test_wrong_passwords_leave_port_4028() -> None:
    fixture = load("t2")
    fixture["web"]["POST /api/auth"] = {"success": False, "message": "Invalid credentials"}
    replay = Replay(fixture)
    driver = Innosilicon(replay.endpoint, replay.context())
    identity = await driver.identify()
    assert (identity.make, identity.model, identity.provisional) == ("Innosilicon", None, True)
    assert (await reading_of(driver)).hashrate_ths == 29.800003
    assert sum("/api/auth" in line for line in replay.asked) == 1


async def test_nobody_there() -> None:
    replay = Replay({})
    driver = Innosilicon(replay.endpoint, replay.context())
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()


def test_a_dragonmint_is_not_of_innosilicons_make() -> None:
    report = Report({"devs": {"DEVS": [{"Name": "DT1", "ID": 0}]}})
    identity = parse_identity({}, {}, report, "asic-at-x")
    assert (identity.make, identity.model) == ("Halong Mining", "DragonMint T1")


@pytest.mark.parametrize(
    ("page", "faults"),
    [
        ({"code": "0", "errmsg": ""}, ()),
        ({"code": 0}, ()),
        ({}, ()),
        ({"code": "33"}, (Fault("33", "the miner shows error 33"),)),
        ({"code": 21, "errmsg": "fan lost"}, (Fault("21", "fan lost"),)),
    ],
)
def test_errors(page: dict[str, Any], faults: tuple[Fault, ...]) -> None:
    assert parse_details({"/api/getErrorDetail": page}).faults == faults


def test_watts_are_the_devices_own_figure() -> None:
    report = Report({"summary": {"SUMMARY": [{"MHS 5s": 1.0}]}})
    reading = cast("MinerReading", parse(report, "x", NOW, Details(None, 2200.0)).reading)
    assert (reading.power_w, reading.power_source) == (2200.0, PowerSource.REPORTED)
    stats = {"STATS": [{"Chain ID": 0, "power": "2100"}]}
    reading = cast("MinerReading", parse(Report({"stats": stats}), "x", NOW).reading)
    assert (reading.power_w, reading.power_source) == (2100.0, PowerSource.REPORTED)


def test_the_page_of_everything_does_where_the_summary_fails() -> None:
    pages = {"/api/getAll": load("t2")["web"]["POST /api/getAll"]}
    reading = cast("MinerReading", parse(as_report(pages, Report({})), "x", NOW).reading)
    assert [(board.hashrate_ths, board.chip_temp_c) for board in reading.boards] == [
        (9.97, 88.5),
        (9.9, 89.5),
    ]
    assert reading.hashrate_ths == 19.87
    assert [pool.active for pool in reading.pools] == [True]


@given(mutations(load("t2")["rpc"]), mutations(load("pages")["web"]))
@settings(max_examples=200, deadline=None)
def test_no_answer_makes_parsing_fail(replies: Any, named: Any) -> None:
    pages = {key.removeprefix("POST "): page for key, page in named.items()}
    report = Report({key: value for key, value in replies.items() if isinstance(value, dict)})
    version = report.replies.get("version", {})
    msgspec.json.encode(parse(report, "asic-x", NOW, parse_details(pages)).reading)
    msgspec.json.encode(parse(as_report(pages, Report({})), "asic-x", NOW, NO_DETAILS).reading)
    msgspec.json.encode(parse_identity(version, pages, report, "asic-at-x"))
