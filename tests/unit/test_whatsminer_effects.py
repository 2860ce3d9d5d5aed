"""What proves orders to a Whatsminer, held against readings; and which machines take orders."""

from datetime import UTC, datetime
from typing import Any

import pytest

from drivers.actions import Expectation, is_denied, is_met
from drivers.asic.whatsminer.orders import hashes_again, stopped
from drivers.asic.whatsminer.shapes import speaks_api_2
from drivers.asic.whatsminer.share import Share
from drivers.asic.whatsminer.v3_answers import parse
from drivers.asic.whatsminer.v3_shapes import Info
from drivers.errors import OutOfRange
from drivers.model import Board, Kind, MinerReading, State
from drivers.wire.cgminer import Report

FULL: dict[str, Any] = {
    "state": State.MINING,
    "hashrate_ths": 100.0,
    "hashrate_nominal_ths": 102.0,
    "power_w": 3400.0,
    "power_limit_w": 3600.0,
    "boards": (Board(index=0),),
}


def reading(**fields: Any) -> MinerReading:
    now = datetime(2026, 9, 20, tzinfo=UTC)
    return MinerReading(device_id="asic-x", kind=Kind.ASIC, taken_at=now, **{**FULL, **fields})


def shows(expectation: Expectation | None, **fields: Any) -> bool | None:
    """True and False for met and denied, None for neither."""
    assert expectation is not None
    before, after = reading(), reading(**fields)
    if is_met(expectation, before, after):
        return True
    return False if is_denied(expectation, before, after) else None


# --- stopping and starting -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "proof"),
    [
        ({"state": State.SLEEPING, "hashrate_ths": 0.0}, True),
        ({"state": State.SLEEPING, "hashrate_ths": None, "boards": ()}, True),
        ({"state": State.SLEEPING, "hashrate_ths": 99.0}, False),
        ({"state": State.SLEEPING, "hashrate_ths": None}, None),
        ({"state": State.MINING}, False),
        ({"state": State.STARTING, "hashrate_ths": 50.0}, False),
        ({"state": State.STARTING, "hashrate_ths": 0.0}, None),
        ({"state": State.UNKNOWN, "hashrate_ths": None, "boards": ()}, None),
    ],
)
def test_it_has_stopped(fields: dict[str, Any], proof: bool | None) -> None:
    assert shows(stopped(), **fields) is proof


@pytest.mark.parametrize(
    ("fields", "proof"),
    [
        ({"state": State.MINING}, True),
        ({"state": State.IDLE, "hashrate_ths": 0.0}, True),
        ({"state": State.STARTING, "hashrate_ths": 20.0}, True),
        ({"state": State.STARTING, "hashrate_ths": 0.0}, None),
        ({"state": State.SLEEPING, "hashrate_ths": 0.0}, False),
        ({"state": State.SLEEPING, "hashrate_ths": None}, False),
    ],
)
def test_it_hashes_again(fields: dict[str, Any], proof: bool | None) -> None:
    assert shows(hashes_again(), **fields) is proof


# --- shares ----------------------------------------------------------------------------------


def share_of(*seen: dict[str, Any]) -> Share:
    share = Share()
    for fields in seen:
        share.note(reading(**fields))
    return share


def test_a_share_is_one_of_the_power_that_was_seen() -> None:
    expectation = share_of({}).hold(60.0)
    assert shows(expectation, power_w=2100.0) is True
    assert shows(expectation, power_w=2200.0) is False
    assert shows(expectation, power_w=None) is None


@pytest.mark.parametrize(
    "seen", [{"hashrate_ths": 60.0, "power_w": 2000.0}, {"state": State.STARTING}]
)
def test_of_a_machine_that_something_holds_it_is_one_of_the_limit(seen: dict[str, Any]) -> None:
    expectation = share_of(seen).hold(60.0)
    assert shows(expectation, power_w=2260.0) is True
    assert shows(expectation, power_w=2280.0) is False


def test_without_a_limit_it_is_one_of_the_reading_before() -> None:
    expectation = Share().hold(60.0)
    assert shows(expectation, power_w=2100.0) is True
    assert shows(expectation, power_w=2200.0) is False


def test_what_a_machine_draws_is_learnt_before_it_is_held() -> None:
    share = share_of({})
    share.hold(60.0)
    share.note(reading(power_w=2000.0, hashrate_ths=60.0))
    assert shows(share.hold(50.0), power_w=1780.0) is True
    assert shows(share.hold(50.0), power_w=1800.0) is False
    over = share.hold(100.0)
    assert shows(over, power_w=3300.0) is True
    assert shows(over, power_w=2000.0) is False


def test_a_lower_limit_holds_after_a_share_is_over() -> None:
    share = share_of({})
    share.hold(60.0)
    share.note(reading(power_limit_w=2700.0))
    assert shows(share.hold(100.0), power_w=2600.0) is True


def test_nothing_proves_the_end_of_a_share_that_another_set() -> None:
    assert share_of({"hashrate_ths": 60.0}).hold(100.0) is None


@pytest.mark.parametrize("percent", [0.0, 0.9, 100.5, 200.0])
def test_shares_go_from_1_to_100(percent: float) -> None:
    with pytest.raises(OutOfRange):
        Share().hold(percent)


@pytest.mark.parametrize(
    ("told", "percent"), [(0, 100.0), ("0", 100.0), (60, 60.0), ("60", 60.0), (None, None)]
)
def test_the_share_that_api_3_shows(told: Any, percent: float | None) -> None:
    info = Info(setting={} if told is None else {"power-percent": told})
    found = parse(Report({}), "asic-x", 1_790_000_000.0, info).reading
    assert isinstance(found, MinerReading)
    assert found.throttle_percent == percent


# --- who takes orders ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "takes"),
    [
        ("2.0.5", True),
        ("2.2.0", True),
        ("whatsminer v2.0.3", True),
        ("whatsminer v1.4.0", False),
        ("whatsminer v1.1", False),
        ("1.3.8", False),
        ("", False),
        (None, False),
        (20, False),
    ],
)
def test_orders_are_for_api_2(word: Any, takes: bool) -> None:
    answer = {"STATUS": "S", "Code": 131, "Msg": {"api_ver": word}}
    assert speaks_api_2({"get_version": answer}) is takes
    assert not speaks_api_2({})
