"""What the generic dialect reads, whichever firmware speaks it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from drivers.asic.cgminer import Cgminer, parse, parse_identity
from drivers.errors import AccessDenied
from drivers.model import Fan, MinerReading, State
from drivers.wire.cgminer import Report
from tests.replay import Replay
from tests.unit.mutations import mutations

NOW = 1_790_000_000.0
SUMMARY = {
    "Elapsed": 9000,
    "MHS 5s": 1_600_000.0,
    "MHS av": 1_590_000.0,
    "Accepted": 100,
    "Rejected": 2,
    "Stale": 1,
    "Hardware Errors": 5,
}
DEVICE = {
    "ASC": 0,
    "Name": "CTA",
    "ID": 0,
    "Temperature": 71.0,
    "MHS 5s": 800_000.0,
    "Hardware Errors": 3,
    "Frequency": 650,
}


def read(**sections: list[dict[str, Any]]) -> MinerReading:
    replies = {name: {name.upper(): rows} for name, rows in sections.items()}
    reading = parse(Report(replies), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


def test_a_machine_of_two_boards() -> None:
    second = DEVICE | {"ASC": 1, "ID": 1, "Temperature": 73.5}
    reading = read(summary=[SUMMARY], devs=[DEVICE, second])
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (1.6, 1.59)
    assert (reading.uptime_s, reading.hw_errors, reading.state) == (9000, 5, State.MINING)
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (100, 2, 1)
    assert [(b.index, b.hashrate_ths, b.chip_temp_c) for b in reading.boards] == [
        (0, 0.8, 71.0),
        (1, 0.8, 73.5),
    ]
    assert (reading.boards[0].frequency_mhz, reading.boards[0].hw_errors) == (650, 3)
    assert reading.chip_temp_max_c == 73.5
    assert (reading.power_w, reading.hashrate_nominal_ths, reading.mode) == (None, None, None)


def test_nothing_read_is_nothing_said() -> None:
    reading = read()
    assert reading.state is State.UNKNOWN
    assert (reading.hashrate_ths, reading.uptime_s, reading.shares_accepted) == (None, None, None)
    assert (reading.boards, reading.fans, reading.pools, reading.chip_temp_max_c) == (
        (),
        (),
        (),
        None,
    )


@pytest.mark.parametrize("unit", ["ASC", "PGA", "GPU"])
def test_each_kind_of_device_is_numbered(unit: str) -> None:
    reading = read(devs=[{unit: 4, "MHS 5s": 1.0}, {"MHS 5s": 2.0}])
    assert [board.index for board in reading.boards] == [4, 1]


def test_misspelt_and_absent_temperatures() -> None:
    reading = read(devs=[{"ASC": 0, "Tenperature": 66.0}, {"ASC": 1, "Temperature": 0.0}])
    assert [board.chip_temp_c for board in reading.boards] == [66.0, None]


def test_fans_from_stats_or_from_the_cards() -> None:
    assert read(stats=[{"a": 1}, {"fan1": 4000, "fan3": "3900"}]).fans == (
        Fan(1, 4000),
        Fan(3, 3900),
    )
    cards = [{"GPU": 0, "Fan Speed": 2000}, {"GPU": 1, "Fan Speed": 0}, {"GPU": 2}]
    assert read(devs=cards).fans == (Fan(0, 2000), Fan(1, 0))


def test_the_first_object_of_stats_has_the_word() -> None:
    reading = read(summary=[{"MHS 5s": 1.0}], stats=[{"Elapsed": 7}, {"Elapsed": 9}])
    assert reading.uptime_s == 7


@pytest.mark.parametrize(
    ("summary", "pool", "state"),
    [
        ({"MHS 5s": 0.0, "Elapsed": 10}, "Alive", State.STARTING),
        ({"MHS 5s": 0.0, "Elapsed": 4000}, "Alive", State.FAULT),
        ({"MHS 5s": 0.0, "Elapsed": 4000}, "Dead", State.IDLE),
        ({"Elapsed": 4000}, "Alive", State.UNKNOWN),
    ],
)
def test_states(summary: dict[str, Any], pool: str, state: State) -> None:
    assert (
        read(summary=[summary], pools=[{"URL": "stratum+tcp://a", "Status": pool}]).state is state
    )


def test_what_was_refused_is_named() -> None:
    report = Report(
        {"summary": {"SUMMARY": [SUMMARY]}}, {"devs": AccessDenied(45, "no")}, ("pools",)
    )
    reading = parse(report, "asic-x", NOW).reading
    assert reading.missing == ("devs: AccessDenied code 45: no", "pools: cut off")


def test_the_fingerprint_has_names_users_and_counters() -> None:
    replies = {
        "summary": {"SUMMARY": [SUMMARY]},
        "devs": {"DEVS": [DEVICE]},
        "pools": {"POOLS": [{"URL": "stratum+tcp://a", "User": "farm.w1"}]},
    }
    fingerprint = parse(Report(replies), "asic-x", NOW).fingerprint
    assert fingerprint.traits == ("CTA0", "farm.w1")
    assert (fingerprint.uptime_s, fingerprint.counters) == (9000, (100.0,))


@pytest.mark.parametrize(
    ("row", "model", "firmware", "version"),
    [
        ({"CGMiner": "4.11.1", "API": "3.7"}, None, "cgminer", "4.11.1"),
        ({"BMMiner": "1.0.0", "Miner": "49.0", "Type": "Ant"}, "Ant", "bmminer", "1.0.0"),
        ({"Miner": "BFGMiner 5.5.0", "CGMiner": "5.5.0"}, None, "bfgminer", "5.5.0"),
        ({"Miner": "x 1"}, None, None, "x 1"),
        ({"PROD": "AvalonNano", "MODEL": "Nano3s"}, "AvalonNano", None, None),
        ({}, None, None, None),
    ],
)  # fmt: skip
def test_identity(
    row: dict[str, Any], model: str | None, firmware: str | None, version: str | None
) -> None:
    identity = parse_identity({"VERSION": [row]}, "asic-at-10.0.0.1")
    assert (identity.model, identity.firmware, identity.firmware_version) == (
        model,
        firmware,
        version,
    )
    assert identity.provisional


def test_a_mac_without_colons_gives_a_lasting_id() -> None:
    identity = parse_identity({"VERSION": [{"MAC": "02b3b98c1ec8"}]}, "asic-at-10.0.0.1")
    assert identity.id == "asic-02:b3:b9:8c:1e:c8"
    assert not identity.provisional


# --- old breeds ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "now", "average"),
    [
        ({"MHS 5s": 1.0, "MHS av": 2.0}, 1e-6, 2e-6),
        ({"GHS 5s": "5130.11", "GHS av": 4814.29}, 5.13011, 4.81429),
        ({"THS 5s": "13.5", "THS av": 13.4}, 13.5, 13.4),
        ({"KHS 5s": 870.0, "KHS av": 868.0}, 8.7e-7, 8.68e-7),
        ({"MHS 20s": 3.0, "MHS rolling": 3.0, "MHS av": 4.0}, 3e-6, 4e-6),
        ({"MHS 30s": 87240933.02, "MHS 1m": 87801784.43}, 87.24093302, None),
        ({"MHS rolling": 7.0}, 7e-6, None),
        ({"MHS 1m": 5.0, "MHS 5m": 6.0}, 5e-6, None),
        ({"MHS 15m": 6.0}, 6e-6, None),
        ({"GHS 5s": "", "GHS av": 9.0}, None, 0.009),
        ({"Total MH": 9_000_000.0, "Elapsed": 9}, None, 1.0),
        ({"MHS 5s": float("nan"), "MHS 1m": 2.0}, 2e-6, None),
        ({"MHS 5s": -1.0}, None, None),
    ],
)
def test_rates_of_every_unit_and_window(
    row: dict[str, Any], now: float | None, average: float | None
) -> None:
    reading = read(summary=[row])
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (now, average)


def test_the_short_rate_is_of_the_devices_where_the_total_has_none() -> None:
    devices = [{"ASC": 0, "MHS 5s": 23_500.0}, {"ASC": 1, "MHS 5s": 23_400.0}]
    reading = read(summary=[{"MHS av": 47_000.0, "Elapsed": 700}], devs=devices)
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (0.0469, 0.047)
    silent: list[dict[str, Any]] = [*devices, {"ASC": 2}]
    assert read(summary=[{"MHS av": 47_000.0}], devs=silent).hashrate_ths is None


S1 = {
    "STATS": 0,
    "ID": "BMM0",
    "Elapsed": 6676,
    "frequency": 375,
    "fan_num": 1,
    "fan1": 2400,
    "fan2": 0,
    "temp1": 50,
    "temp2": 49,
    "temp3": 0,
    "temp_max": 61,
    "chain_acn1": 32,
    "chain_acn2": 31,
    "chain_acn3": 0,
}


def test_an_antminer_s1_shows_its_chains_in_stats() -> None:
    device = {"ASC": 0, "Name": "BMM", "ID": 0, "MHS 5s": 180_000.0, "Temperature": 50.0}
    reading = read(devs=[device], stats=[S1])
    assert [(b.index, b.chips, b.board_temp_c, b.frequency_mhz) for b in reading.boards] == [
        (1, 32, 50.0, 375.0),
        (2, 31, 49.0, 375.0),
    ]
    assert (reading.hashrate_ths, reading.uptime_s) == (None, 6676)
    assert reading.fans == (Fan(1, 2400),)


@pytest.mark.parametrize(
    ("name", "shown", "ths"),
    [("BTM0", 5130.11, 5.13011), ("L30", "504.56", 5.0456e-4), ("X30", 237.58, 2.3758e-7)],
)
def test_what_bitmain_calls_ghs_is_not_always_gh(name: str, shown: Any, ths: float) -> None:
    body = {"STATS": 0, "ID": name, "GHS 5s": shown, "chain_acn1": 72, "chain_rate1": shown}
    reading = read(stats=[{"Type": "x"}, body])
    assert reading.hashrate_ths == pytest.approx(ths)
    assert reading.boards[0].hashrate_ths == pytest.approx(ths)


def test_devices_and_their_stats_are_one() -> None:
    devices = [
        {"ASC": 0, "Name": "C12", "ID": 0, "MHS 5s": 2.2e7},
        {"ASC": 1, "Name": "C12", "ID": 1, "MHS 5s": 2.1e7},
    ]
    stats = [
        {
            "ID": f"C12{at}",
            "Elapsed": 99,
            "Chip Count": 102,
            "Device Freq": 600,
            "Temp Avg": 85.5 + at,
            "Fan0 Speed": 3090,
            "Fan1 Speed": 3330,
            "Fan Duty": 32.5,
        }
        for at in range(2)
    ]
    reading = read(devs=devices, stats=[*stats, {"ID": "POOL0", "Elapsed": 99}])
    assert [(b.chips, b.frequency_mhz, b.chip_temp_c) for b in reading.boards] == [
        (102, 600.0, 85.5),
        (102, 600.0, 86.5),
    ]
    assert reading.fans == (Fan(0, 3090, 32.5), Fan(1, 3330, 32.5))
    assert (reading.chip_temp_max_c, reading.uptime_s) == (86.5, 99)


def test_stats_alone_still_show_the_boards() -> None:
    stats = [
        {"ID": f"HLT{at}", "Chain ID": at, "Num chips": 12, "Num active chips": 12 - at}
        | {"Temp max": 71.0, "Temp min": 57.0, "00 Temp": 400, "MHS av": 995.0, "Fan duty": 35}
        for at in range(2)
    ]
    reading = read(stats=stats)
    assert [(b.index, b.chips, b.chips_expected, b.chip_temp_c) for b in reading.boards] == [
        (0, 12, 12, 71.0),
        (1, 11, 12, 71.0),
    ]
    assert reading.fans == (Fan(0, None, 35.0),)


def test_sections_that_are_numbered_one_by_one() -> None:
    stats = {
        f"STATS{at}": [{"STATS": at, "Num active chips": 12, "Temp": 47 + at}] for at in (0, 1)
    }
    pools = {"POOL0": [{"URL": "a", "Status": "Alive"}], "POOL1": [{"URL": "b", "Status": "Dead"}]}
    report = Report({"stats": stats, "pools": pools})
    reading = parse(report, "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    assert [board.chip_temp_c for board in reading.boards] == [47, 48]
    assert [pool.url for pool in reading.pools] == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "active"),
    [
        ([{"Stratum Active": False}, {"Stratum Active": True}], [False, True]),
        ([{"Last Share Time": 7, "Status": "Alive"}, {"Last Share Time": 9, "Status": "Alive"}],
         [False, True]),
        ([{"Last Share Time": 9, "Status": "Dead"}, {"Last Share Time": 7, "Status": "Alive"}],
         [False, True]),
        ([{"Priority": 1, "Status": "Alive"}, {"Priority": 0, "Status": "Alive"}], [False, True]),
        ([{"Priority": 0, "Status": "Dead"}, {"Priority": 1, "Status": "Alive"}], [False, True]),
        ([{"Status": "Dead"}, {"Status": "Dead"}], [None, None]),
    ],
)  # fmt: skip
def test_the_pool_that_is_mined_for(rows: list[dict[str, Any]], active: list[bool | None]) -> None:
    reading = read(pools=[{"URL": f"stratum+tcp://{at}"} | row for at, row in enumerate(rows)])
    assert [pool.active for pool in reading.pools] == active


def test_dead_devices_are_faults() -> None:
    devices = [
        {"PGA": 0, "Name": "BFL", "ID": 0, "Status": "Dead", "MHS 20s": 0.0},
        {"PGA": 1, "Name": "BFL", "ID": 1, "Status": "Sick"},
        {"PGA": 2, "Name": "BFL", "ID": 2, "Status": "NoStart"},
        {"PGA": 3, "Name": "BFL", "ID": 3, "Status": "Alive", "MHS 20s": 60_000.0},
        {"PGA": 4, "Name": "BFL", "ID": 4, "Status": "Alive", "No Device": True},
    ]
    reading = read(summary=[{"MHS 20s": 60_000.0}], devs=devices)
    assert [fault.message for fault in reading.faults] == [
        "BFL 0 is dead",
        "BFL 1 is sick",
        "BFL 2 did not start",
        "BFL 4 is gone",
    ]
    assert [fault.code for fault in reading.faults][:3] == ["Dead", "Sick", "NoStart"]
    assert reading.boards[0].hashrate_ths == 0
    assert reading.state is State.MINING


def test_a_machine_whose_devices_are_all_disabled_sleeps() -> None:
    devices = [{"ASC": at, "Enabled": "N", "Status": "Disabled", "MHS 5s": 0.0} for at in (0, 1)]
    assert read(summary=[{"MHS 5s": 0.0}], devs=devices).state is State.SLEEPING


def test_fresh_work_is_mining_though_no_rate_is_given() -> None:
    devs = {"STATUS": [{"When": 2000}], "DEVS": [{"ASC": 0, "Last Valid Work": 1990}]}
    assert parse(Report({"devs": devs}), "asic-x", NOW).reading.state is State.MINING
    stale = {"STATUS": [{"When": 9000}], "DEVS": [{"ASC": 0, "Last Valid Work": 1990}]}
    assert parse(Report({"devs": stale}), "asic-x", NOW).reading.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("replies", "make", "model"),
    [
        ({"devs": {"DEVS": [{"Name": "CTA", "ID": 0}]}}, "CoinTerra", None),
        ({"stats": {"STATS": [{"STATS": 0, "ID": "BMM0"}]}}, "Bitmain", None),
        ({"devs": {"DEVS": [{"Name": "BAJ"}]}}, "Butterfly Labs", "Jalapeno"),
        ({"devs": {"DEVS": [{"Name": "GSF"}]}}, "GekkoScience", "Compac F"),
        ({"devs": {"DEVS": [{"Name": "u6"}]}}, "StrongU", "STU-U6"),
        ({"devs": {"DEVS": [{"Name": "BM-N1Max"}]}}, "iBeLink", "BM-N1Max"),
        ({"devdetails": {"DEVDETAILS": [{"Name": "KNC", "Driver": "titan"}]}}, "KnCMiner", "Titan"),
        ({"devdetails": {"DEVDETAILS": [{"Name": "GSD", "Driver": "gridseed"}]}}, "Gridseed", None),
        ({"devs": {"DEVS": [{"Name": "XYZ"}]}}, None, None),
        ({"stats": {"STATS": [{"Type": "Antminer S7"}, {"ID": "BTM0"}]}}, "Bitmain", "Antminer S7"),
    ],
)
def test_breeds(replies: dict[str, Any], make: str | None, model: str | None) -> None:
    identity = parse_identity({}, "asic-at-10.0.0.1", Report(replies))
    assert (identity.make, identity.model) == (make, model)


def test_a_mac_in_summary_gives_a_lasting_id() -> None:
    report = Report({"summary": {"SUMMARY": [{"macaddress": "02aabbccdd01"}]}})
    assert parse_identity({}, "asic-at-10.0.0.1", report).id == "asic-02:aa:bb:cc:dd:01"


async def test_an_unknown_machine_is_asked_for_its_devices() -> None:
    replay = Replay(
        {
            "rpc": {
                "version": {"STATUS": [{"STATUS": "S"}], "VERSION": [{"CGMiner": "3.12.0"}]},
                "devs": {"STATUS": [{"STATUS": "S"}], "DEVS": [{"ASC": 0, "Name": "CTA"}]},
                "stats": {"STATUS": [{"STATUS": "S"}], "STATS": [S1]},
            }
        }
    )
    identity = await Cgminer(replay.endpoint, replay.context()).identify()
    assert (identity.make, identity.firmware_version) == ("CoinTerra", "3.12.0")
    assert identity.provisional


async def test_a_machine_that_answers_pools_alone_gives_its_pools() -> None:
    pools = {"STATUS": [{"STATUS": "S"}], "POOLS": [{"URL": "stratum+tcp://a", "Accepted": 5}]}
    replay = Replay({"rpc": {"pools": pools}})
    reading = (await Cgminer(replay.endpoint, replay.context()).read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.shares_accepted, len(reading.pools), reading.state) == (5, 1, State.UNKNOWN)
    assert len(reading.missing) == 3


WHOLE = {
    "summary": {"SUMMARY": [SUMMARY]},
    "devs": {"STATUS": [{"When": 1}], "DEVS": [DEVICE | {"Status": "Dead", "Enabled": "Y"}]},
    "stats": {"STATS": [{"Type": "x"}, S1 | {"GHS 5s": "1"}, {"ID": "CTA0", "Temp1": 5}]},
    "pools": {"POOLS": [{"URL": "a", "User": "b", "Status": "Alive", "Priority": 0}]},
    "devdetails": {"DEVDETAILS": [{"Name": "CTA", "Driver": "x"}]},
}


@given(mutations(WHOLE))
@settings(max_examples=300, deadline=None)
def test_no_answer_makes_parsing_fail(replies: Any) -> None:
    report = Report({k: v for k, v in replies.items() if isinstance(v, dict)})
    msgspec.json.encode(parse(report, "asic-x", NOW).reading)
    msgspec.json.encode(parse_identity({}, "asic-at-10.0.0.1", report))
