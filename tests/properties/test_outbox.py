"""No letter that was put is lost without being counted, and the newest of a topic arrives."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.telemetry.letters import Kind, Letter
from agent.telemetry.outbox import PAGES_AT_ONCE, Outbox

STATEMENTS = ("status", "summary", "state")
PAGES = ("page/0", "page/1", "page/2")


class Post(RuleBasedStateMachine):
    """An outbox and a connection that may fail at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(lambda: 0.0)
        self.newest: dict[str, int] = {}
        self.replies: list[int] = []
        self.number = 0
        self.tokens: dict[int, Letter] = {}
        self.given_up: set[str] = set()
        self.arrived: list[int] = []
        self.acknowledged: list[int] = []

    @rule(topic=st.sampled_from(STATEMENTS + PAGES))
    def put(self, topic: str) -> None:
        self.number += 1
        if topic not in self.given_up:  # those are muted for a while
            self.newest[topic] = number = self.number
            put = self.outbox.page if topic in PAGES else self.outbox.state
            put(topic, b"%d" % number, arrived=lambda: self.arrived.append(number))
        else:
            self.outbox.state(topic, b"")

    @rule()
    def reply(self) -> None:
        self.number += 1
        if "reply" not in self.given_up:
            self.replies.append(self.number)
        self.outbox.reply("reply", b"%d" % self.number)

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            waiting = self.urgent_that_wait()
            if taken := self.outbox.take():
                token, letter = taken
                assert letter.kind is not Kind.PAGE or not waiting
                self.tokens[token] = letter

    def urgent_that_wait(self) -> int:
        pages = self.outbox._queues[Kind.PAGE]
        return len(self.outbox) - len(pages)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), refused=st.booleans())
    def end(self, data: st.DataObject, refused: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        letter = self.tokens.pop(token)
        self.gone(letter)
        if refused:
            self.outbox.discard(token)
            return
        if letter.arrived is not None:
            self.acknowledged.append(int(letter.payload))
        self.outbox.arrived(token)

    @rule(lost=st.booleans())
    def end_of_connection(self, lost: bool) -> None:
        tokens = sorted(self.tokens)
        self.tokens.clear()
        poison = self.outbox.lost(tokens) if lost else self.outbox.put_back(tokens)
        if poison is not None:
            self.given_up.add(poison.topic)
            self.gone(poison)
            if poison.kind is Kind.REPLY:
                self.replies.clear()

    def gone(self, letter: Letter) -> None:
        number = int(letter.payload)
        if letter.kind is Kind.REPLY:
            self.replies.remove(number)
        elif self.newest.get(letter.topic) == number:
            del self.newest[letter.topic]

    @invariant()
    def the_newest_of_each_topic_waits_or_is_under_way(self) -> None:
        here = {(letter.topic, int(letter.payload)) for letter in self.letters()}
        assert here >= set(self.newest.items())

    @invariant()
    def every_reply_waits_or_is_under_way_in_its_order(self) -> None:
        waiting = [int(each.payload) for each in self.outbox._queues[Kind.REPLY]._letters]
        under_way = [
            int(letter.payload)
            for letter in self.outbox._under_way.values()
            if letter.kind is Kind.REPLY
        ]
        assert under_way + waiting == self.replies

    def letters(self) -> list[Letter]:
        queues = (self.outbox._queues[kind] for kind in (Kind.STATEMENT, Kind.PAGE))
        waiting = [letter for queue in queues for letter in queue._letters.values()]
        return waiting + list(self.outbox._under_way.values())

    @invariant()
    def what_is_under_way_is_known(self) -> None:
        assert self.outbox.under_way == len(self.tokens)
        pages = sum(letter.kind is Kind.PAGE for letter in self.tokens.values())
        assert pages <= PAGES_AT_ONCE
        assert len(self.outbox) <= len(STATEMENTS + PAGES) + len(self.replies)

    @invariant()
    def who_asked_hears_of_each_arrival_once(self) -> None:
        assert self.arrived == self.acknowledged


TestPost = Post.TestCase
TestPost.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
