"""While a site is put to sleep, reading and telling wait: not for a few, and not for ever."""

from __future__ import annotations

from agent.fleet.precedence import LONGEST_S, MANY, Precedence
from tests.fakes import FakeClock


def claimed_by(count: int, clock: FakeClock) -> Precedence:
    precedence = Precedence(clock)
    for _ in range(count):
        precedence.begin()
    return precedence


def test_many_orders_that_shed_go_before_polls() -> None:
    assert claimed_by(MANY, FakeClock()).claimed


def test_a_few_do_not() -> None:
    assert not claimed_by(MANY - 1, FakeClock()).claimed


def test_it_ends_with_them() -> None:
    precedence = claimed_by(MANY, FakeClock())
    precedence.end()
    assert not precedence.claimed


def test_machines_that_hang_hold_nothing_up_for_ever() -> None:
    clock = FakeClock()
    precedence = claimed_by(MANY * 3, clock)
    clock.advance(LONGEST_S)
    assert not precedence.claimed
    precedence.begin()  # more of the same
    assert not precedence.claimed


def test_the_next_time_counts_anew() -> None:
    clock = FakeClock()
    precedence = claimed_by(MANY, clock)
    clock.advance(LONGEST_S)
    for _ in range(MANY):
        precedence.end()
    for _ in range(MANY):
        precedence.begin()
    assert precedence.claimed
