"""The oracle of the delivery tests finds one lost reading, and does not cry wolf."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.answered import Poll, polls_of
from tests.ledger import Ledger, compare, holes_in, match

NOON = 1_790_000_000.0
JOINED = "summary+devs+pools"


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def reading(seq: int, at: float, *, boot_id: str = "b1", address: str = "10.0.0.1", **more: Any):
    return {
        "node": "n1",
        "boot_id": boot_id,
        "stream": "telemetry",
        "seq": seq,
        "device_id": f"asic-at-{address}",
        "kind": "asic",
        "taken_at": moment(at),
        "state": "mining",
        **more,
    }


def gap(seq: int, first: int, last: int, since: float, until: float, **more: Any):
    details = {
        "boot_id": "b1",
        "stream": "telemetry",
        "first_seq": first,
        "last_seq": last,
        "lost": last - first + 1,
        "from": moment(since),
        "to": moment(until),
        "reason": "over_bound",
        **more,
    }
    head = {"node": "n1", "boot_id": "b1", "stream": "event", "seq": seq}
    return {**head, "name": "telemetry.gap", "at": moment(until), "details": details}


def filled(contents: list[dict[str, Any]], topic: str = "device/x/telemetry") -> Ledger:
    ledger = Ledger()
    for content in contents:
        ledger.take(topic, content)
    return ledger


def hundred() -> tuple[list[Poll], list[dict[str, Any]]]:
    polls = [Poll("10.0.0.1", NOON + at, owed=True) for at in range(100)]
    return polls, [reading(at + 1, NOON + at + 0.01) for at in range(100)]


def test_all_received_is_faultless():
    polls, readings = hundred()
    verdict = compare(polls, filled(readings), [])
    assert verdict.faults == []
    assert (verdict.owed, verdict.received, verdict.named) == (100, 100, 0)


@given(st.integers(0, 99))
def test_one_lost_reading_is_found_and_named(lost):
    polls, readings = hundred()
    del readings[lost]
    faults = compare(polls, filled(readings), []).faults
    assert f"lost without a word: 10.0.0.1 at {NOON + lost:.3f}" in faults[0]
    assert len(faults) == (2 if lost < 99 else 1)  # also by its number, where a later one came


def test_a_lost_reading_in_a_gap_record_is_excused_and_a_second_is_not():
    polls, readings = hundred()
    excuse = gap(1, 41, 41, NOON + 40, NOON + 40)
    verdict = compare(polls, filled([*readings[:40], *readings[41:], excuse]), [])
    assert (verdict.faults, verdict.named) == ([], 1)
    verdict = compare(polls, filled([*readings[:40], *readings[42:], excuse]), [])
    assert len(verdict.faults) == 2


def test_one_gap_record_told_twice_excuses_once():
    polls, readings = hundred()
    excuses = [gap(seq, 41, 41, NOON + 40, NOON + 41) for seq in (1, 2)]
    kept = [*readings[:40], *readings[42:], *excuses]
    assert any("lost without" in fault for fault in compare(polls, filled(kept), []).faults)


def test_a_thinned_range_excuses_as_many_as_it_says():
    polls, readings = hundred()
    excuse = gap(1, 11, 50, NOON + 10, NOON + 49, lost=39)
    thinned = [*readings[:10], readings[30], *readings[50:], excuse]
    verdict = compare(polls, filled(thinned), [])
    assert (verdict.faults, verdict.named) == ([], 39)
    assert compare(polls, filled([*thinned[:10], *thinned[11:]]), []).faults


def test_a_repeat_is_allowed_and_another_content_is_not():
    ledger = filled([reading(1, NOON)])
    assert not ledger.take("device/x/telemetry/hist", reading(1, NOON))
    assert (ledger.repeats, ledger.differing) == (1, [])
    ledger.take("device/x/telemetry/hist", reading(1, NOON, hashrate_ths=1.0))
    assert len(ledger.differing) == 1


def test_a_repeat_under_another_device_is_a_fault():
    ledger = filled([reading(1, NOON)])
    ledger.take("device/y/telemetry", reading(1, NOON))
    assert len(ledger.differing) == 1


def test_what_did_not_answer_and_the_host_are_no_answers():
    contents = [reading(1, NOON, state="unreachable"), reading(2, NOON, kind="host")]
    assert compare([], filled(contents), []).faults == []


def test_a_reading_that_no_answer_made_is_a_fault():
    polls, readings = hundred()
    ledger = filled([*readings, reading(101, NOON + 300)])
    assert "that no answer made" in compare(polls, ledger, []).faults[0]


def test_a_reading_just_dated_before_its_answer_is_that_answers():
    polls = [Poll("a", 10.0, owed=True), Poll("a", 11.0, owed=True)]
    assert match(polls, {"a": [10.2, 10.99]}) == ([], [])
    assert match(polls, {"a": [10.99]}) == ([polls[0]], [])
    assert match(polls, {"a": [10.98, 10.99]}) == ([], [])


def test_holes_near_a_kill_are_at_risk():
    contents = [reading(1, NOON), reading(3, NOON + 5)]
    assert len(holes_in(filled(contents), [NOON + 9])) == 1
    assert holes_in(filled(contents), [NOON + 5.5]) == []


def write_log(path: Path, said: list[tuple[float, str]], address: str = "10.0.0.1") -> Path:
    lines = (
        json.dumps({"t": at, "address": address, "command": command, "complete": True})
        for at, command in said
    )
    path.write_text("\n".join(lines))
    return path


def test_the_last_second_before_a_kill_is_not_owed(tmp_path):
    said = [(0.0, "version"), *((float(at), JOINED) for at in range(1, 10))]
    polls = polls_of(write_log(tmp_path / "log", said), [8.5, 12.0])
    # The second run never asked who it is, so that its reading was held.
    assert [poll.owed for poll in polls] == [True] * 7 + [False, False]


def test_a_poll_is_complete_with_the_last_answer_behind_it(tmp_path):
    said = [(1.0, JOINED), (1.1, "status"), (3.0, "version"), (3.5, "get_version"), (4.5, JOINED)]
    for kill, owed in ((4.4, [False]), (5.0, [True, False]), (6.0, [True, True])):
        seen = [answer for answer in said if answer[0] < kill]
        polls = polls_of(write_log(tmp_path / "log", seen), [kill])
        assert [poll.owed for poll in polls] == owed


def test_what_a_stopped_agent_was_answered_is_not_owed(tmp_path):
    said = [(1.0, "version"), (2.0, JOINED), (9.0, JOINED)]
    polls = polls_of(write_log(tmp_path / "log", said), [5.0])
    assert [poll.owed for poll in polls] == [True, False]


def test_what_a_killed_agent_was_still_answered_is_not_owed_by_the_next(tmp_path):
    said = [(1.0, "version"), (5.01, JOINED), (6.0, "version"), (6.5, JOINED)]
    polls = polls_of(write_log(tmp_path / "log", said), [5.0, 9.0])
    assert [(poll.at, poll.owed) for poll in polls] == [(5.01, False), (6.5, True)]
