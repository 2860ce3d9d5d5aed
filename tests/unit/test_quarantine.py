"""When a GPU may not be used, and when it may be again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from agent.fleet.quarantine import (
    REASONS_MOST,
    WORDS_MOST,
    Quarantine,
    Reason,
    begun,
    codes,
    is_over,
    mended,
    shown,
    worse,
)
from drivers.model import Fault, Kind, State
from drivers.model_gpu import GpuReading

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def reason(code: str = "xid-48", seconds: float = 0.0, who: str | None = None) -> Reason:
    return Reason(code, f"{code} happened", at(seconds), who)


def reading(seconds: float, state: State = State.OK, **values: Any) -> GpuReading:
    return GpuReading(device_id="gpu-a", kind=Kind.GPU, taken_at=at(seconds), state=state, **values)


@pytest.fixture
def standing() -> Quarantine:
    return begun(None, reason(), "reset", "boot-1")


def test_it_begins_with_its_reason(standing: Quarantine) -> None:
    assert (standing.since, standing.action, standing.boot_id) == (BEGAN, "reset", "boot-1")
    assert standing.reasons == (reason(),)
    assert standing.words == "xid-48 happened; to be done: reset"


def test_further_reasons_stand_beside_it_and_the_worst_counts(standing: Quarantine) -> None:
    more = begun(standing, reason("xid-79", 5), "reboot", "boot-1")
    more = begun(more, reason("xid-74", 6), "check_links", "boot-1")
    assert list(codes(more)) == ["xid-48", "xid-79", "xid-74"]
    assert (more.action, more.since, more.last_at) == ("reboot", BEGAN, at(6))


def test_of_each_code_the_first_one_stands(standing: Quarantine) -> None:
    again = begun(standing, reason(seconds=9), "reset", "boot-1")
    assert again.reasons == standing.reasons
    assert again.last_at == at(9)


def test_reasons_and_words_are_bounded(standing: Quarantine) -> None:
    for number in range(20):
        standing = begun(standing, Reason(f"c{number}", "x" * 999, at(number)), "reset", "")
    assert len(standing.reasons) == REASONS_MOST
    assert max(len(each.message) for each in standing.reasons) == WORDS_MOST


def test_a_reading_that_looks_well_ends_nothing_before_it_was_mended(standing: Quarantine) -> None:
    assert not is_over(standing, reading(60))


def test_it_ends_with_a_good_reading_after_it_was_mended(standing: Quarantine) -> None:
    done = mended(standing, at(10), "reset")
    assert not is_over(done, reading(9))
    assert not is_over(done, reading(11, State.FAULT))
    assert not is_over(done, reading(11, State.UNREACHABLE))
    assert is_over(done, reading(10))


def test_what_came_before_the_last_reason_mends_nothing(standing: Quarantine) -> None:
    again = begun(standing, reason(seconds=20), "reset", "boot-1")
    assert mended(again, at(10), "reset") is again


def test_a_fault_after_mending_has_to_be_mended_as_well(standing: Quarantine) -> None:
    again = begun(mended(standing, at(10), "reset"), reason("xid-79", 11), "reboot", "boot-1")
    assert not is_over(again, reading(12))
    assert is_over(mended(again, at(12), "reboot"), reading(12))


def test_the_first_mending_is_the_one_that_is_told(standing: Quarantine) -> None:
    done = mended(mended(standing, at(10), "reset"), at(20), "driver")
    assert (done.mended_at, done.mended_by) == (at(10), "reset")


def test_what_a_person_ordered_ends_with_no_reading() -> None:
    standing = begun(None, reason("ordered", who="local:ana"), "none", "")
    assert standing.ordered
    assert not is_over(mended(standing, at(10), "reset"), reading(11))


def test_a_reading_shows_it(standing: Quarantine) -> None:
    found = shown(standing, reading(5, power_w=70.0))
    assert (found.state, found.faults[0].code, found.faults[0].at) == (
        State.QUARANTINED,
        "quarantine",
        BEGAN,
    )
    assert found.faults[0].message == standing.words


def test_a_state_that_is_worse_stays(standing: Quarantine) -> None:
    found = shown(standing, reading(5, State.FAULT, faults=(Fault("lost", "gone"),)))
    assert found.state is State.FAULT
    assert [fault.code for fault in found.faults] == ["lost", "quarantine"]


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("none", "reset", "reset"),
        ("reboot", "reset", "reboot"),
        ("check_links", "reset", "reset"),
        ("node_reboot", "restart_job", "node_reboot"),
        ("reset", "contact_vendor", "contact_vendor"),
    ],
)
def test_which_takes_more(one: str, other: str, wanted: str) -> None:
    assert worse(one, other) == worse(other, one) == wanted


def test_it_is_kept_as_json(standing: Quarantine) -> None:
    done = mended(standing, at(10), "reset")
    assert msgspec.json.decode(msgspec.json.encode(done), type=Quarantine) == done
