"""Goldshell: what its two sides give, and how rarely the weaker one is asked."""

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings

from drivers.api import Credential
from drivers.asic.goldshell.answers import (
    NO_PLAN,
    Plan,
    as_report,
    parse,
    parse_chips,
    parse_identity,
    parse_plan,
)
from drivers.asic.goldshell.driver import PLAN_EVERY_S, Goldshell
from drivers.asic.goldshell.login import enciphered
from drivers.errors import DeviceTimeout, Unreachable
from drivers.model import MinerReading, State
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"


def load(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FIXTURES / f"goldshell-{name}.json").read_text()))


def web_asked(replay: Replay) -> list[str]:
    return [line.partition("?")[0] for line in replay.asked if line.startswith("web")]


async def reading_of(driver: Goldshell) -> MinerReading:
    return cast("MinerReading", (await driver.read()).reading)


async def test_one_question_a_poll_and_the_plan_now_and_then() -> None:
    fixture = load("sc5")
    replay = Replay(fixture)
    driver = Goldshell(replay.endpoint, replay.context())
    await driver.identify()
    await driver.read()
    replay.asked.clear()
    replay.connections = 0
    summary = fixture["rpc"]["summary"]["SUMMARY"][0]
    for _ in range(5):
        replay.at += 20
        summary["Elapsed"] += 20
        assert (await reading_of(driver)).mode == "normal"
    assert replay.connections == 5
    replay.at += PLAN_EVERY_S
    summary["Elapsed"] += PLAN_EVERY_S
    await driver.read()
    assert web_asked(replay) == ["web GET /mcb/setting"]  # the token is kept


async def test_a_machine_that_stands_still_is_looked_at_closely() -> None:
    fixture = load("sc5")
    replay = Replay(fixture)
    driver = Goldshell(replay.endpoint, replay.context())
    await driver.identify()
    assert (await reading_of(driver)).state is State.MINING
    fixture["rpc"]["summary"]["SUMMARY"][0] |= {"MHS 20s": 0.0, "Elapsed": 9020}
    fixture["web"]["/mcb/setting"]["select"] = 3
    replay.at += 10
    reading = await reading_of(driver)
    assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")


async def test_another_machine_at_the_address_does_not_inherit_the_plan() -> None:
    fixture = load("sc5")
    replay = Replay(fixture)
    driver = Goldshell(replay.endpoint, replay.context())
    await driver.read()
    fixture["rpc"]["summary"]["SUMMARY"][0]["Elapsed"] = 10
    del fixture["web"]["/mcb/setting"]
    assert (await reading_of(driver)).mode is None


async def test_a_closed_web_side_loses_only_what_it_has() -> None:
    fixture = load("sc5")
    del fixture["web"]
    replay = Replay(fixture)
    driver = Goldshell(replay.endpoint, replay.context())
    identity = await driver.identify()
    assert (identity.make, identity.model, identity.mac) == ("Goldshell", None, None)
    assert identity.provisional
    reading = await reading_of(driver)
    assert (reading.hashrate_ths, reading.mode, reading.state) == (13.900001, None, State.MINING)
    assert reading.boards[0].chips == 46


async def test_an_open_status_page_tells_the_model_without_a_password() -> None:
    fixture = load("sc5")
    fixture["web"]["/user/login"] = {"code": 1, "msg": "password error"}
    replay = Replay(fixture)
    identity = await Goldshell(replay.endpoint, replay.context()).identify()
    assert (identity.model, identity.mac) == ("SC5ProII", None)
    logins = [line for line in replay.asked if "/user/login" in line]
    assert [line.rpartition("=")[2] for line in logins] == ["false", "true"]


async def test_the_operators_password_is_tried_first_and_enciphered_where_wanted() -> None:
    replay = Replay(load("sc5"))
    context = replay.context(Credential("admin", "my own"))
    await Goldshell(replay.endpoint, context).identify()
    login = next(line for line in replay.asked if "/user/login" in line)
    assert "password=my%20own&cipher=false" in login


def test_the_cipher() -> None:
    # The factory's password in hex is known from public tools; the other is openssl's work.
    assert enciphered("123456789") == "bbad7537f4c8b6ea31eea0b3d760e257"
    assert enciphered("a much longer password") == LONGER
    assert enciphered("") == ""


LONGER = "abb012644403c2194cf59f3d1b11ac1837ea67b00de1c77599f958f597ee8d14"


