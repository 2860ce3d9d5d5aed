"""Braiins OS: recordings value by value, states, sessions, and what each source is asked."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import Credential, WebReply
from drivers.asic.braiins import build as braiins_build
from drivers.asic.braiins import graph as braiins_graph
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.braiins import rest as braiins_rest
from drivers.asic.braiins import rpc as braiins_rpc
from drivers.asic.braiins.web import FACTORY
from drivers.errors import DriverError, Refused, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from drivers.wire.cgminer import Report, checked
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
S9 = "Bitmain_S9_BraiinsOS-v21_09-v21-09.json"
S21_PLUS = "Bitmain_S21Plus_BraiinsOS-v25_03-v25-03.json"
S19_XP = "Bitmain_S19XP_BraiinsOS-v25_07-v25-07.json"
LAN = "/cgi-bin/luci/admin/network/iface_status/lan"
API = "/api/v1/"

captured = pytest.mark.skipif(not ROOT.exists(), reason="no captures beside the repository")


def load(name: str) -> dict[str, Any]:
    found = json.loads((ROOT / name).read_text())
    assert isinstance(found, dict)
    return found


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"braiins-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def recording(capture: dict[str, Any]) -> dict[str, Any]:
    """The capture as what the machine would answer: one question of GraphQL holds all parts."""
    web: dict[str, Any] = {}
    for key, value in capture["web"].items():
        if key.startswith("graphql:"):
            web["POST /graphql"] = braiins_graph.merged(web.get("POST /graphql"), value)
        elif key.startswith("admin/"):
            web[f"/cgi-bin/luci/{key}"] = value
        else:
            web[API + key] = value
    return {"web": web} | ({"rpc": capture["rpc"]} if capture.get("rpc") else {})


async def read(driver: Any) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


# --- recordings --------------------------------------------------------------------------------


@captured
async def test_s9_of_22_08_by_graphql() -> None:
    capture = load(S9)
    finding = await Replay(recording(capture)).probe()
    identity, reading = finding.identity, await read(finding.driver)
    expected = capture["expected"]
    assert (finding.driver_name, identity.firmware) == ("braiins", "braiins")
    assert (identity.mac, identity.hostname) == (expected["mac"], expected["hostname"])
    assert identity.firmware_version == expected["firmware_version"]
    assert identity.model is None  # `modelName` was not asked when it was recorded
    assert (reading.state, reading.uptime_s, reading.locating) == (State.MINING, 1189, False)
    assert reading.hashrate_ths == pytest.approx(expected["hashrate.unwrap()"]["value"])
    # The whole machine's nominal rate is less than its boards' (3 x 3.017): both are its own.
    assert reading.hashrate_nominal_ths == pytest.approx(
        expected["expected_hashrate.unwrap()"]["value"]
    )
    assert (reading.power_w, reading.power_source) == (735, PowerSource.MODELLED)
    assert reading.power_limit_w == 900
    assert [board.index for board in reading.boards] == [6, 7, 8]
    assert [board.hashrate_ths for board in reading.boards] == [
        2.966950392,
        3.022858545,
        2.946869125,
    ]
    assert [board.board_temp_c for board in reading.boards] == [71, 75.375, 66.125]
    assert [board.chip_temp_c for board in reading.boards] == [81.625, 89.25, 80]
    assert [board.chips for board in reading.boards] == [63] * 3
    assert {board.frequency_mhz for board in reading.boards} == {420.170944}
    assert {board.voltage_v for board in reading.boards} == {9.097456932067873}
    assert reading.chip_temp_max_c == 89.25
    # Four places are listed, the two without a fan at 0 rpm.
    assert [fan.rpm for fan in reading.fans] == [4080, 5580]
    assert len(reading.fans) == expected["fans.len()"]
    assert [(p.accepted, p.rejected, p.active) for p in reading.pools] == [
        (31, 0, True),
        (18, 0, True),
    ]
    assert (reading.shares_accepted, reading.shares_stale, reading.hw_errors) == (49, None, None)
    assert (reading.faults, reading.missing) == ((), ())


@captured
async def test_s21_plus_of_25_03_by_graphql() -> None:
    capture = load(S21_PLUS)
    finding = await Replay(recording(capture)).probe()
    identity, reading = finding.identity, await read(finding.driver)
    expected = capture["expected"]
    assert identity.id == f"asic-{expected['mac']}"
    assert identity.firmware_version == expected["firmware_version"]
    assert identity.hostname == expected["hostname"]
    assert reading.hashrate_ths == pytest.approx(251.235330706)
    assert reading.hashrate_nominal_ths == pytest.approx(259.190439186)
    assert reading.power_w == expected["wattage"]["value"]
    assert (reading.power_limit_w, reading.mode) == (3878, "power target")
    assert [board.serial for board in reading.boards] == [
        "NGSBYT0BEJCJD0CHY",
        "NGSBYT0BEJCJD0BP5",
        "NGSBYT0BEJCJD0BG4",
    ]
    assert [b.hashrate_nominal_ths for b in reading.boards] == [
        86.35682559,
        86.405595413,
        86.428018183,
    ]
    assert [(b.inlet_temp_c, b.outlet_temp_c) for b in reading.boards] == [
        (39.0, 60.0),
        (39.5, 58.5),
        (39.5, 57.5),
    ]
    assert [(b.board_temp_c, b.chip_temp_c) for b in reading.boards] == [
        (60.0, 75.0),
        (58.5, 73.5),
        (57.5, 72.5),
    ]
    assert [b.chips for b in reading.boards] == [55] * 3
    assert [(f.rpm, f.duty_percent) for f in reading.fans] == [
        (6418, 100),
        (6448, 100),
        (6328, 100),
        (5998, 100),
    ]
    assert [pool.status for pool in reading.pools] == ["Alive", "Alive"]
    assert [pool.active for pool in reading.pools] == [True, False]
    assert (reading.shares_accepted, reading.shares_rejected) == (10781, 24)
    assert (reading.uptime_s, reading.locating, reading.missing) == (96949, False, ())


@captured
async def test_s19_xp_of_25_07_by_rest() -> None:
    capture = load(S19_XP)
    replay = Replay(recording(capture))
    finding = await replay.probe()
    identity, reading = finding.identity, await read(finding.driver)
    expected = capture["expected"]
    assert (identity.make, identity.model) == ("Bitmain", "Antminer S19 XP")
    assert (identity.mac, identity.hostname) == (expected["mac"], expected["hostname"])
    assert identity.firmware_version == expected["firmware_version"]
    assert identity.serial is expected["serial_number"] is None
    assert (reading.state, reading.uptime_s) == (State.MINING, 69725)
    assert reading.hashrate_ths == pytest.approx(141.463565401)
    assert reading.hashrate_avg_ths == pytest.approx(138.207052945)
    assert reading.hashrate_nominal_ths == pytest.approx(142.876598291)
    assert (reading.power_w, reading.power_source) == (3137, PowerSource.MODELLED)
    assert reading.efficiency_j_th == pytest.approx(21.785613792)
    assert (reading.power_limit_w, reading.mode) == (3031, "power target")
    assert reading.locating is expected["light_flashing"]
    assert [b.index for b in reading.boards] == [1, 2, 3]
    assert [b.serial for b in reading.boards] == [
        "NGSBYPDBCJBAG8562",
        "NGSBYPDBCJBAG8567",
        "NGSBYPDBCJBBA0309",
    ]
    assert [b.hashrate_ths for b in reading.boards] == [50.137729421, 47.85927834, 50.362690141]
    assert [b.frequency_mhz for b in reading.boards] == [486.704545, 461.931818, 500.0]
    assert [(b.chips, b.chips_expected) for b in reading.boards] == [(110, 110)] * 3
    assert [(b.board_temp_c, b.chip_temp_c) for b in reading.boards] == [
        (55.5, 70.5),
        (52.0, 67.0),
        (54.0, 69.0),
    ]
    assert [(b.inlet_temp_c, b.outlet_temp_c) for b in reading.boards] == [
        (41.0, 55.5),
        (40.0, 52.0),
        (41.5, 54.0),
    ]
    assert {b.voltage_v for b in reading.boards} == {12.93826530612245}
    assert [(f.index, f.rpm, f.duty_percent) for f in reading.fans] == [
        (0, 5904, 100),
        (1, 5874, 100),
        (2, 5874, 100),
        (3, 5904, 100),
    ]
    assert len(reading.pools) == expected["pools[0].len()"]
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (
        10464,
        18,
        0,
    )
    # Its log has eight lines of failed name look-ups, all from before the program was started.
    assert (reading.faults, reading.missing) == ((), ())
    # No page of limits was recorded: that is no fault of the machine's.
    assert (reading.power_limit_min_w, reading.power_limit_max_w) == (None, None)


# --- states ------------------------------------------------------------------------------------


def rpc_report(name: str, **changed: Any) -> Report:
    answers: dict[str, Any] = {**fixture(name)["rpc"], **changed}
    replies, errors = {}, {}
    for command, answer in answers.items():
        try:
            replies[command] = checked(answer)
        except DriverError as error:
            errors[command] = error
    return Report(replies, errors)


def of_rpc(report: Report) -> MinerReading:
    reading = braiins_rpc.parse(report, "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


def stood(name: str, elapsed: int) -> dict[str, Any]:
    summary = fixture(name)["rpc"]["summary"]
    summary["SUMMARY"][0] |= {"MHS 5s": 0.0, "Elapsed": elapsed}
    assert isinstance(summary, dict)
    return summary


@pytest.mark.parametrize(
    ("chains", "elapsed", "state"),
    [
        (["Paused", "paused", "Paused"], 7000, State.SLEEPING),
        (["Stable", "Stable", "Stable"], 30, State.STARTING),
        (["Stable", "Stable", "Stable"], 7000, State.UNKNOWN),
        (["Hashchain refused to start: no"] * 3, 7000, State.FAULT),
        ([], 7000, State.UNKNOWN),
    ],
)
def test_a_machine_without_a_rate_is_what_it_says(
    chains: list[str], elapsed: int, state: State
) -> None:
    tuner = fixture("s19j-mining")["rpc"]["tunerstatus"]
    rows = [{"HashchainIndex": at, "Status": each} for at, each in enumerate(chains, 1)]
    tuner["TUNERSTATUS"][0]["TunerChainStatus"] = rows
    summary = stood("s19j-mining", elapsed)
    assert of_rpc(rpc_report("s19j-mining", tunerstatus=tuner, summary=summary)).state is state


def test_no_pool_alive_is_idle() -> None:
    pools = fixture("s19j-mining")["rpc"]["pools"]
    for row in pools["POOLS"]:
        row["Status"] = "Dead"
    summary = stood("s19j-mining", 7000)
    assert of_rpc(rpc_report("s19j-mining", pools=pools, summary=summary)).state is State.IDLE


def test_unavailable_details_are_a_pause_only_without_a_rate() -> None:
    refused = fixture("s17-paused")["rpc"]["devdetails"]
    assert of_rpc(rpc_report("s19j-mining", devdetails=refused)).state is State.MINING
    summary, tuner = stood("s19j-mining", 7000), {"STATUS": [{"STATUS": "S"}], "TUNERSTATUS": []}
    report = rpc_report("s19j-mining", devdetails=refused, summary=summary, tunerstatus=tuner)
    assert of_rpc(report).state is State.SLEEPING
    warned = {"STATUS": [{"STATUS": "W", "Code": 69, "Msg": "Unavailable"}]}
    report = rpc_report("s19j-mining", devdetails=warned, summary=summary, tunerstatus=tuner)
    assert of_rpc(report).state is State.SLEEPING


@pytest.mark.parametrize("words", ["Tuning individual chips", "Testing performance profile", ""])
def test_a_tuning_machine_has_no_fault(words: str) -> None:
    tuner = fixture("s19j-mining")["rpc"]["tunerstatus"]
    tuner["TUNERSTATUS"][0]["TunerChainStatus"] = [{"HashchainIndex": 1, "Status": words}]
    reading = of_rpc(rpc_report("s19j-mining", tunerstatus=tuner))
    assert (reading.state, reading.faults) == (State.MINING, ())


@pytest.mark.parametrize(
    ("status", "ghs", "uptime_s", "state"),
    [
        (2, 100.0, 9000, State.MINING),
        (2, 0.0, 9000, State.FAULT),
        (2, 0.0, 60, State.STARTING),
        (2, None, 9000, State.UNKNOWN),
        (3, 0.0, 9000, State.SLEEPING),
        (3, 5.0, 9000, State.SLEEPING),  # ramping down
        ("MINER_STATUS_PAUSED", 0.0, 9000, State.SLEEPING),
        (1, None, 60, State.STARTING),
        (1, None, 9000, State.SLEEPING),
        (4, 0.0, 9000, State.FAULT),
        (5, 90.0, 9000, State.MINING),
        (None, 0.0, 9000, State.FAULT),
        (77, 90.0, 9000, State.MINING),
    ],
)
def test_the_state_is_the_miners_status(
    status: Any, ghs: float | None, uptime_s: int, state: State
) -> None:
    details = {"status": status, "system_uptime_s": uptime_s, "bosminer_uptime_s": uptime_s}
    rated = {} if ghs is None else {"last_5s": {"gigahash_per_second": ghs}}
    stats = {"miner_stats": {"real_hashrate": rated}}
    report = Report({braiins_build.STATS: stats}, {})
    assert braiins_rest.parse(details, report, "x", NOW, {}, {}).reading.state is state


def test_old_errors_are_history_and_new_ones_are_faults() -> None:
    rows = [
        {"message": "old", "timestamp": "2026-09-21T10:00:00Z"},
        {"message": "new", "timestamp": "2026-09-21T14:00:00.123456789+00:00"},
        {"message": "undated"},
        {"message": "without a zone", "timestamp": "2026-09-21T10:00:00"},
        {"timestamp": "2026-09-21T14:00:00Z"},
    ]
    log = braiins_build.reduce_errors({"errors": rows})
    details = {"bosminer_uptime_s": 3600, "status": 2}
    reading = braiins_rest.parse(
        details, Report({}, {}), "x", NOW, {braiins_build.ERRORS: log}, {}
    ).reading
    assert [fault.message for fault in reading.faults] == ["new", "undated", "without a zone"]


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "model"),
    [
        ("Bitmain Antminer S9", "Bitmain", "Antminer S9"),
        ("Antminer S19J Pro", "Bitmain", "Antminer S19j Pro"),
        ("Antminer S19XP", "Bitmain", "Antminer S19 XP"),
        ("Antminer S19J88NoPic", "Bitmain", "Antminer S19j88NoPIC"),
        ("ANTMINER S19K PRO", "Bitmain", "Antminer S19k Pro"),
        ("Antminer S99", "Bitmain", "Antminer S99"),
        ("Braiins Mini Miner BMM 100", "Braiins", "Mini Miner BMM 100"),
        ("BRAIINS MINI MINER BMM 101", "Braiins", "Mini Miner BMM 101"),
        ("Whatsminer M30S+", "MicroBT", "Whatsminer M30S+"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_names_are_the_makers(name: str | None, make: str | None, model: str | None) -> None:
    assert braiins_parts.make_and_model(name) == (make, model)


def test_frequencies_in_hertz_and_in_megahertz() -> None:
    assert braiins_parts.megahertz(799682118) == pytest.approx(799.682118)
    assert (braiins_parts.megahertz(573), braiins_parts.megahertz(0)) == (573, None)


def test_who_it_is_does_not_change_with_a_pause_or_without_graphql() -> None:
    extra = braiins_rpc.Extra("Antminer S19j Pro", False, ((1, "HB0001AAAA"),))
    running = braiins_rpc.parse(rpc_report("s19j-mining"), "x", NOW, extra).fingerprint
    refused = fixture("s17-paused")["rpc"]["devdetails"]
    paused = braiins_rpc.parse(rpc_report("s19j-mining", devdetails=refused), "x", NOW).fingerprint
    assert running == paused
    assert running.traits == ("boser-buildroot 0.1.0-1a2b3c4d", "farm.w17")
    assert (running.uptime_s, running.counters) == (86400, (5120,))


# --- what is asked -----------------------------------------------------------------------------


async def test_a_poll_is_one_joined_question_and_graphql_now_and_then() -> None:
    replay = Replay(fixture("s19j-mining"))
    driver = (await replay.probe()).driver
    replay.asked.clear()
    for _ in range(14):
        await driver.read()
        replay.at += 10
        summary = replay.recording["rpc"]["summary"]["SUMMARY"][0]
        summary["Elapsed"] += 10
    joined = f"rpc {'+'.join(braiins_rpc.COMMANDS)}"
    assert replay.asked.count(joined) == 14
    assert [each for each in replay.asked if each != joined] == ["web POST /graphql"] * 2


async def test_a_rest_poll_is_four_pages_and_the_login_is_kept() -> None:
    replay = Replay(fixture("s21-rest"))
    driver = (await replay.probe()).driver
    await driver.read()
    assert [each for each in replay.asked if "auth" in each] == [f"web POST {API}auth/login"]
    replay.asked.clear()
    for _ in range(3):
        replay.at += 10
        replay.recording["web"][f"{API}miner/details"]["system_uptime_s"] += 10
        reading = await read(driver)
    assert len(replay.asked) == 12
    assert reading.pools_at is not None
    assert reading.pools_at.timestamp() == NOW
    assert not [each for each in replay.asked if "auth" in each]
    assert not [each for each in replay.asked if "rpc" in each]


class Locked(Replay):
    """A web server that opens REST for one password alone."""

    password = ""

    async def request(self, method: str, url: str, **values: Any) -> WebReply:
        reply = await super().request(method, url, **values)
        if url.endswith("auth/login"):
            given = json.loads(values["body"])
            good = given == {"username": "root", "password": self.password}
            return reply if good else WebReply(401, {}, b"")
        closed = "/api/v1/" in url and (values["headers"] or {}).get("Authorization") != "t0ken"
        return WebReply(401, {}, b"") if closed else reply


async def test_the_factory_password_may_be_empty() -> None:
    replay = Locked(fixture("s21-rest"))
    driver = create("braiins", replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Antminer S21"
    assert replay.asked.count(f"web POST {API}auth/login") == 1


async def test_a_rest_that_does_not_open_leaves_port_4028() -> None:
    replay = Locked(fixture("s19j-mining"))
    replay.recording = {**replay.recording, "web": {**replay.recording["web"]}}
    replay.recording["web"] |= fixture("s21-rest")["web"]
    replay.password = "a secret"
    driver = create("braiins", replay.endpoint, replay.context(Credential("root", "wrong")))
    identity = await driver.identify()
    reading = await read(driver)
    assert (identity.model, identity.mac) == ("Antminer S19j Pro", "02:00:b0:5a:00:17")
    assert reading.hashrate_ths == 98.7654321
    assert [words.partition(":")[0] for words in reading.missing] == ["rest"]
    logins = replay.asked.count(f"web POST {API}auth/login")
    for _ in range(5):
        replay.at += 20
        await driver.read()
    assert replay.asked.count(f"web POST {API}auth/login") == logins == len(FACTORY)
    replay.password = "wrong"
    replay.at += 300
    assert (await read(driver)).hashrate_ths == 199.5005


async def test_an_older_graphql_is_asked_part_by_part() -> None:
    class Older(Replay):
        async def request(self, method: str, url: str, **values: Any) -> WebReply:
            reply = await super().request(method, url, **values)
            if url.endswith("/graphql") and b"hbSerialNumber" in values["body"]:
                words = {"errors": [{"message": 'Unknown field "hbSerialNumber" on "HwDetails"'}]}
                return WebReply(200, {}, json.dumps({"data": None, **words}).encode())
            if url.endswith("/graphql") and b"appeals" in values["body"]:
                return WebReply(200, {}, b'{"data":null,"errors":[{"message":"Unknown field"}]}')
            return reply

    replay = Older(fixture("bmm-graphql"))
    driver = create("braiins", replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Mini Miner BMM 101"
    reading = await read(driver)
    assert (reading.state, reading.hashrate_ths, len(reading.boards)) == (
        State.MINING,
        1.0128135,
        1,
    )
    assert reading.missing == ("graphql events: Refused graphql: Unknown field",)


async def test_a_graphql_that_wants_a_login_gets_one() -> None:
    class Closed(Replay):
        logins = 0

        async def request(self, method: str, url: str, **values: Any) -> WebReply:
            reply = await super().request(method, url, **values)
            if not url.endswith("/graphql"):
                return reply
            if b"mutation" in values["body"]:
                self.logins += 1
                good = json.loads(values["body"])["variables"]["password"] == "root"
                cookie = {"set-cookie": "session_id=abc; HttpOnly"} if good else {}
                return WebReply(200, cookie, b'{"data":{"auth":{"login":{"void":null}}}}')
            if (values["headers"] or {}).get("Cookie") != "session_id=abc":
                return WebReply(200, {}, b'{"data":null,"errors":[{"message":"Unauthorized"}]}')
            return reply

    replay = Closed(fixture("bmm-graphql"))
    driver = create("braiins", replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Mini Miner BMM 101"
    for _ in range(3):
        assert (await read(driver)).state is State.MINING
    assert replay.logins == 2  # without a password, then the right one; then it is kept


async def test_luci_shows_its_form_until_someone_logs_in() -> None:
    class Form(Replay):
        async def request(self, method: str, url: str, **values: Any) -> WebReply:
            reply = await super().request(method, url, **values)
            if method == "POST" and url.endswith("/cgi-bin/luci"):
                good = values["body"] == b"luci_username=root&luci_password=p%26w"
                return WebReply(302, {"set-cookie": "sysauth=77; path=/"} if good else {}, b"")
            if "iface_status" in url and (values["headers"] or {}).get("Cookie") != "sysauth=77":
                return WebReply(200, {}, b"<html><form></form></html>")
            return reply

    replay = Form(fixture("s19j-mining"))
    driver = create("braiins", replay.endpoint, replay.context(Credential("root", "p&w")))
    assert (await driver.identify()).mac == "02:00:b0:5a:00:17"


async def test_a_web_side_alone_and_port_4028_alone() -> None:
    whole = fixture("s19j-mining")
    web = Replay({"web": whole["web"]})
    driver = create("braiins", web.endpoint, web.context())
    assert (await driver.identify()).hostname == "hall-2-017"
    assert (await read(driver)).hashrate_ths == 98.7654321
    rpc = Replay({"rpc": whole["rpc"], "joins": True})
    finding = await rpc.probe()
    reading = await read(finding.driver)
    assert (finding.identity.model, reading.missing) == ("Antminer S19j Pro", ())
    assert [board.serial for board in reading.boards] == [None] * 3


async def test_nobody_there_is_unreachable() -> None:
    replay = Replay({})
    driver = create("braiins", replay.endpoint, replay.context())
    for ask in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await ask()


async def test_booting_is_no_sign_that_commands_cannot_be_joined() -> None:
    replay = Replay(fixture("s9-booting"))
    answers = replay.recording["rpc"]
    replay.recording = {**replay.recording, "rpc": dict.fromkeys(answers, answers["summary"])}
    driver = create("braiins", replay.endpoint, replay.context())
    assert (await read(driver)).state is State.STARTING
    replay.recording = fixture("s19j-mining")
    assert (await read(driver)).state is State.MINING
    assert replay.asked[-2].startswith("rpc version+summary") or "+" in replay.asked[-1]


async def test_bosminer_down_is_status_412_on_its_pages() -> None:
    class Down(Replay):
        async def request(self, method: str, url: str, **values: Any) -> WebReply:
            reply = await super().request(method, url, **values)
            down = url.endswith(("miner/stats", "hw/hashboards", "tuner-state"))
            return WebReply(412, {}, b"") if down else reply

    replay = Down(fixture("s21-rest-paused"))
    details = replay.recording["web"][f"{API}miner/details"]
    details |= {"status": 1, "bosminer_uptime_s": 0, "system_uptime_s": 99}
    driver = create("braiins", replay.endpoint, replay.context())
    await driver.identify()
    reading = await read(driver)
    assert (reading.state, reading.hashrate_ths, reading.boards) == (State.STARTING, None, ())
    assert reading.missing[0].startswith("miner/stats: Refused code 412")


async def test_the_first_braiins_os_is_asked_the_classic_commands_alone() -> None:
    replay = Replay(fixture("oldest-s9"))
    driver = (await replay.probe()).driver
    await driver.read()
    replay.asked.clear()
    assert (await read(driver)).hashrate_ths == 13.2005
    assert replay.asked == ["rpc summary+devs+pools+stats"]


# --- hostile -----------------------------------------------------------------------------------

RPC = {name: fixture("s9-faulty")["rpc"][name] for name in braiins_rpc.COMMANDS}
GRAPH = fixture("bmm-graphql")["web"]["POST /graphql"]["data"]
PAGES = {
    key.removeprefix(API): value
    for key, value in fixture("s21-rest")["web"].items()
    if key.startswith(API)
}


@settings(max_examples=200, deadline=None)
@given(mutations(RPC), st.sampled_from([Refused(1, "Not ready"), Refused(14, "x")]))
def test_rpc_of_any_shape_gives_a_reading(answers: Any, error: DriverError) -> None:
    report = Report(answers, {"temps": error})
    sample = braiins_rpc.parse(report, "asic-x", NOW)
    msgspec.json.encode(sample.reading)
    assert len(sample.reading.faults) <= 64


@settings(max_examples=200, deadline=None)
@given(mutations(GRAPH))
def test_graphql_of_any_shape_gives_a_reading(data: Any) -> None:
    msgspec.json.encode(braiins_graph.parse(data, "asic-x", NOW, Report({}, {})).reading)
    msgspec.json.encode(braiins_graph.parse_identity(data))
    braiins_graph.reduce(data)


@settings(max_examples=300, deadline=None)
@given(mutations(PAGES))
def test_rest_of_any_shape_gives_a_reading(pages: Any) -> None:
    slow = {path: each.reduce(pages.get(path)) for path, each in braiins_build.SLOW.items()}
    details = pages.get(braiins_build.DETAILS)
    report = Report({name: pages.get(name) for name in ("miner/stats", "cooling/state")}, {})
    report.replies[braiins_build.BOARDS] = pages.get(braiins_build.BOARDS)
    sample = braiins_rest.parse(details, report, "asic-x", NOW, slow, {braiins_build.POOLS: 1.0})
    msgspec.json.encode(sample.reading)
    msgspec.json.encode(braiins_build.parse_identity(details, "asic-x"))
    assert len(sample.reading.faults) <= 64


def test_long_lists_are_cut() -> None:
    page = {"errors": [{"message": "x" * 9000}] * 70_000}
    assert len(braiins_build.reduce_errors(page)) == 64
    rows = [{"id": str(at)} for at in range(9000)]
    report = Report({braiins_build.BOARDS: {"hashboards": rows}}, {})
    reading = braiins_rest.parse({}, report, "x", NOW, {}, {}).reading
    assert isinstance(reading, MinerReading)
    assert len(reading.boards) == 64
