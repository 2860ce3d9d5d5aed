"""The life of one command: only forward, counted up, and ended by what its devices came to."""

from __future__ import annotations

import msgspec
import pytest

from agent.command.effects import Verdict
from agent.remote.claims import Claims, Target
from agent.remote.command import Command, Record, outcome
from agent.remote.messages import State
from agent.remote.reasons import Reason, Rejected

FINAL = {state for state in State if state.final}


def command(**more: object) -> Command:
    claims = Claims(jti="c-1", aud="site", iat=1000.0, verb="mining.pause", target=Target(all=True))
    return Command(
        Record(claims=claims, digest="d", key="ops", received_at=1.0, expires_at=61.0, **more)
    )


def test_it_only_goes_forward_and_every_state_has_a_higher_number() -> None:
    one = command()
    numbers = []
    for state in (State.ACCEPTED, State.SCHEDULED, State.EXECUTING, State.PARTIAL):
        one.move(state, 2.0, str(state))
        numbers.append(one.record.seq)
    assert numbers == sorted(set(numbers))
    for state in State:
        with pytest.raises(ValueError, match="no way"):
            one.move(state, 3.0, "")


@pytest.mark.parametrize("before", [State.ACCEPTED, State.SCHEDULED, State.EXECUTING])
def test_what_was_accepted_is_never_rejected(before: State) -> None:
    one = command()
    one.move(State.ACCEPTED, 2.0, "")
    if before is not State.ACCEPTED:
        one.move(before, 2.0, "")
    with pytest.raises(ValueError, match="no way"):
        one.reject(Rejected(Reason.BUSY, "no"), 3.0)


def test_a_rejection_has_its_reason_and_is_final() -> None:
    one = command()
    one.reject(Rejected(Reason.EXPIRED, "expired 3 s ago"), 2.0)
    said = one.statement("n1")
    assert (said.state, said.reason, said.words) == (
        State.REJECTED,
        Reason.EXPIRED,
        "expired 3 s ago",
    )
    assert one.final


def test_the_first_who_stops_it_is_named() -> None:
    one = command()
    one.stop("cancelled by ann", "key:ann")
    one.stop("cancelled by bob", "key:bob")
    assert (one.stop_words, one.record.cancelled_by) == ("cancelled by ann", "key:ann")


def test_a_record_survives_the_journal() -> None:
    one = command(owner="ann", correlation=b"\0\xff", verdicts={"verified": 3})
    one.move(State.ACCEPTED, 2.5, "taken on")
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(one.record), type=Record)
    assert kept == one.record


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ({}, State.SUCCEEDED),
        ({Verdict.VERIFIED: 2, Verdict.VERIFIED_UNANSWERED: 1}, State.SUCCEEDED),
        ({Verdict.VERIFIED: 2, Verdict.REFUSED: 1}, State.PARTIAL),
        ({Verdict.VERIFIED: 2, Verdict.CANCELLED: 1}, State.PARTIAL),
        ({Verdict.NOT_VERIFIED: 2}, State.FAILED),
        ({Verdict.CONTRADICTED: 1, Verdict.EXPIRED: 1}, State.FAILED),
        ({Verdict.CANCELLED: 4}, State.CANCELLED),
        ({Verdict.EXPIRED: 4}, State.TIMED_OUT),
        ({Verdict.VERIFIED: 9, Verdict.INTERRUPTED: 1}, State.INTERRUPTED),
        ({Verdict.WOULD: 4}, State.SUCCEEDED),
        ({Verdict.WOULD: 4, Verdict.REFUSED: 1}, State.SUCCEEDED),
        ({Verdict.REFUSED: 4}, State.FAILED),
    ],
)
def test_how_it_ends(verdicts: dict[str, int], state: State) -> None:
    assert outcome({str(name): count for name, count in verdicts.items()}) is state
    assert state in FINAL