async def test_nobody_there() -> None:
    replay = Replay({})
    driver = Goldshell(replay.endpoint, replay.context())
    for act in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await act()


async def test_a_hanging_port_is_not_made_up_for_by_the_pages() -> None:
    class Hanging(Replay):
        async def exchange(self, *_: Any, **__: Any) -> bytes:
            raise DeviceTimeout("no answer")

    replay = Hanging(load("pages"))
    with pytest.raises(DeviceTimeout):
        await Goldshell(replay.endpoint, replay.context()).read()
    assert replay.asked == []  # one deadline for a read, and it is used up


@pytest.mark.parametrize(
    ("setting", "plan"),
    [
        ({"select": 0, "powerplans": [{"level": 0, "info": "725 MHz 0.41 V"}]}, ("normal", False)),
        ({"select": 2, "powerplans": [{"level": 2, "info": "513 MHz"}]}, ("low", False)),
        ({"select": 3, "powerplans": [{"level": 3, "info": "0 MHz 0 V"}]}, ("sleep", True)),
        ({"select": 3}, ("sleep", True)),
        ({"select": 0, "manual": True, "manualPowerplan": "600 MHz"}, ("manual", False)),
        ({"select": 3, "manual": True, "manualPowerplan": "600 MHz"}, ("manual", False)),
        ({"select": 0, "manual": True, "manualPowerplan": "0 MHz"}, ("manual", True)),
        ({"select": 7}, ("7", False)),
        ({}, (None, None)),
        ([], (None, None)),
        ("x", (None, None)),
    ],
)
def test_plans(setting: Any, plan: tuple[Any, Any]) -> None:
    assert parse_plan(setting) == Plan(*plan)


def test_two_algorithms_do_not_add_up() -> None:
    rows = [
        {"PGA": 0, "MHS 20s": 5.0, "pool": "scrypt(LTC)"},
        {"PGA": 1, "MHS 20s": 7.0, "pool": "x"},
    ]
    replies = {"summary": {"SUMMARY": [{"MHS 20s": 12.0}]}, "devs": {"DEVS": rows}}
    reading = cast("MinerReading", parse(Report(replies), "asic-x", NOW).reading)
    assert reading.hashrate_ths is None
    assert [board.hashrate_ths for board in reading.boards] == [5e-6, 7e-6]
    same = parse(Report({**replies, "devs": {"DEVS": rows[:1]}}), "asic-x", NOW).reading
    assert cast("MinerReading", same).hashrate_ths == 12e-6


def test_a_byte_has_a_list_for_each_algorithm() -> None:
    page = {"minfos": [{"name": "scrypt(LTC)", "infos": [{"id": 0, "hashrate": 5.0, "time": 2}]}]}
    report = as_report({"/mcb/cgminer?cgminercmd=devs": page}, Report({}))
    assert report.replies["devs"]["DEVS"] == [
        {"PGA": 0, "Name": "INCS", "ID": 0, "MHS 20s": 5.0, "Device Elapsed": 120.0}
        | {"pool": "scrypt(LTC)"}
    ]


def test_chips_are_in_the_details() -> None:
    assert parse_chips({"DEVS": [{"DEVDETAILS": 1, "chips-nr": 46}, {"chips-nr": 4}]}) == {1: 46}
    assert parse_chips({"DEVDETAILS": [{"DEVDETAILS": 0, "chips-nr": 16}]}) == {0: 16}


@given(mutations(load("sc5")["rpc"]), mutations(load("sc5")["web"]))
@settings(max_examples=200, deadline=None)
def test_no_answer_makes_parsing_fail(replies: Any, pages: Any) -> None:
    report = Report({key: value for key, value in replies.items() if isinstance(value, dict)})
    plan = parse_plan(pages.get("/mcb/setting"))
    chips = parse_chips(report.replies.get("devdetails", {}))
    msgspec.json.encode(parse(report, "asic-x", NOW, plan, chips).reading)
    msgspec.json.encode(parse_identity(report.replies.get("version", {}), pages, "asic-at-x"))


@given(mutations(load("pages")["web"]))
@settings(max_examples=200, deadline=None)
def test_no_page_makes_parsing_fail(pages: Any) -> None:
    report = as_report(pages, Report({}))
    msgspec.json.encode(parse(report, "asic-x", NOW, NO_PLAN).reading)
