"""What a sender makes of all that nodes say about its command, and how long it waits."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from agent.cli.following import DONE, NOT_ALL, REJECTED, Following
from agent.cli.patience import MOST_REPEAT_S, PAGES_S, REPEAT_S, ROSTER_S, SILENT_S, Patience
from agent.command.effects import Verdict
from agent.remote.messages import CommandState, DeviceResult, ResultPage, State
from agent.remote.reasons import Reason

ROOT = "stoker/v1/north"
DIGEST = "d" * 64
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def following(node: str | None = None) -> Following:
    return Following("north", "c1", DIGEST, node)


def online(sent: Following, *nodes: str) -> None:
    for node in nodes:
        sent.hear(f"{ROOT}/node/{node}/status", b'{"state":"online"}')


def said(node: str, state: State, seq: int = 1, **more: Any) -> CommandState:
    facts = {"id": "c1", "digest": DIGEST, "words": "", "at": NOW, **more}
    return CommandState(node=node, state=state, seq=seq, **facts)


def tell(sent: Following, node: str, state: State, seq: int = 1, **more: Any) -> Any:
    payload = msgspec.json.encode(said(node, state, seq, **more))
    return sent.hear(f"{ROOT}/node/{node}/cmd/c1/state", payload)


def show(sent: Following, node: str, page: int, *verdicts: Verdict, **more: Any) -> Any:
    results = tuple(
        DeviceResult(device_id=f"asic-{number}", address="", verdict=each, words="no")
        for number, each in enumerate(verdicts)
    )
    shown = ResultPage(**{"id": "c1", "node": node, "page": page, "results": results, **more})
    return sent.hear(f"{ROOT}/node/{node}/cmd/c1/results/{page}", msgspec.json.encode(shown))


def test_topics_of_a_command_to_all_and_to_one() -> None:
    assert following().topic == f"{ROOT}/cmd/c1"
    assert following("n1").topic == f"{ROOT}/node/n1/cmd/c1"
    assert f"{ROOT}/node/+/cmd/c1/state" in following().filters
    assert f"{ROOT}/node/n1/cmd/c1/results/+" in following("n1").filters


def test_every_node_that_is_online_has_to_answer() -> None:
    sent = following()
    online(sent, "n1", "n2")
    sent.hear(f"{ROOT}/node/n3/status", b'{"state":"offline"}')
    tell(sent, "n1", State.SUCCEEDED)
    assert not sent.ended
    assert sent.silent == ["n2"]
    assert sent.words() == "no answer in time from n2"
    assert sent.exit_code() == REJECTED
    tell(sent, "n2", State.SUCCEEDED)
    assert sent.ended
    assert sent.exit_code() == DONE


def test_who_goes_away_in_the_middle_is_still_waited_for() -> None:
    sent = following()
    online(sent, "n1")
    sent.hear(f"{ROOT}/node/n1/status", b'{"state":"offline"}')
    assert sent.silent == ["n1"]
    assert sent.words() == "no answer in time from n1 (offline)"
    tell(sent, "n1", State.EXECUTING)
    assert sent.words() == "not ended in time at n1 (offline)"


def test_of_a_command_to_one_node_only_that_one_counts() -> None:
    sent = following("n1")
    online(sent, "n2")
    assert sent.silent == ["n1"]
    tell(sent, "n1", State.REJECTED, reason=Reason.NO_TARGET)
    assert sent.ended
    assert sent.exit_code() == REJECTED


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ({"n1": State.SUCCEEDED, "n2": State.SUCCEEDED}, DONE),
        ({"n1": State.SUCCEEDED, "n2": Reason.NO_TARGET}, DONE),
        ({"n1": State.SUCCEEDED, "n2": Reason.UNKNOWN_COMMAND}, DONE),
        ({"n1": Reason.NO_TARGET, "n2": Reason.NO_TARGET}, REJECTED),
        ({"n1": State.SUCCEEDED, "n2": Reason.UNKNOWN_KEY}, NOT_ALL),
        ({"n1": Reason.NO_TARGET, "n2": Reason.UNKNOWN_KEY}, REJECTED),
        ({"n1": State.PARTIAL, "n2": State.SUCCEEDED}, NOT_ALL),
        ({"n1": State.FAILED}, NOT_ALL),
        ({"n1": State.TIMED_OUT}, NOT_ALL),
        ({"n1": State.CANCELLED}, NOT_ALL),
        ({"n1": State.INTERRUPTED}, NOT_ALL),
        ({"n1": State.EXECUTING, "n2": State.SUCCEEDED}, REJECTED),
    ],
)
def test_exit_codes(states: dict[str, State | Reason], code: int) -> None:
    sent = following()
    for node, each in states.items():
        if isinstance(each, Reason):
            tell(sent, node, State.REJECTED, reason=each)
        else:
            tell(sent, node, each)
    assert sent.exit_code() == code


def test_a_node_that_is_in_no_roster_counts_once_it_has_answered() -> None:
    sent = following()
    tell(sent, "n9", State.EXECUTING)
    assert sent.open == ["n9"]


def test_figures_are_summed_over_the_nodes() -> None:
    sent = following()
    tell(sent, "n1", State.EXECUTING, targets=80, done=20, verdicts={"verified": 19, "refused": 1})
    tell(sent, "n2", State.SUCCEEDED, targets=4, done=4, verdicts={"verified": 4})
    assert (sent.targets, sent.done) == (84, 24)
    assert sent.verdicts() == {"verified": 23, "refused": 1}
    tell(sent, "n1", State.PARTIAL, 2, targets=80, done=80, verdicts={"verified": 79, "refused": 1})
    assert sent.words() == "not all of it succeeded: 83 verified, 1 refused"


def test_older_words_and_words_about_other_bytes_change_nothing() -> None:
    sent = following()
    assert tell(sent, "n1", State.EXECUTING, 5) is not None
    assert tell(sent, "n1", State.EXECUTING, 5) is None
    assert tell(sent, "n1", State.ACCEPTED, 4) is None
    assert tell(sent, "n1", State.SUCCEEDED, 9, digest="e" * 64) is None
    assert tell(sent, "n1", State.SUCCEEDED, 9, id="c2") is None
    other = msgspec.json.encode(said("n2", State.SUCCEEDED, 9))
    assert sent.hear(f"{ROOT}/node/n1/cmd/c1/state", other) is None
    assert sent.open == ["n1"]


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_message_of_ours_is_passed_over(payload: bytes) -> None:
    sent = following()
    online(sent, "n1")
    for level in ("cmd/c1/state", "cmd/c1/results/0", "cmd/c1/results/x", "status", "else"):
        assert sent.hear(f"{ROOT}/node/n1/{level}", payload) is None
    assert sent.expected == {"n1"}
    assert not sent.states


def test_failures_come_from_the_pages() -> None:
    sent = following()
    assert show(sent, "n1", 0, Verdict.FAILED) is None  # of an older command of this id
    tell(sent, "n1", State.PARTIAL, targets=5, done=5, pages=2)
    assert not sent.complete
    show(sent, "n1", 1, Verdict.REFUSED)
    show(sent, "n1", 0, Verdict.VERIFIED, Verdict.NOT_VERIFIED)
    assert not sent.complete
    show(sent, "n1", 0, Verdict.VERIFIED, Verdict.NOT_VERIFIED, Verdict.WOULD, Verdict.CANCELLED)
    assert sent.complete
    assert [(node, each.device_id, str(each.verdict)) for node, each in sent.failures()] == [
        ("n1", "asic-1", "not_verified"),
        ("n1", "asic-3", "cancelled"),
        ("n1", "asic-0", "refused"),
    ]
    assert show(sent, "n1", 7, Verdict.FAILED, id="c2") is None
    assert show(sent, "n1", 7, *[Verdict.FAILED] * 201) is None


# --- how long it waits ---------------------------------------------------------------------------


def test_it_asks_again_while_anybody_is_silent_and_ever_more_rarely() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 1000.0)
    due = [now for now in range(400) if patience.repeat_due(now)]
    assert due[:4] == [5, 15, 35, 75]
    assert {after - before for before, after in pairwise(due[4:])} == {MOST_REPEAT_S}


def test_it_asks_again_where_nothing_was_heard_of_an_open_command_for_a_minute() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 1000.0)
    tell(sent, "n1", State.EXECUTING)
    patience.news(4.0)
    assert not patience.repeat_due(4.0 + MOST_REPEAT_S - 0.1)
    assert patience.repeat_due(4.0 + MOST_REPEAT_S)


def test_it_does_not_ask_again_when_all_have_ended() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 1000.0)
    tell(sent, "n1", State.SUCCEEDED)
    assert not patience.repeat_due(REPEAT_S)


def test_the_roster_has_its_moment_before_all_have_answered() -> None:
    sent = following()
    patience = Patience(sent, 0.0, 1000.0)
    tell(sent, "n1", State.SUCCEEDED)
    assert not patience.over(ROSTER_S - 0.1)
    online(sent, "n2")
    assert not patience.over(ROSTER_S)
    tell(sent, "n2", State.SUCCEEDED)
    assert patience.over(ROSTER_S)


def test_one_node_is_not_waited_for_longer_than_it_takes() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 1000.0)
    assert not patience.over(0.0)
    tell(sent, "n1", State.SUCCEEDED)
    assert patience.over(0.1)


def test_the_last_results_have_their_moment() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 1000.0)
    tell(sent, "n1", State.SUCCEEDED, targets=1, done=1, pages=1)
    assert not patience.over(10.0)
    assert patience.over(10.0 + PAGES_S)
    show(sent, "n1", 0, Verdict.VERIFIED)
    assert patience.over(10.1)


def test_without_anybody_it_is_over_at_once() -> None:
    patience = Patience(following(), 0.0, 1000.0)
    assert not patience.over(ROSTER_S - 0.1)
    assert patience.over(ROSTER_S)


def test_silence_is_not_waited_out_to_the_end() -> None:
    sent = following()
    online(sent, "n1", "n2")
    patience = Patience(sent, 0.0, 1000.0)
    tell(sent, "n1", State.EXECUTING)
    assert not patience.over(SILENT_S)
    tell(sent, "n1", State.SUCCEEDED, 2)
    assert patience.over(SILENT_S)


def test_the_time_that_was_given_is_all_there_is() -> None:
    sent = following("n1")
    patience = Patience(sent, 0.0, 20.0)
    tell(sent, "n1", State.EXECUTING)
    assert not patience.over(19.9)
    assert patience.over(20.0)
