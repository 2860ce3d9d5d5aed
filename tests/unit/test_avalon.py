"""Avalons: their strings with all traps, states, power, what is asked how often, real captures."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.avalon.answers import parse
from drivers.asic.avalon.driver import Avalon
from drivers.asic.avalon.modules import Module, modules, tokens, working
from drivers.asic.avalon.names import identity, model_of
from drivers.errors import AccessDenied, DriverError, Unreachable, WrongProtocol
from drivers.model import MinerReading, PowerSource, State
from drivers.wire.cgminer import Report
from tests.replay import ADDRESS, Replay
from tests.unit.mutations import mutations

NOW = 1_790_000_000.0
HERE = Path(__file__).parents[1] / "fixtures" / "asic"
CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures"


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((HERE / f"avalon-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def single(words: str, key: str = "MM ID0") -> list[Module]:
    return modules({"STATS": [{"STATS": 0, "ID": "AVA100", "Elapsed": 5000, key: words}]})


def reading_of(words: str, *, summary: dict[str, Any] | None = None, pools: Any = ()) -> Any:
    report = Report({"summary": {"SUMMARY": [summary or {}]}, "pools": {"POOLS": list(pools)}})
    reading = parse(report, single(words), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


WORKING = "Ver[1246-83-21010101_a_b] SYSTEMSTATU[Work: In Work, Hash Board: 3 ] Elapsed[5000] "
POOL = {"URL": "stratum+tcp://pool.example.com:3333", "User": "w", "Status": "Alive"}
DEAD_POOL = {**POOL, "Status": "Dead"}


# --- the strings -----------------------------------------------------------------------------


def test_a_string_is_taken_apart() -> None:
    words = (
        "'STATS':{Ver[Q-1_a] SSID[] SYSTEMSTATU[Work: In Work, Hash Board: 1] Fan1[10]BOOTBY[1] "
        "DH[2.4%] DH5m%[1] X-Y[2] HS_RCD0[Tenv:23 Tavg:65] T[1 2  3] Fan1[99] Nonce Mask[25]}"
    )
    assert tokens(words) == {
        "Ver": "Q-1_a",
        "SSID": "",
        "SYSTEMSTATU": "Work: In Work, Hash Board: 1",
        "Fan1": "10",
        "BOOTBY": "1",
        "DH": "2.4%",
        "DH5m%": "1",
        "X-Y": "2",
        "HS_RCD0": "Tenv:23 Tavg:65",
        "T": "1 2  3",
        "Mask": "25",
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Temp[31 TMax[78] TAvg[70", {"TMax": "78"}),
        ("MM ID0[Ver[x],DNA[y],Temp[66]]", {"Ver": "x", "DNA": "y", "Temp": "66"}),
        ("] [5] A[1]]]", {"A": "1"}),
        ("", {}),
        ("[[[[", {}),
        ("no brackets at all", {}),
        (f"{'k' * 90}[1] A[2]", {"A": "2"}),
        ("schlüssel[1]", {"schlüssel": "1"}),
    ],
)
def test_what_is_cut_or_glued_leaves_the_rest_readable(words: str, found: dict[str, str]) -> None:
    assert tokens(words) == found


def test_the_lists_of_the_chips_stand_apart_on_home_machines() -> None:
    row = {
        "Elapsed": 5,
        "MM ID0:Summary": "'STATS':{Ver[Q-1] TA[4]}",
        "HBinfo": "'HB0':{PVT_T0[50 51] MW0[1 2]} 'HB1':{PVT_T0[60 61] MW0[3",
    }
    (found,) = modules({"STATS": [row]})
    assert found.is_home
    assert (found.fields["PVT_T0"], found.fields["PVT_T1"]) == ("50 51", "60 61")
    assert "MW1" not in found.fields
    for broken in ("", "'HB0'", "'HB0':{}", 7, None, {"HB0": {"PVT_T0": [50, 51]}}, [1]):
        assert modules({"STATS": [{**row, "HBinfo": broken}]})[0].fields["Ver"] == "Q-1"


def test_objects_in_the_place_of_strings_are_read_alike() -> None:
    apart = {"Ver": "1246-83-x", "MGHS": [1.5, 2.5], "Led": 0, "SYSTEMSTATU": "Work: In Work"}
    (found,) = modules({"STATS": [{"MM ID0": apart}]})
    assert found.fields["MGHS"] == "1.5 2.5"
    (nested,) = modules({"STATS": [{"MM ID0:Summary": {"STATS": apart}}]})
    assert nested.fields == found.fields


@pytest.mark.parametrize("reply", [None, [], {}, {"STATS": {}}, {"STATS": [1, {"MM ID0": 5}]}])
def test_an_answer_without_strings_has_no_machines(reply: Any) -> None:
    assert modules(reply) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ]", ("work", 3)),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 1]", ("idle", 1)),
        ("SYSTEMSTATU[Work: In Init]", ("init", None)),
        ("STATE[3]", ("fault", None)),
        ("STATE[9]", (None, None)),
        ("SYSTEMSTATU[]", (None, None)),
        ("", (None, None)),
    ],
)
def test_what_a_machine_says_it_does(words: str, expected: tuple[Any, Any]) -> None:
    assert working(tokens(words)) == expected


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("1246-83-21010101_aaaaaaa_bbbbbbb", "Avalon 1246"),
        ("AvalonMiner 1246-81", "Avalon 1246"),
        ("AvalonMiner 1166Pro-S-78", "Avalon 1166 Pro"),
        ("1126Pro-64", "Avalon 1126 Pro"),
        ("1246I-85", "Avalon 1246I"),
        ("A1566", "Avalon 1566"),
        ("15-194", "Avalon 1566"),
        ("AvalonMiner 15-194", "Avalon 1566"),
        ("15-218", "Avalon 15-218"),
        ("10xx", None),
        ("AvalonMiner 10xx", None),
        ("7411706-aaaaaaa", "Avalon 741"),
        ("8511803-bbbbbbb", "Avalon 851"),
        ("921", "Avalon 921"),
        ("601512-ccccccc", "Avalon 6"),
        ("411502-ccccccc", "Avalon 4"),
        ("Avalon Nano3s", "Avalon Nano 3S"),
        ("Nano3s-25020101_ddddddd", "Avalon Nano 3S"),
        ("nano3", "Avalon Nano 3"),
        ("nano3-24070101_eeeeeee", "Avalon Nano 3"),
        ("Avalonnano", None),
        ("Avalon0o", None),
        ("Avalon Mini3", "Avalon Mini 3"),
        ("Mini3-25020101_fffffff", "Avalon Mini 3"),
        ("Q", "Avalon Q"),
        ("Avalon Q", "Avalon Q"),
        ("Q-25060101_aaaaaaa", "Avalon Q"),
        ("synthetic", None),
        ("", None),
    ],
)
def test_models_are_named_as_the_maker_does(word: str, name: str | None) -> None:
    assert model_of(word) == name


def test_a_blank_dna_is_no_serial() -> None:
    for dna in ("0000000000000000", "<DELETED>", "", None, 0):
        version = {"VERSION": [{"PROD": "Avalonnano", "MODEL": "nano3", "DNA": dna}]}
        found = identity(version, (), "asic-at-10.0.0.1")
        assert (found.id, found.serial) == ("asic-at-10.0.0.1", None)
        assert found.model == "Avalon Nano 3"


def test_the_string_names_what_version_does_not() -> None:
    version = {"VERSION": [{"CGMiner": "4.11.1", "PROD": "AvalonMiner 10xx", "MODEL": "10xx"}]}
    found = identity(version, single("Ver[1066-19010101_a_b] DNA[020100002caaaaaa]"), "asic-at-x")
    assert (found.model, found.id) == ("Avalon 1066", "asic-020100002caaaaaa")
    assert found.firmware_version == "19010101_a_b"


# --- rates -----------------------------------------------------------------------------------


def test_the_rate_of_a_string_is_in_gigahashes() -> None:
    reading = reading_of(WORKING + "GHSspd[81000.55] GHSmm[83900.25] GHSavg[79600.75]")
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (81.00055, 79.60075)
    assert reading.hashrate_nominal_ths == 83.90025


def test_before_2020_the_rate_stands_in_the_summary_alone() -> None:
    words = WORKING + "GHSmm[37700.50] GHSavg[37200.25]"
    summary = {"MHS 30s": 37_100_000.0, "MHS av": 37_200_000.0}
    assert reading_of(words, summary=summary).hashrate_ths == 37.1
    assert reading_of(words).hashrate_ths is None
    assert reading_of(words).state is State.UNKNOWN


def test_a_rate_that_is_never_filled_in_is_not_believed_at_work() -> None:
    words = WORKING + "GHSspd[0.00] GHSmm[53100.50] GHSavg[51100.25] SoftOFF[0]"
    reading = reading_of(words, summary={"MHS 30s": 51_000_000.0})
    assert (reading.hashrate_ths, reading.state) == (51.0, State.MINING)
    asleep = words.replace("In Work", "In Idle").replace("SoftOFF[0]", "SoftOFF[5]")
    reading = reading_of(asleep, summary={"MHS 1m": 1200.5})
    assert (reading.hashrate_ths, reading.state) == (0.0, State.SLEEPING)


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-5", "", "x", "1e999"])
def test_a_rate_that_is_none_stays_none(value: str) -> None:
    reading = reading_of(WORKING + f"GHSspd[{value}] GHSavg[{value}] GHSmm[{value}]")
    rates = (reading.hashrate_ths, reading.hashrate_avg_ths, reading.hashrate_nominal_ths)
    assert rates == (None, None, None)


def test_boards_show_means_while_the_machine_works_and_nothing_while_it_rests() -> None:
    words = WORKING + "GHSspd[81000] MGHS[27000 26000 28000] MTmax[77 76 75]"
    assert [board.hashrate_ths for board in reading_of(words).boards] == [27.0, 26.0, 28.0]
    rests = words.replace("81000", "0.00").replace("In Work", "In Idle") + " SoftOFF[4]"
    assert [board.hashrate_ths for board in reading_of(rests).boards] == [0.0, 0.0, 0.0]
    alone = WORKING + "GHSspd[81000] MGHS[70000]"
    assert reading_of(alone).boards[0].hashrate_ths == 81.0


# --- power -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wall_w", "output_w", "volts"),
    [
        ("PS[0 1211 1300 240 3120 1305 3400]", 3400.0, 3120.0, 13.0),
        # An idle Q: 2250 are hundredths of a volt.
        ("PS[0 1220 3 0 0 2250 120]", 120.0, 0.0, 0.03),
        ("PS[0 1210 1190 290 3451 1190 3650] WALLPOWER[3655]", 3655.0, 3451.0, 11.9),
        # An A10 has no seventh: what it draws from the wall is not known.
        ("PS[0 1215 1280 220 2816 1280]", None, 2816.0, 12.8),
        # A Nano 3s measures neither the controller's volts nor the output.
        ("PS[0 0 27500 4 0 3700 130]", 130.0, None, None),
        # The first Nano 3 has another order: 28 V by 3 A, 88 W.
        ("PS[0 0 0 3 2800 88 320]", 88.0, None, None),
        # Not less from the wall than is given out.
        ("PS[0 1211 1300 240 3120 1305 20]", None, 3120.0, 13.0),
        ("PS[0 0 0 0 0 0 0]", None, None, None),
        ("PS[0 1220]", None, None, None),
        ("PS[]", None, None, None),
        ("PS[0 1214 nan 242 inf 1320 99999999]", None, None, None),
        ("MPO[3200]", None, None, None),
        ("", None, None, None),
    ],
)
def test_watts_are_watts_and_volts_are_volts(
    words: str, wall_w: float | None, output_w: float | None, volts: float | None
) -> None:
    reading = reading_of(WORKING + "GHSspd[80000] MTmax[70 70] " + words)
    assert (reading.power_w, reading.power_output_w) == (wall_w, output_w)
    assert {board.voltage_v for board in reading.boards} == {volts}
    source = PowerSource.REPORTED if wall_w is not None else None
    assert reading.power_source is source


def test_the_target_is_a_limit() -> None:
    reading = reading_of(WORKING + "MPO[3200]")
    assert (reading.power_w, reading.power_limit_w) == (None, 3200.0)


# --- temperatures, chips, light ---------------------------------------------------------------


def test_sensors_that_are_not_there_say_minus_273_or_nothing() -> None:
    reading = reading_of(WORKING + "ITemp[-273] OTemp[65] TMax[0] HBITemp[0] MTmax[0]")
    assert (reading.inlet_temp_c, reading.outlet_temp_c) == (None, 65.0)
    assert (reading.chip_temp_max_c, reading.boards[0].inlet_temp_c) == (None, None)
    assert reading_of(WORKING + "Temp[-12]").inlet_temp_c == -12.0


def test_a_mini_3_has_one_sensor_on_its_board() -> None:
    reading = reading_of("Ver[Mini3-1_a] GHSspd[39000] MGHS[39000] HBTemp[65] TMax[76]")
    assert (reading.boards[0].board_temp_c, reading.boards[0].chip_temp_c) == (65.0, 76.0)


def test_chips_are_counted_by_their_temperatures_or_their_results() -> None:
    by_heat = WORKING + "GHSspd[1000] PVT_T0[ 60  61 -273 0] PVT_T1[-273 -273 -273 -273]"
    assert [board.chips for board in reading_of(by_heat).boards] == [2, 0]
    by_work = WORKING + "GHSspd[1000] MW0[9 0 8 7] MW1[1 2 3 4]"
    assert [board.chips for board in reading_of(by_work + " MW[5 6]").boards] == [3, 4]
    young = by_work.replace("Elapsed[5000]", "Elapsed[60]")
    assert [board.chips for board in reading_of(young + " MW[5 6]").boards] == [4, 4]
    off = by_heat.replace("In Work", "In Idle").replace("GHSspd[1000]", "GHSspd[0] SoftOFF[4]")
    off = off.replace("60  61", "-273 -273")
    assert [board.chips for board in reading_of(off).boards] == [None, None]


def test_the_machines_own_total_of_chips_goes_before_the_table() -> None:
    chips = " ".join(["60"] * 114)
    lists = f"PVT_T0[{chips}] PVT_T1[{chips}] PVT_T2[{chips}]"
    reading = reading_of(WORKING + f"GHSspd[1000] TA[342] {lists}")
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [(114, 114)] * 3
    assert reading.faults == ()
    reading = reading_of(WORKING + f"GHSspd[1000] TA[340] {lists}")
    assert [(board.chips, board.chips_expected) for board in reading.boards] == [(114, 120)] * 3
    fitted = reading_of(WORKING + f"GHSspd[1000] EEPROM[116 114 114] TA[342] {lists}").boards
    assert [board.chips_expected for board in fitted] == [116, 114, 114]


def test_the_frequency_of_a_board_is_the_mean_of_its_clocks() -> None:
    words = "MGHS[1 2] PLL0[100 100 0 200] SF0[400 420 440 470] PLL1[0 0] SF1[1 2]"
    assert [board.frequency_mhz for board in reading_of(words).boards] == [440.0, None]


@pytest.mark.parametrize(("words", "lit"), [("Led[1]", True), ("Led[0]", False), ("", None)])
def test_the_light(words: str, lit: bool | None) -> None:
    assert reading_of(WORKING + words).locating is lit
    assert reading_of(WORKING + "LED[1-1] " + words).locating is lit


# --- states and modes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "pools", "state"),
    [
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[100] SoftOFF[0]", [POOL], "mining"),
        ("SYSTEMSTATU[Work: In Init, Hash Board: 3 ] GHSspd[0]", [POOL], "starting"),
        ("SYSTEMSTATU[Work: In Init, Hash Board: 3 ] GHSspd[0] SoftOFF[6]", [POOL], "starting"),
        ("SYSTEMSTATU[Work: In Fault, Hash Board: 0 ] GHSspd[0]", [POOL], "fault"),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 3 ] GHSspd[0] SoftOFF[5]", [POOL], "sleeping"),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 3 ] GHSspd[0] SoftOFF[0]", [POOL], "idle"),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 3 ] GHSspd[0] ECHU[64 0 0]", [POOL], "fault"),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 3 ] GHSspd[0] ECHU[513 1 1]", [POOL], "idle"),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 3 ] PS[1 0 0 0 0 0 9]", [POOL], "fault"),
        # Told to stop, and still at it.
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[0] SoftOFF[5]", [POOL], "sleeping"),
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[0] Elapsed[60]", [POOL], "starting"),
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[0]", [DEAD_POOL], "idle"),
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[0]", [POOL], "fault"),
        ("STATE[2] SoftOFF[4] GHSspd[0]", [POOL], "sleeping"),
        ("STATE[1] GHSspd[5]", [POOL], "mining"),
        ("GHSspd[5]", [], "mining"),
        ("Temp[5]", [], "unknown"),
    ],
)
def test_the_state_is_the_machines_word(words: str, pools: list[Any], state: str) -> None:
    assert reading_of(words, pools=pools).state == state


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("Ver[1246-83-x] WORKMODE[0]", "normal"),
        ("Ver[1246-83-x] WORKMODE[1]", "high performance"),
        ("Ver[1346-110-x] WORKMODE[3]", "3"),
        ("Ver[Q-1_a] WORKMODE[2] WORKLEVEL[0]", "super"),
        ("Ver[Q-1_a] WORKMODE[0] WORKLEVEL[-3]", "eco, level -3"),
        ("Ver[Mini3-1_a] WORKMODE[1]", "1"),
        ("Ver[Mini3-1_a] WORKMODE[1] WORKLVL[2]", "1, level 2"),
        ("Ver[nano3-1_a] WORKLEVEL[2]", "high"),
        ("Ver[Nano3s-1_a] WORKMODE[1]", "mid"),
        ("Ver[1246-83-x] WORKMODE[-7]", "-7"),
        ("Ver[1246-83-x] WORKMODE[x]", None),
        ("Ver[1066-x]", None),
    ],
)
def test_the_mode_is_what_is_set(words: str, mode: str | None) -> None:
    assert reading_of(words).mode == mode


# --- faults ------------------------------------------------------------------------------------


def test_notices_are_faults_only_where_nothing_hashes() -> None:
    healthy = WORKING + "GHSspd[50000] MGHS[1 2 3] ECHU[512 512 528] ECMM[16]"
    assert reading_of(healthy).faults == ()
    standing = reading_of(healthy.replace("50000", "0"), pools=[POOL])
    assert [(fault.code, fault.message) for fault in standing.faults] == [
        ("ECHU 16", "board 2: too many results for the controller's queue"),
        ("ECHU 512", "boards 0, 1, 2: cores failed their test"),
        ("ECMM 16", "control board: too many results for the controller's queue"),
    ]


def test_unknown_bits_keep_their_number_and_masks_are_bounded() -> None:
    faults = reading_of(WORKING + f"GHSspd[1] MGHS[1] ECHU[{1 << 25}] ECMM[{10**18}]").faults
    assert ("ECHU 33554432", "board 0: error 33554432") in [(f.code, f.message) for f in faults]
    assert len(faults) <= 64
    assert reading_of(WORKING + "GHSspd[1] MGHS[1] ECHU[-5 x nan]").faults == ()


def test_a_supply_that_is_not_reached_is_a_fault() -> None:
    words = WORKING + "GHSspd[1] POW_I2C[FAIL] FanErr[2] EC[5]"
    codes = [fault.code for fault in reading_of(words).faults]
    assert codes == ["EC 5", "FanErr 2", "POW_I2C FAIL"]
    assert reading_of(WORKING + "GHSspd[1] POW_I2C_CONN[SUCCES]").faults == ()


# --- old breeds ---------------------------------------------------------------------------------


def test_an_avalon_6_is_read_as_one_board_for_each_module() -> None:
    words = (
        "Ver[601512-ccccccc] DNA[013c2c4d1edaaaaa] Elapsed[4000] LW[800000] HW[300] DH[0.04%] "
        "GHS5m[{}] DH5m[0.1%] Temp[{}] Fan[3960] Vol[0.6763] Freq[500.00] PG[3] Led[0]"
    )
    row = {"Elapsed": 4100, "MM ID1": words.format(3600.5, 45), "MM ID2": words.format(3500, 47)}
    report = Report({"summary": {"SUMMARY": [{"MHS 5s": 7_050_000.0, "MHS av": 7_100_000.0}]}})
    sample = parse(report, modules({"STATS": [row]}), "asic-x", NOW)
    reading = sample.reading
    assert isinstance(reading, MinerReading)
    assert [(board.index, board.hashrate_ths) for board in reading.boards] == [
        (0, 3.6005),
        (1, 3.5),
    ]
    assert [(fan.index, fan.rpm) for fan in reading.fans] == [(1, 3960), (2, 3960)]
    assert (reading.hashrate_ths, reading.uptime_s, reading.hw_errors) == (7.05, 4100.0, 600)
    assert (reading.inlet_temp_c, reading.state) == (47.0, State.MINING)
    without = parse(Report({}), modules({"STATS": [row]}), "asic-x", NOW).reading
    assert isinstance(without, MinerReading)
    assert without.hashrate_ths == 7.1005


async def test_an_avalon_2_without_strings_is_read_by_the_classic_dialect() -> None:
    replay = Replay(
        {
            "joins": True,
            "rpc": {
                "summary": answer("SUMMARY", {"Elapsed": 500, "MHS 5s": 90_000.0, "Accepted": 7}),
                "devs": answer("DEVS", {"ASC": 0, "Name": "AV2", "ID": 0, "MHS 5s": 90_000.0}),
                "stats": answer("STATS", {"ID": "AV20", "ID1 MM Version": "1405", "Fan1": 3000}),
                "pools": answer("POOLS", POOL),
            },
        }
    )
    driver = Avalon(replay.endpoint, replay.context())
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.shares_accepted) == (0.09, 7)
    assert len(reading.boards) == 1


# --- what is asked ------------------------------------------------------------------------------


def answer(section: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "Code": 1, "Msg": "x"}], section: [row], "id": 1}


def later(replay: Replay, seconds: float) -> None:
    """Let time pass for the machine as well."""
    replay.at += seconds
    for command in ("estats", "stats", "litestats"):
        for row in replay.recording["rpc"].get(command, {}).get("STATS", []):
            for key, words in row.items():
                if key.startswith("MM ID"):
                    at = tokens(words)["Elapsed"]
                    grown = f"Elapsed[{int(float(at)) + int(seconds)}]"
                    row[key] = words.replace(f"Elapsed[{at}]", grown)


async def polls(replay: Replay, driver: Avalon, times: int, every_s: float) -> list[str]:
    del replay.asked[:]
    for _ in range(times):
        later(replay, every_s)
        await driver.read()
    return [asked.removeprefix("rpc ") for asked in replay.asked]


async def test_one_question_a_poll_where_commands_join() -> None:
    replay = Replay(fixture("1246-mining"))
    driver = (await replay.probe()).driver
    assert isinstance(driver, Avalon)
    await driver.read()
    assert await polls(replay, driver, 3, 10) == ["summary+estats+pools"] * 3


async def test_pools_are_asked_now_and_then_where_commands_do_not_join() -> None:
    replay = Replay(fixture("1346-faulty"))
    driver = Avalon(replay.endpoint, replay.context())
    first = (await driver.read()).reading
    asked = await polls(replay, driver, 10, 10)
    assert asked.count("estats") == 10
    assert asked.count("pools") == 2
    assert set(asked) == {"estats", "pools"}
    later(replay, 10)
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert isinstance(first, MinerReading)
    assert reading.pools == first.pools
    assert reading.pools_at is not None
    assert reading.shares_accepted == 90


async def test_another_machine_does_not_get_the_pools_of_the_first() -> None:
    replay = Replay(fixture("1346-faulty"))
    driver = Avalon(replay.endpoint, replay.context())
    await driver.read()
    other = json.dumps(replay.recording["rpc"]).replace("02010000aa000002", "02010000aa0000ff")
    replay.recording = {"rpc": json.loads(other)}
    assert "pools" in await polls(replay, driver, 1, 10)


async def test_a_q_is_polled_by_the_short_answer_with_the_long_one_now_and_then() -> None:
    recording = awake_q()
    replay = Replay(recording)
    driver = Avalon(replay.endpoint, replay.context())
    first = (await driver.read()).reading
    assert isinstance(first, MinerReading)
    assert first.boards[0].chips == 159
    asked = await polls(replay, driver, 40, 10)
    assert asked.count("summary+litestats+pools") >= 37
    assert 1 <= asked.count("summary+estats+pools") <= 3
    later(replay, 10)
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert reading.boards[0].chips == 159  # counted in the long answer
    assert (reading.state, reading.power_w) == (State.MINING, 1670.0)


def awake_q() -> dict[str, Any]:
    words = json.dumps(fixture("q-sleeping"))
    for old, new in (
        ("In Idle", "In Work"),
        ("SoftOFF[4]", "SoftOFF[0]"),
        ("GHSspd[0.00]", "GHSspd[90000.00]"),
        ("TMax[0]", "TMax[72]"),
        ("PS[0 1220 3 0 0 2250 120]", "PS[0 1220 2421 66 1598 2422 1670]"),
        ("PVT_T0[ 55", "PVT_T0[-273"),
    ):
        assert old in words
        words = words.replace(old, new)
    found = json.loads(words)
    assert isinstance(found, dict)
    return found


async def test_a_short_answer_that_lacks_power_is_not_used() -> None:
    recording = awake_q()
    for row in recording["rpc"]["litestats"]["STATS"]:
        row["MM ID0:Summary"] = "LVer[1] STATE[1] MODE[2] LEVEL[0] GHSspd[90000.0] Elapsed[40000]"
    replay = Replay(recording)
    driver = Avalon(replay.endpoint, replay.context())
    await driver.read()
    asked = await polls(replay, driver, 5, 10)
    assert asked.count("summary+litestats+pools") == 1
    assert asked.count("summary+estats+pools") == 5


async def test_a_machine_that_refuses_the_short_answer_is_read_on() -> None:
    recording = awake_q()
    del recording["rpc"]["litestats"]
    replay = Replay(recording)
    driver = Avalon(replay.endpoint, replay.context())
    await driver.read()
    assert (await polls(replay, driver, 3, 10)).count("summary+estats+pools") == 3


@pytest.mark.parametrize("joins", [True, False])
async def test_a_machine_that_knows_stats_alone_is_read(joins: bool) -> None:
    recording = fixture("841-three")
    del recording["rpc"]["estats"]
    replay = Replay({**recording, "joins": joins})
    driver = Avalon(replay.endpoint, replay.context())
    identity_found = await driver.identify()
    assert identity_found.model == "Avalon 841"
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (len(reading.boards), reading.hashrate_ths) == (12, 40.5)
    assert reading.missing == ()
    await driver.read()
    assert "estats" not in " ".join(await polls(replay, driver, 3, 10))


async def test_a_locked_machine_still_gives_what_it_answers() -> None:
    refused = {"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied"}]}
    recording = fixture("1246-mining")
    recording["rpc"] |= {"estats": refused, "stats": refused}
    replay = Replay(recording)
    driver = Avalon(replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Avalon 1246"
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, len(reading.pools)) == (88.2, 2)
    assert any(part.startswith("stats: AccessDenied") for part in reading.missing)


async def test_nothing_readable_raises_what_the_wire_says() -> None:
    for recording, error in (
        ({}, Unreachable),
        ({"rpc": {"version": "HTTP/1.1 400 Bad Request\r\n\r\n"}}, WrongProtocol),
    ):
        replay = Replay(recording)
        with pytest.raises(error):
            await Avalon(replay.endpoint, replay.context()).identify()
    denied = {"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied"}]}
    commands = ("version", "estats", "stats", "summary", "devs", "pools")
    replay = Replay({"rpc": dict.fromkeys(commands, denied)})
    driver = Avalon(replay.endpoint, replay.context())
    with pytest.raises(AccessDenied):
        await driver.identify()
    with pytest.raises(DriverError):
        await driver.read()


# --- the fingerprint -----------------------------------------------------------------------------


async def test_the_fingerprint_is_the_machines_and_grows() -> None:
    replay = Replay(fixture("1246-mining"))
    driver = Avalon(replay.endpoint, replay.context())
    one = (await driver.read()).fingerprint
    later(replay, 10)
    other = (await driver.read()).fingerprint
    assert one.traits == other.traits
    assert "02010000aa000001" in one.traits
    assert other.uptime_s == (one.uptime_s or 0) + 10
    assert one.counters == (700.0,)


# --- real machines --------------------------------------------------------------------------------

captured = pytest.mark.skipif(not CAPTURES.exists(), reason="no captures beside the repository")
A1566 = "pyasic/Canaan_CGMinerAvalon1566_24102401_25462b2_9ddf522.json"
Q = "asic-rs/Canaan_AvalonHomeQ_stock-extra-commands.json"
Q_PARSED = "asic-rs/Canaan_AvalonHomeQ_stock-litestats.json"
A1246 = "asic-rs/Canaan_Avalon1246_stock-avalon_a.json"


def capture(name: str) -> dict[str, Any]:
    found = json.loads((CAPTURES / name).read_text())
    assert isinstance(found, dict)
    return found


@captured
async def test_a_real_a1566() -> None:
    found = capture(A1566)
    for joins in (True, False):
        replay = Replay({"rpc": copy.deepcopy(found["rpc"]), "joins": joins})
        finding = await replay.probe()
        who = finding.identity
        assert (finding.driver_name, who.model, who.make) == ("avalon", "Avalon 1566", "Canaan")
        assert who.mac == found["expected"]["mac"]
        # `fw_ver` there is the mining program's 4.11.1; the machine's build is another word.
        assert who.firmware_version == "24102401_25462b2_9ddf522"
        assert who.serial == "020100008c699117"
        reading = (await finding.driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert (reading.state, reading.uptime_s) == (State.MINING, 975.0)
        # Expected is 184: GHSavg, the mean since start. GHSspd[199241.07] is the rate now, and the
        # device's own 30 s window (devs: 197497926 MH/s) agrees with it.
        assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (199.24107, 184.007)
        assert int(reading.hashrate_avg_ths or 0) == found["expected"]["hashrate SHA256Unit.TH"]
        assert reading.power_w == found["expected"]["wattage"]
        assert reading.power_limit_w == found["expected"]["wattage_limit"]
        assert reading.power_output_w == 3526.0
        assert [fan.rpm for fan in reading.fans] == [4275, 4282]
        assert [board.hashrate_ths for board in reading.boards] == [59.45952, 61.40783, 63.13966]
        assert [board.chips for board in reading.boards] == [160] * 3
        assert [board.chips_expected for board in reading.boards] == [160] * 3
        assert [board.chip_temp_c for board in reading.boards] == [77.0, 78.0, 77.0]
        clocks = [board.frequency_mhz or 0 for board in reading.boards]
        assert sum(clocks) / 3 == pytest.approx(345.94, abs=0.2)  # Freq
        assert (reading.inlet_temp_c, reading.chip_temp_max_c) == (31.0, 78.0)
        urls = [pool["URL"] for pool in found["rpc"]["pools"]["POOLS"]]
        assert [pool.url for pool in reading.pools] == urls
        assert [pool.active for pool in reading.pools] == [True, False, False]
        assert (reading.shares_accepted, reading.shares_rejected) == (148, 1)
        assert (reading.faults, reading.locating) == ((), False)


@captured
async def test_a_real_q_asleep() -> None:
    rpc = capture(Q)["rpc"]
    commands = ("stats", "litestats", "summary", "devdetails", "config", "coin")
    recording = {command: rpc[command] for command in commands}
    for joins in (True, False):
        replay = Replay({"rpc": {**recording, "estats": rpc["stats"]}, "joins": joins})
        finding = await replay.probe()
        assert (finding.driver_name, finding.identity.model) == ("avalon", "Avalon Q")
        assert finding.identity.firmware_version == "25052801_14a19a2"
        assert finding.identity.id == f"asic-at-{ADDRESS}"  # the DNA was taken out
        for _ in range(2):
            reading = (await finding.driver.read()).reading
            assert isinstance(reading, MinerReading)
            assert reading.state is State.SLEEPING
            # PS[.. 2245 146]: 22.45 V set, 146 W; and MGHS is a mean, not what it makes now.
            assert (reading.power_w, reading.power_output_w) == (146.0, 0.0)
            assert (reading.hashrate_ths, reading.boards[0].hashrate_ths) == (0.0, 0.0)
            assert reading.hashrate_avg_ths == pytest.approx(44.5, abs=0.2)
            assert (reading.power_limit_w, reading.mode) == (800.0, "eco")
            assert (reading.inlet_temp_c, reading.chip_temp_max_c) == (26.0, None)
            assert (reading.boards[0].inlet_temp_c, reading.boards[0].outlet_temp_c) == (27, 27)
            assert [fan.rpm for fan in reading.fans] == [0] * 4
            assert (reading.shares_accepted, reading.shares_rejected) == (890, 2)
            assert reading.faults == ()


@captured
def test_a_real_1246_string() -> None:
    found = capture(A1246)
    rpc = capture(Q)["rpc"]  # holds the wire form of the same answer
    for stats in (found["rpc"]["stats"], rpc["avalon_a_stats"]):
        reading = parse(Report({}), modules(stats), "asic-x", NOW).reading
        assert isinstance(reading, MinerReading)
        assert reading.uptime_s == found["expected"]["uptime"]["value"]
        assert reading.hashrate_nominal_ths == found["expected"]["expected_hashrate"]["value"]
        # Expected are 3189 W: what the supply gives out (13.16 V by 242 A). 3504 W are drawn.
        assert reading.power_output_w == found["expected"]["wattage"]["value"]
        assert reading.power_w == 3504.0
        assert [fan.rpm for fan in reading.fans] == [5344, 5392, 5349, 5309]
        assert [board.chips for board in reading.boards] == [120] * 3
        assert [board.chip_temp_c for board in reading.boards] == [77.0, 77.0, 76.0]
        # Expected is the whole machine's mean of 502 MHz; the first board runs at its own.
        assert sum(board.frequency_mhz or 0 for board in reading.boards) / 3 == pytest.approx(
            502.41, abs=5
        )
        assert reading.hashrate_avg_ths == pytest.approx(
            sum(board.hashrate_ths or 0 for board in reading.boards), abs=1e-3
        )
        assert (reading.hw_errors, reading.faults, reading.state) == (2735, (), State.MINING)
    who = identity(found["rpc"]["version"], modules(found["rpc"]["stats"]), "asic-at-x")
    assert (who.serial, who.model) == (found["expected"]["serial_number"], "Avalon 1246")


@captured
def test_a_short_answer_that_a_proxy_took_apart() -> None:
    found = capture(Q_PARSED)
    reading = parse(Report({}), modules(found["rpc"]["litestats"]), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    # Expected are 1598 W: what the supply gives out (24.21 V by 66 A). 1670 W are drawn.
    assert (reading.power_w, reading.power_output_w) == (1670.0, 1598.0)
    assert (
        reading.inlet_temp_c == found["expected"]["miner.parse_fluid_temperature(&data)"]["value"]
    )
    board = reading.boards[0]
    assert (board.inlet_temp_c, board.outlet_temp_c) == (75.0, 77.0)
    assert len(reading.fans) == found["expected"]["miner.parse_fans(&data).len()"]


# --- whatever comes -------------------------------------------------------------------------------

NAMES = ("1246-mining", "1346-faulty", "841-three", "nano3s-starting", "q-sleeping")


def checked(rpc: dict[str, Any]) -> None:
    replies = {command: reply for command, reply in rpc.items() if isinstance(reply, dict)}
    report = Report({k: v for k, v in replies.items() if k in ("summary", "pools")})
    for command in ("estats", "litestats", "stats"):
        found = modules(rpc.get(command))
        sample = parse(report, found, "asic-x", NOW)
        reading = sample.reading
        assert isinstance(reading, MinerReading)
        msgspec.json.encode(sample)
        assert len(reading.boards) <= 64
        assert len(reading.fans) <= 32
        assert len(reading.faults) <= 64
        assert len(reading.pools) <= 16
        msgspec.json.encode(identity(replies.get("version", {}), found, "asic-at-x"))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_raises(name: str, data: st.DataObject) -> None:
    rpc = data.draw(mutations(fixture(name)["rpc"]))
    checked(rpc if isinstance(rpc, dict) else {})


@st.composite
def damaged(draw: st.DrawFn, words: str) -> str:
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(words)))
        to = draw(st.integers(at, min(len(words), at + 40)))
        junk = draw(
            st.sampled_from(["", "]", "[", "[[", " nan ", "-", "9" * 400, "\ud800", "1e400", ":,"])
            | st.text(max_size=6)
        )
        words = words[:at] + junk + words[to:]
    return words


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_string_raises(name: str, data: st.DataObject) -> None:
    rpc = fixture(name)["rpc"]
    for reply in (rpc.get("estats"), rpc.get("litestats"), rpc.get("stats")):
        for row in (reply or {}).get("STATS", []):
            for key in [key for key in row if key.startswith(("MM ID", "HBinfo"))]:
                row[key] = data.draw(damaged(row[key]))
    checked(rpc)


@pytest.mark.parametrize(
    "words",
    ["a[" * 60_000, "k" * 200_000, "]" * 100_000, "[1] " * 60_000, "A[" + "1 " * 60_000 + "]"],
)
def test_a_hostile_string_costs_little(words: str) -> None:
    checked({"estats": {"STATS": [{"MM ID0": words, "HBinfo": words}]}})
