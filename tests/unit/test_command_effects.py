"""Every answer of a device against everything its readings may show: good is only what was seen."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from agent.command.effects import Proof, Verdict
from drivers.actions import Answer, Check, Expectation, Receipt, Relation, is_denied, is_met
from drivers.model import Kind, MinerReading, State

LOOK_S, UNTIL_S = 5.0, 60.0
ACTED_AT = 100.0
EARLY, DUE = ACTED_AT + LOOK_S - 0.1, ACTED_AT + LOOK_S

ACCEPTED, REFUSED, UNANSWERED = Answer.ACCEPTED, Answer.REFUSED, Answer.UNANSWERED
PAUSED = (Check("state", Relation.EQUALS, State.SLEEPING),)
LIMITED = (Check("power_limit_w", Relation.EQUALS, 2000.0),)


def reading(state: State = State.MINING, **values: Any) -> MinerReading:
    return MinerReading(
        device_id="asic-1",
        kind=Kind.ASIC,
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        state=state,
        **values,
    )


def receipt(answer: Answer, *any_of: tuple[Check, ...]) -> Receipt:
    expectation = Expectation(any_of=any_of, look_after_s=LOOK_S, until_s=UNTIL_S)
    return Receipt(answer=answer, words="", expectation=expectation)


def proof(answer: Answer, *any_of: tuple[Check, ...], before: MinerReading) -> Proof:
    return Proof(receipt(answer, *any_of), before, ACTED_AT)


def verdict_of(found: Proof, *seen: MinerReading) -> Verdict:
    """What comes of readings that are all due; the end where none settles it."""
    for after in seen:
        verdict = found.see(after, DUE)
        if verdict is not None:
            return verdict
    return found.end()


SHOWN = [reading(State.SLEEPING)]
CONTRARY = [reading(State.MINING)]
TRANSIT = [reading(State.STARTING)]


@pytest.mark.parametrize(
    ("answer", "seen", "verdict"),
    [
        (ACCEPTED, SHOWN, Verdict.VERIFIED),
        (ACCEPTED, CONTRARY, Verdict.CONTRADICTED),
        (ACCEPTED, [], Verdict.NOT_VERIFIED),
        (ACCEPTED, TRANSIT, Verdict.NOT_VERIFIED),
        (ACCEPTED, CONTRARY + SHOWN, Verdict.VERIFIED),
        (ACCEPTED, TRANSIT + CONTRARY, Verdict.CONTRADICTED),
        (ACCEPTED, CONTRARY + TRANSIT, Verdict.NOT_VERIFIED),
        (UNANSWERED, SHOWN, Verdict.VERIFIED_UNANSWERED),
        (UNANSWERED, CONTRARY, Verdict.NOT_VERIFIED),
        (UNANSWERED, [], Verdict.NOT_VERIFIED),
        (UNANSWERED, TRANSIT, Verdict.NOT_VERIFIED),
        (UNANSWERED, CONTRARY + SHOWN, Verdict.VERIFIED_UNANSWERED),
        (REFUSED, SHOWN, Verdict.CONTRADICTED),
        (REFUSED, CONTRARY, Verdict.REFUSED),
        (REFUSED, [], Verdict.REFUSED),
        (REFUSED, TRANSIT, Verdict.REFUSED),
    ],
)
def test_a_state_after_each_answer(answer, seen, verdict) -> None:
    assert verdict_of(proof(answer, PAUSED, before=reading(State.MINING)), *seen) is verdict


@pytest.mark.parametrize(
    ("answer", "limit_w", "verdict"),
    [
        (ACCEPTED, 2000.0, Verdict.VERIFIED),
        (ACCEPTED, 3250.0, Verdict.CONTRADICTED),
        (ACCEPTED, None, Verdict.NOT_VERIFIED),
        (UNANSWERED, 2000.0, Verdict.VERIFIED_UNANSWERED),
        (UNANSWERED, 3250.0, Verdict.NOT_VERIFIED),
        (UNANSWERED, None, Verdict.NOT_VERIFIED),
        (REFUSED, 2000.0, Verdict.CONTRADICTED),
        (REFUSED, 3250.0, Verdict.REFUSED),
        (REFUSED, None, Verdict.REFUSED),
    ],
)
def test_a_value_after_each_answer(answer, limit_w, verdict) -> None:
    waiting = proof(answer, LIMITED, before=reading(power_limit_w=3250.0))
    assert verdict_of(waiting, reading(power_limit_w=limit_w)) is verdict


@pytest.mark.parametrize("state", [State.STARTING, State.UNKNOWN, State.UNREACHABLE])
@pytest.mark.parametrize("answer", list(Answer))
def test_what_a_machine_passes_through_proves_and_disproves_nothing(answer, state) -> None:
    waiting = proof(answer, PAUSED, before=reading(State.MINING))
    assert not verdict_of(waiting, reading(state)).good
    if answer is not Answer.REFUSED:
        assert verdict_of(waiting, reading(state)) is Verdict.NOT_VERIFIED


@pytest.mark.parametrize("answer", list(Answer))
def test_nothing_is_good_that_no_reading_shows(answer) -> None:
    sequences = (states for length in range(4) for states in product(State, repeat=length))
    for states in sequences:
        waiting = proof(answer, PAUSED, before=reading(State.MINING))
        verdict = verdict_of(waiting, *map(reading, states))
        assert verdict.good == (State.SLEEPING in states and answer is not REFUSED), states


# --- when it is seen ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(ACCEPTED, Verdict.VERIFIED), (UNANSWERED, Verdict.VERIFIED_UNANSWERED)],
)
def test_an_effect_counts_however_early_it_shows(answer, verdict) -> None:
    waiting = proof(answer, PAUSED, before=reading(State.MINING))
    assert waiting.see(reading(State.SLEEPING), ACTED_AT) is verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (ACCEPTED, Verdict.NOT_VERIFIED),
        (UNANSWERED, Verdict.NOT_VERIFIED),
        (REFUSED, Verdict.REFUSED),
    ],
)
def test_what_does_not_show_yet_settles_nothing_before_it_can(answer, verdict) -> None:
    waiting = proof(answer, PAUSED, before=reading(State.MINING))
    assert waiting.see(reading(State.MINING), EARLY) is None
    assert waiting.end() is verdict


def test_when_to_look_and_when_to_give_up() -> None:
    waiting = proof(ACCEPTED, PAUSED, before=reading())
    assert (waiting.look_at, waiting.until) == (ACTED_AT + LOOK_S, ACTED_AT + UNTIL_S)


def test_an_accepted_order_is_waited_for_until_the_end() -> None:
    waiting = proof(ACCEPTED, PAUSED, before=reading())
    assert waiting.see(reading(State.MINING), ACTED_AT + UNTIL_S - 1) is None


# --- what was so before -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (ACCEPTED, Verdict.VERIFIED),
        (UNANSWERED, Verdict.VERIFIED_UNANSWERED),
        (REFUSED, Verdict.VERIFIED),  # "already sleeping" is a no of some, and no contradiction
    ],
)
def test_an_effect_that_was_there_before_has_to_be_seen_again(answer, verdict) -> None:
    waiting = proof(answer, PAUSED, before=reading(State.SLEEPING))
    assert not waiting.end().good
    assert waiting.see(reading(State.SLEEPING), DUE) is verdict


def test_a_reboot_shows_in_an_uptime_below_the_one_before() -> None:
    restarted = (Check("uptime_s", Relation.BELOW_BEFORE),)
    waiting = proof(UNANSWERED, restarted, before=reading(uptime_s=5000.0))
    assert waiting.see(reading(uptime_s=5010.0), DUE) is None
    assert waiting.see(reading(uptime_s=None), DUE) is None
    assert waiting.see(reading(uptime_s=12.0), DUE) is Verdict.VERIFIED_UNANSWERED


@pytest.mark.parametrize(
    ("relation", "value", "before", "after", "met", "denied"),
    [
        (Relation.EQUALS, 5.0, None, 5.0, True, False),
        (Relation.EQUALS, 5.0, 5.0, 6.0, False, True),
        (Relation.DIFFERS, 5.0, None, 6.0, True, False),
        (Relation.DIFFERS, 5.0, None, 5.0, False, True),
        (Relation.AT_MOST, 5.0, None, 5.0, True, False),
        (Relation.AT_MOST, 5.0, None, 5.1, False, True),
        (Relation.AT_LEAST, 5.0, None, 5.0, True, False),
        (Relation.AT_LEAST, 5.0, None, 4.9, False, True),
        (Relation.AT_MOST_OF_BEFORE, 0.5, 10.0, 5.0, True, False),
        (Relation.AT_MOST_OF_BEFORE, 0.5, 10.0, 5.1, False, True),
        (Relation.BELOW_BEFORE, None, 10.0, 9.9, True, False),
        (Relation.BELOW_BEFORE, None, 10.0, 10.0, False, True),
        *((relation, 5.0, 5.0, None, False, False) for relation in Relation),
    ],
)
def test_how_a_value_stands_to_what_was_wanted(relation, value, before, after, met, denied) -> None:
    wanted = receipt(ACCEPTED, (Check("power_w", relation, value),)).expectation
    seen = reading(power_w=before), reading(power_w=after)
    assert (is_met(wanted, *seen), is_denied(wanted, *seen)) == (met, denied)


@pytest.mark.parametrize("relation", [Relation.AT_MOST_OF_BEFORE, Relation.BELOW_BEFORE])
def test_without_a_value_before_nothing_is_below_it(relation) -> None:
    wanted = receipt(ACCEPTED, (Check("power_w", relation, 0.5),)).expectation
    assert not is_met(wanted, reading(power_w=None), reading(power_w=1.0))


# --- several signs ------------------------------------------------------------------------------

QUIET = (Check("hashrate_ths", Relation.EQUALS, 0.0), Check("power_w", Relation.AT_MOST, 100.0))


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (reading(State.SLEEPING, hashrate_ths=110.0), Verdict.VERIFIED),  # one sign is enough
        (reading(State.IDLE, hashrate_ths=0.0, power_w=25.0), Verdict.VERIFIED),
        (reading(State.IDLE, hashrate_ths=0.0), Verdict.NOT_VERIFIED),  # half a sign is none
        (reading(State.IDLE, hashrate_ths=0.0, power_w=3000.0), Verdict.CONTRADICTED),
        (reading(State.STARTING, hashrate_ths=110.0), Verdict.NOT_VERIFIED),
        (reading(State.MINING, hashrate_ths=110.0), Verdict.CONTRADICTED),
    ],
)
def test_any_one_of_the_signs_suffices_and_all_have_to_speak_against(after, verdict) -> None:
    assert verdict_of(proof(ACCEPTED, PAUSED, QUIET, before=reading()), after) is verdict


@pytest.mark.parametrize("answer", list(Answer))
def test_without_signs_nothing_is_shown_or_denied(answer) -> None:
    assert not verdict_of(proof(answer, before=reading()), reading(State.SLEEPING)).good
    assert verdict_of(proof(ACCEPTED, before=reading()), reading()) is Verdict.NOT_VERIFIED


def test_what_cannot_be_proved_is_no_proof() -> None:
    with pytest.raises(ValueError, match="without an expectation"):
        Proof(Receipt(answer=ACCEPTED, words=""), reading(), ACTED_AT)


@pytest.mark.parametrize(
    ("verdict", "good"),
    [(each, each in {Verdict.VERIFIED, Verdict.VERIFIED_UNANSWERED}) for each in Verdict],
)
def test_only_what_was_seen_is_good(verdict, good) -> None:
    assert verdict.good is good
