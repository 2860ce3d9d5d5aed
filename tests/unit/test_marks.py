"""Consumers' marks: obeyed where they can be true, refused where not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.marks import (
    FIRST_TIMEOUT_S,
    LAST_TIMEOUT_S,
    SIZE_LIMIT,
    BadMark,
    Marks,
    parse_mark,
)
from tests.fakes import FakeClock

SENT = {"now": 100, "before": 50}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def marks(clock: FakeClock) -> Marks:
    return Marks(SENT.get, clock.monotonic)


def frame(index: int) -> tuple[str, int]:
    return "segment", index


def test_a_mark_says_how_far_each_boot_is_stored() -> None:
    assert parse_mark(b'{"stored": {"a": 3, "b": 0}, "more": []}') == {"a": 3, "b": 0}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b'{"stored":null}',
        b'{"stored":{"a":-1}}',
        b'{"stored":{"a":1.5}}',
        b'{"stored":{"a":true}}',
        b'{"stored":{"a":"1"}}',
        b'{"stored":{"a":null}}',
        b'{"stored":{"\xff":1}}',
        b'{"stored":[1]}',
        b"[" * 10_000,
        b" " * (SIZE_LIMIT + 1),
    ],
)
def test_what_is_no_mark_is_refused(payload: bytes) -> None:
    with pytest.raises(BadMark):
        parse_mark(payload)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(payload: bytes) -> None:
    try:
        parsed = parse_mark(payload)
    except BadMark:
        return
    assert all(type(seq) is int and seq >= 0 for seq in parsed.values())


def test_a_mark_releases_what_it_passes(marks: Marks) -> None:
    for index in (2, 0, 1):  # history and live data are acknowledged as they come
        marks.wait("now", 10 * (index + 1), frame(index))
    assert marks.hear(b'{"stored":{"now":20}}') == [frame(0), frame(1)]
    assert marks.waiting == 1
    assert marks.passed("now", 20)
    assert not marks.passed("now", 21)


def test_a_mark_beyond_what_was_sent_changes_nothing(marks: Marks) -> None:
    marks.wait("now", 10, frame(0))
    with pytest.raises(BadMark):
        marks.hear(b'{"stored":{"before":10,"now":101}}')
    assert marks.refused == 1
    assert not marks.passed("before", 10)


def test_a_boot_that_nothing_is_left_of_is_no_matter(marks: Marks) -> None:
    assert marks.hear(b'{"stored":{"long ago":5,"now":1}}') == []
    assert marks.passed("now", 1)
    assert not marks.refused


def test_a_mark_never_goes_back(marks: Marks) -> None:
    marks.hear(b'{"stored":{"now":20}}')
    assert marks.hear(b'{"stored":{"now":10}}') == []
    assert marks.passed("now", 20)


def test_what_waits_too_long_is_released_and_patience_doubles(
    marks: Marks, clock: FakeClock
) -> None:
    for patience_s in (60, 120, 240, 480, 960, 1920, LAST_TIMEOUT_S, LAST_TIMEOUT_S):
        marks.wait("now", 10, frame(0))
        clock.advance(patience_s - 1)
        assert marks.overdue() == []
        clock.advance(1)
        assert marks.overdue() == [frame(0)]


def test_a_mark_that_moves_resets_the_patience(marks: Marks, clock: FakeClock) -> None:
    for _ in range(3):
        marks.wait("now", 10, frame(0))
        clock.advance(LAST_TIMEOUT_S)
        assert marks.overdue()
    marks.hear(b'{"stored":{"now":5}}')
    marks.wait("now", 10, frame(0))
    clock.advance(FIRST_TIMEOUT_S)
    assert marks.overdue() == [frame(0)]


def test_one_boot_that_stands_still_is_seen_beside_one_that_moves(
    marks: Marks, clock: FakeClock
) -> None:
    marks.wait("before", 40, frame(0))
    for seq in range(1, 10):
        marks.wait("now", seq, frame(seq))
        clock.advance(FIRST_TIMEOUT_S / 8)
        marks.hear(b'{"stored":{"now":%d}}' % seq)
    assert marks.overdue() == [frame(0)]


def test_a_new_connection_releases_everything(marks: Marks) -> None:
    marks.wait("before", 40, frame(0))
    marks.wait("now", 10, frame(1))
    assert sorted(marks.reconnected()) == [frame(0), frame(1)]
    assert not marks.waiting
