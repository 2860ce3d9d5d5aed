"""No statement that was put is lost without being counted, and the newest of a topic arrives."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.telemetry.outbox import Outbox

TOPICS = ("status", "summary", "page")


class Post(RuleBasedStateMachine):
    """An outbox and a connection that may fail at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(lambda: 0.0)
        self.newest: dict[str, int] = {}
        self.number = 0
        self.tokens: dict[int, tuple[str, int]] = {}
        self.given_up: set[str] = set()

    @rule(topic=st.sampled_from(TOPICS))
    def state(self, topic: str) -> None:
        self.number += 1
        if topic not in self.given_up:  # those are muted for a while
            self.newest[topic] = self.number
        self.outbox.state(topic, b"%d" % self.number)

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            if taken := self.outbox.take():
                self.tokens[taken[0]] = (taken[1].topic, int(taken[1].payload))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), refused=st.booleans())
    def end(self, data: st.DataObject, refused: bool) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        topic, number = self.tokens.pop(token)
        if self.newest.get(topic) == number:
            del self.newest[topic]
        (self.outbox.discard if refused else self.outbox.arrived)(token)

    @rule(lost=st.booleans())
    def end_of_connection(self, lost: bool) -> None:
        tokens = sorted(self.tokens)
        self.tokens.clear()
        poison = self.outbox.lost(tokens) if lost else self.outbox.put_back(tokens)
        if poison is not None:
            self.given_up.add(poison.topic)
            if self.newest.get(poison.topic) == int(poison.payload):
                del self.newest[poison.topic]

    @invariant()
    def the_newest_of_each_topic_waits_or_is_under_way(self) -> None:
        here = {
            (letter.topic, int(letter.payload))
            for letters in (self.outbox._statements, self.outbox._under_way)
            for letter in letters.values()
        }
        assert here >= set(self.newest.items())

    @invariant()
    def what_is_under_way_is_known(self) -> None:
        assert self.outbox.under_way == len(self.tokens)
        assert len(self.outbox) <= len(TOPICS)


TestPost = Post.TestCase
TestPost.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
