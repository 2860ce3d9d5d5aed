"""What the generic dialect reads, whichever firmware speaks it."""

from typing import Any

import pytest

from drivers.asic.cgminer import parse, parse_identity
from drivers.errors import AccessDenied
from drivers.model import Fan, MinerReading, State
from drivers.wire.cgminer import Report

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
        ({"Miner": "BFGMiner 5.5.0", "CGMiner": "5.5.0"}, None, "cgminer", "5.5.0"),
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
