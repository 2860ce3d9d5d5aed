"""How firmwares write numbers, words and addresses."""

import math

import pytest

from drivers.asic import fields

NOTHING = (None, "", " ", "x", "nan", "inf", "-inf", math.nan, math.inf, True, False, [1], {"a": 1})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0, 0.0),
        (12, 12.0),
        (-1.5, -1.5),
        ("110566.89", 110566.89),
        (" 7 ", 7.0),
        ("58.94W", 58.94),
        ("-3.5 C", -3.5),
        ("1e3", 1000.0),
        ("12,5", 12.0),
        (10**400, None),
        ("1e999", None),
        ("9" * 400, None),
    ],
)
def test_numbers(written: object, read: float | None) -> None:
    assert fields.number(written) == read


@pytest.mark.parametrize("written", NOTHING)
def test_what_is_no_number_is_nothing_and_not_zero(written: object) -> None:
    assert fields.number(written) is None
    assert fields.integer(written) is None
    assert fields.positive(written) is None
    assert fields.scaled(written, 1e-3) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0, 0),
        ("0", 0),
        (-4, -4),
        ("4057", 4057),
        (" 12 ", 12),
        ("-4", -4),
        (1305083904.0, 1305083904),
        (9007199254740993, 9007199254740993),
        ("9007199254740993", 9007199254740993),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63) - 1, None),
        ("9" * 19, None),
        ("9" * 5000, None),
        (1e308, None),
    ],
)
def test_integers_keep_every_digit_of_64_bits(written: object, read: int | None) -> None:
    found = fields.integer(written)
    assert found == read
    assert found is None or type(found) is int


def test_a_sensor_that_says_zero_has_measured_nothing() -> None:
    assert fields.positive(0) is None
    assert fields.positive("0") is None
    assert fields.positive(-5) is None
    assert fields.positive("41.5") == 41.5


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("78-50-69-70", 78.0),
        ("52-55-70-71", 71.0),
        ("0-0-0-0", None),
        ("0-0-41-0", 41.0),
        ("", None),
        ("x-y", None),
        ("60-x-61-", 61.0),
        ("47.5-46.0", 47.5),
        (66, 66.0),
        (0, None),
        ([60, 61], None),
        ("inf-5", None),
    ],
)
def test_corners(written: object, read: float | None) -> None:
    assert fields.corners(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Y", True),
        ("yes", True),
        (True, True),
        (1, True),
        ("true ", True),
        ("N", False),
        (False, False),
        (0, False),
        ("False", False),
        ("perhaps", None),
        (None, None),
        (2, None),
        ([], None),
    ],
)
def test_truth(written: object, read: bool | None) -> None:
    assert fields.truth(written) is read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("02:B3:B9:8C:1E:C8", "02:b3:b9:8c:1e:c8"),
        ("02-b3-b9-8c-1e-c8", "02:b3:b9:8c:1e:c8"),
        ("02B3B98C1EC8", "02:b3:b9:8c:1e:c8"),
        ("02b3.b98c.1ec8\n", "02:b3:b9:8c:1e:c8"),
        ("02:55:97:22:3M:72", None),
        ("00:00:00:00:00:00", None),
        ("ff:ff:ff:ff:ff:ff", None),
        ("02:b3:b9:8c:1e", None),
        ("02:b3:b9:8c:1e:c8:00", None),
        ("", None),
        (None, None),
        (0x02B3B98C1EC8, None),
        ({"mac": 1}, None),
    ],
)
def test_mac(written: object, read: str | None) -> None:
    assert fields.mac(written) == read


@pytest.mark.parametrize(
    ("mac", "serial", "read"),
    [
        ("02:b3:b9:8c:1e:c8", "SN1", "asic-02:b3:b9:8c:1e:c8"),
        (None, "THQING0BDJAB024NF", "asic-THQING0BDJAB024NF"),
        (None, "a/b+c #d", "asic-a-b-c-d"),
        (None, "///", "asic-at-10.0.0.1"),
        (None, None, "asic-at-10.0.0.1"),
        (None, "", "asic-at-10.0.0.1"),
    ],
)
def test_the_id_is_fit_for_a_topic(mac: str | None, serial: str | None, read: str) -> None:
    assert fields.miner_id(mac, serial, "asic-at-10.0.0.1") == read


def test_text_is_bounded_and_can_be_encoded() -> None:
    assert fields.text("  worker.1 ") == "worker.1"
    assert fields.text(49) == "49"
    assert fields.text("") is None
    assert fields.text(True) is None
    assert fields.text(["x"]) is None
    assert len(fields.text("x" * 1000) or "") == 256
    (fields.text("half \ud800") or "").encode()


def test_common_words_are_kept_once() -> None:
    first = fields.common("Antminer " + "S19 Pro")
    assert first is fields.common("Antminer S19" + " Pro")
    assert fields.common("") is None


@pytest.mark.parametrize(
    ("row", "now", "average"),
    [
        ({"GHS 5s": 110566.89, "GHS av": 111834.63}, 110.56689, 111.83463),
        ({"GHS 5s": "13500.12", "GHS av": "x"}, 13.50012, None),
        ({"MHS 5s": 1_600_000.0, "MHS av": 1_590_000.0}, 1.6, 1.59),
        ({"MHS 20s": 240_000.0}, 0.24, None),
        ({"KHS 5s": 5220.0}, 5.22e-6, None),
        ({"THS 1m": 95.5}, 95.5, None),
        ({"GHS 5s": 0, "MHS av": 0.0}, 0.0, 0.0),
        ({"GHS 1h": 5}, None, None),
        ({}, None, None),
    ],
)
def test_hash_rates_by_their_unit(
    row: dict[str, object], now: float | None, average: float | None
) -> None:
    assert fields.hashrate_now_ths(row) == now
    assert fields.hashrate_average_ths(row) == average


def test_a_rate_beyond_every_number_is_nothing() -> None:
    assert fields.scaled(1e308, 1e3) is None


def test_highest_of_nothing_is_nothing() -> None:
    assert fields.highest([]) is None
    assert fields.highest([None, 3.0, None, 5.0]) == 5.0
