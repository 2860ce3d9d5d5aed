"""What waits for the broker, what goes first, and what is given up."""

from __future__ import annotations

import pytest

from agent.telemetry.letters import Kind
from agent.telemetry.outbox import (
    ALONE_AFTER_LOSSES,
    MUTE_S,
    OVERFLOW,
    PAGES_AT_ONCE,
    POISON,
    POISON_AFTER_LOSSES,
    REPLIES_LIMIT,
    Outbox,
)


class Watch:
    """A stopwatch that tests turn on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def outbox(watch) -> Outbox:
    return Outbox(watch)


def take_all(outbox: Outbox) -> list[tuple[int, str]]:
    """Token and topic of everything that may go now."""
    found = []
    while taken := outbox.take():
        found.append((taken[0], taken[1].topic))
    return found


def topics(outbox: Outbox) -> list[str]:
    return [topic for _, topic in take_all(outbox)]


def lose(outbox: Outbox, times: int = 1) -> list[str]:
    """Lose connections with everything under way; the topics given up."""
    given_up = []
    for _ in range(times):
        poison = outbox.lost([token for token, _ in take_all(outbox)])
        given_up += [poison.topic] if poison else []
    return given_up


def test_of_a_statement_only_the_newest_waits_and_nothing_counts_as_lost(outbox):
    outbox.state("s", b"old")
    outbox.state("t", b"")
    outbox.state("s", b"new")
    assert len(outbox) == 2
    assert [outbox.take()[1].payload for _ in range(2)] == [b"", b"new"]
    assert not outbox.dropped


def test_what_is_put_back_goes_first_and_in_its_order(outbox):
    for number in range(3):
        outbox.state(f"s{number}", b"")
    taken = [token for token, _ in take_all(outbox)]
    outbox.state("s3", b"")
    outbox.put_back(taken)
    assert topics(outbox) == ["s0", "s1", "s2", "s3"]


def test_a_statement_that_comes_back_gives_way_to_a_newer_one(outbox):
    outbox.state("s", b"old")
    token, _ = outbox.take()
    outbox.state("s", b"new")
    outbox.put_back([token])
    assert outbox.take()[1].payload == b"new"
    assert outbox.take() is None


def test_of_two_that_come_back_the_newer_statement_stays(outbox):
    outbox.state("s", b"old")
    first, _ = outbox.take()
    outbox.state("s", b"new")
    second, _ = outbox.take()
    outbox.put_back([first, second])
    assert outbox.take()[1].payload == b"new"
    assert outbox.take() is None


def test_what_arrived_comes_not_back(outbox):
    outbox.state("r0", b"")
    outbox.state("r1", b"")
    (first, _), (second, _) = take_all(outbox)
    outbox.arrived(first)
    outbox.put_back([first, second])
    assert topics(outbox) == ["r1"]
    outbox.arrived(99)  # one that nobody knows


def test_what_no_broker_takes_is_counted(outbox):
    outbox.state("r", b"")
    token, _ = outbox.take()
    outbox.discard(token)
    outbox.discard(token)
    assert (len(outbox), outbox.under_way) == (0, 0)
    assert outbox.dropped == {Kind.STATEMENT: 1}


# --- told when it arrived -------------------------------------------------------------------


def test_who_put_a_letter_hears_once_that_the_broker_has_it(outbox):
    heard = []
    outbox.state("s", b"", arrived=lambda: heard.append("s"))
    outbox.page("p", b"", arrived=lambda: heard.append("p"))
    (state, _), (page, _) = take_all(outbox)
    outbox.put_back([state, page])
    assert heard == []
    for token, _ in take_all(outbox):
        outbox.arrived(token)
        outbox.arrived(token)
    assert heard == ["s", "p"]


def test_a_letter_that_became_void_is_not_said_to_have_arrived(outbox):
    heard = []
    outbox.state("s", b"1", arrived=lambda: heard.append(1))
    outbox.state("s", b"2", arrived=lambda: heard.append(2))
    token, _ = outbox.take()
    outbox.state("s", b"3", arrived=lambda: heard.append(3))
    outbox.put_back([token])  # the second is void as well
    for token, _ in take_all(outbox):
        outbox.arrived(token)
    assert heard == [3]


def test_one_that_is_overtaken_under_way_has_arrived_all_the_same(outbox):
    heard = []
    outbox.state("s", b"1", arrived=lambda: heard.append(1))
    token, _ = outbox.take()
    outbox.state("s", b"2", arrived=lambda: heard.append(2))
    outbox.arrived(token)
    assert heard == [1]


def test_nobody_hears_of_what_was_given_up(outbox):
    outbox.state("refused", b"", arrived=pytest.fail)
    outbox.discard(outbox.take()[0])
    outbox.state("poison", b"", arrived=pytest.fail)
    assert lose(outbox, POISON_AFTER_LOSSES) == ["poison"]


def test_who_hears_of_an_arrival_may_put_the_next_letter(outbox):
    outbox.state("s", b"1", arrived=lambda: outbox.state("s", b"2"))
    outbox.arrived(outbox.take()[0])
    assert outbox.take()[1].payload == b"2"


# --- pages and replies ----------------------------------------------------------------------


def test_statements_go_before_replies_and_these_before_pages(outbox):
    outbox.page("p", b"")
    outbox.reply("r", b"")
    outbox.state("s", b"")
    assert len(outbox) == 3
    assert topics(outbox) == ["s", "r", "p"]


def test_of_a_page_only_the_newest_waits(outbox):
    outbox.page("p", b"old")
    outbox.page("q", b"")
    outbox.page("p", b"new")
    assert [outbox.take()[1].payload for _ in range(2)] == [b"", b"new"]
    assert outbox.take() is None


def test_few_pages_are_under_way_so_that_a_statement_waits_for_few(outbox):
    for number in range(5):
        outbox.page(f"p{number}", b"")
    under_way = take_all(outbox)
    assert [topic for _, topic in under_way] == ["p0", "p1"]
    assert len(under_way) == PAGES_AT_ONCE
    assert (len(outbox), outbox.under_way) == (3, 2)
    outbox.state("s", b"")
    outbox.reply("r", b"")
    assert topics(outbox) == ["s", "r"]
    outbox.arrived(under_way[1][0])
    assert topics(outbox) == ["p2"]
    outbox.discard(under_way[0][0])
    assert topics(outbox) == ["p3"]


def test_pages_that_come_back_leave_room_for_themselves(outbox):
    for number in range(3):
        outbox.page(f"p{number}", b"")
    outbox.put_back([token for token, _ in take_all(outbox)])
    assert topics(outbox) == ["p0", "p1"]


def test_every_reply_counts_in_its_order_and_stands_nowhere(outbox):
    for number in range(3):
        outbox.reply("r", b"%d" % number, correlation=b"c%d" % number, expiry_s=60)
    taken = [outbox.take() for _ in range(3)]
    outbox.reply("r", b"3")
    outbox.put_back([taken[0][0], taken[1][0]])
    outbox.arrived(taken[2][0])
    letters = [letter for _, letter in iter(outbox.take, None)]
    assert [letter.payload for letter in letters] == [b"0", b"1", b"3"]
    assert [letter.correlation for letter in letters] == [b"c0", b"c1", None]
    assert [letter.expiry_s for letter in letters] == [60, 60, None]
    assert not any(letter.retain for letter in letters)


def test_a_statement_and_a_page_are_retained_and_expire_as_they_were_told(outbox):
    outbox.state("s", b"", expiry_s=60)
    outbox.page("p", b"", expiry_s=86_400)
    letters = [letter for _, letter in iter(outbox.take, None)]
    assert all(letter.retain for letter in letters)
    assert [letter.expiry_s for letter in letters] == [60, 86_400]


def test_of_too_many_replies_the_oldest_make_room_and_are_counted(outbox):
    for number in range(REPLIES_LIMIT + 3):
        outbox.reply("r", b"%d" % number)
    assert len(outbox) == REPLIES_LIMIT
    assert outbox.dropped == {OVERFLOW: 3}
    token, letter = outbox.take()
    assert letter.payload == b"3"
    outbox.reply("r", b"last")
    outbox.put_back([token])
    assert outbox.dropped == {OVERFLOW: 4}
    assert outbox.take()[1].payload == b"4"


@pytest.mark.parametrize("kind", [Kind.REPLY, Kind.PAGE])
def test_what_no_broker_takes_is_counted_by_its_kind(outbox, kind):
    (outbox.reply if kind is Kind.REPLY else outbox.page)("t", b"")
    outbox.discard(outbox.take()[0])
    assert outbox.dropped == {kind: 1}
    assert {type(reason) for reason in outbox.dropped} == {str}


# --- messages that a broker hangs up upon ---------------------------------------------------


def test_who_is_the_oldest_in_five_losses_in_a_row_is_given_up(outbox):
    outbox.state("poison", b"")
    outbox.state("next", b"")
    assert lose(outbox, POISON_AFTER_LOSSES - 1) == []
    assert lose(outbox) == ["poison"]
    assert outbox.dropped == {POISON: 1}
    assert topics(outbox) == ["next"]


def test_losses_without_anything_under_way_blame_nobody(outbox):
    outbox.state("r", b"")
    for _ in range(10):
        assert outbox.lost([]) is None
    assert lose(outbox, POISON_AFTER_LOSSES - 1) == []


def test_blame_must_be_in_a_row(outbox):
    outbox.state("r", b"")
    assert lose(outbox) == []
    outbox.state("other", b"")
    (mine, _), (other, _) = take_all(outbox)
    assert outbox.lost([other, mine]) is None  # this time another one was the oldest
    ((token, topic),) = take_all(outbox)
    assert topic == "other"
    outbox.arrived(token)
    assert lose(outbox, POISON_AFTER_LOSSES - 1) == []
    assert lose(outbox) == ["r"]


def test_who_saw_two_losses_travels_alone_so_that_the_guilty_is_found(outbox):
    for name in ("a", "b", "c"):
        outbox.state(name, b"")
    assert lose(outbox, ALONE_AFTER_LOSSES) == []
    outbox.state("d", b"")
    ((token, topic),) = take_all(outbox)
    assert topic == "a"
    outbox.arrived(token)
    ((token, topic),) = take_all(outbox)
    assert topic == "b"
    outbox.arrived(token)
    ((token, topic),) = take_all(outbox)
    outbox.arrived(token)
    assert topic == "c"
    assert topics(outbox) == ["d"]  # the crowd travels together again
    assert not outbox.dropped


def test_the_innocent_before_a_poison_are_delivered(outbox):
    """The broker hangs up upon the third letter, before it has acknowledged the others."""
    for name in ("a", "b", "poison", "c", "d"):
        outbox.state(name, b"")
    delivered, losses = [], 0
    while len(outbox) or outbox.under_way:
        batch = take_all(outbox)
        if any(topic == "poison" for _, topic in batch):
            losses += 1
            outbox.lost([token for token, _ in batch])
            continue
        for token, topic in batch:
            outbox.arrived(token)
            delivered.append(topic)
    assert delivered == ["a", "b", "c", "d"]
    assert outbox.dropped == {POISON: 1}
    assert losses <= ALONE_AFTER_LOSSES + POISON_AFTER_LOSSES


def test_a_poisonous_statement_is_found_though_it_is_put_anew_each_time(outbox, watch):
    for number in range(POISON_AFTER_LOSSES):
        assert outbox.dropped[POISON] == 0
        outbox.state("status", b"%d" % number)
        given_up = lose(outbox)
    assert given_up == ["status"]
    outbox.state("status", b"again")
    assert len(outbox) == 0
    assert outbox.dropped == {POISON: 2}
    outbox.state("other", b"")
    assert topics(outbox) == ["other"]
    watch.now += MUTE_S + 1
    outbox.state("status", b"later")
    assert topics(outbox) == ["status"]


def test_of_a_muted_topic_no_older_statement_is_left_to_be_sent(outbox):
    outbox.state("status", b"0")
    assert lose(outbox, POISON_AFTER_LOSSES - 1) == []
    token, _ = outbox.take()
    outbox.state("status", b"older")
    assert outbox.lost([token]) is not None
    assert len(outbox) == 1  # what is new may fare better
    outbox.state("status", b"newest")
    assert topics(outbox) == []


def test_a_newer_statement_inherits_the_blame_of_the_one_under_way(outbox):
    outbox.state("summary", b"0")
    for number in range(POISON_AFTER_LOSSES):
        tokens = [token for token, _ in take_all(outbox)]
        outbox.state("summary", b"%d" % number)
        poison = outbox.lost(tokens)
    assert poison is not None
    assert poison.topic == "summary"


def test_a_letter_put_back_for_want_of_room_is_blamed_for_nothing(outbox):
    outbox.state("r", b"")
    for _ in range(20):
        outbox.put_back([outbox.take()[0]])
    assert topics(outbox) == ["r"]
    assert not outbox.dropped


@pytest.mark.parametrize("put", [Outbox.page, Outbox.reply])
def test_poison_is_found_among_pages_and_replies(outbox, put):
    put(outbox, "poison", b"")
    assert lose(outbox, POISON_AFTER_LOSSES) == ["poison"]
    put(outbox, "poison", b"again")
    assert len(outbox) == 0
    assert outbox.dropped == {POISON: 2}


def test_with_a_poisonous_reply_go_all_that_wait_for_the_same_topic(outbox):
    """Each of them would cost five connections."""
    for _ in range(20):
        outbox.reply("poison", b"")
    outbox.reply("other", b"")
    assert lose(outbox, POISON_AFTER_LOSSES) == ["poison"]
    assert outbox.dropped == {POISON: 20}
    assert topics(outbox) == ["other"]


def test_a_suspect_page_travels_alone_and_a_statement_goes_next(outbox):
    outbox.page("p", b"")
    outbox.page("q", b"")
    assert lose(outbox, ALONE_AFTER_LOSSES) == []
    ((token, topic),) = take_all(outbox)
    assert topic == "p"
    outbox.state("s", b"")
    assert topics(outbox) == []
    outbox.arrived(token)
    assert topics(outbox) == ["s"]
