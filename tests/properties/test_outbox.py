"""Nothing that was put is lost without being counted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.telemetry.outbox import EVENT_LIMIT, Outbox, Priority


class Post(RuleBasedStateMachine):
    """An outbox and a connection that may fail at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(5, lambda: 0.0)
        self.put = 0
        self.arrived: list[bytes] = []
        self.given_up = 0
        self.tokens: dict[int, bytes] = {}

    @rule(event=st.booleans())
    def report(self, event: bool) -> None:
        self.put += 1
        if event:
            self.outbox.tell("event", b"%06d" % self.put)
        else:
            self.outbox.report("reading", b"%06d" % self.put)

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            if taken := self.outbox.take():
                self.tokens[taken[0]] = taken[1].topic.encode() + taken[1].payload

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        self.outbox.arrived(token)
        self.arrived.append(self.tokens.pop(token))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        self.outbox.discard(token)
        del self.tokens[token]

    @rule(lost=st.booleans())
    def end_of_connection(self, lost: bool) -> None:
        tokens = sorted(self.tokens)
        self.tokens.clear()
        if not lost:
            self.outbox.put_back(tokens)
        elif self.outbox.lost(tokens):
            self.given_up += 1

    @invariant()
    def all_is_accounted_for(self) -> None:
        outbox = self.outbox
        found = len(self.arrived) + len(outbox) + outbox.under_way + outbox.dropped.total()
        assert found == self.put
        assert outbox.under_way == len(self.tokens)
        assert outbox.dropped["poison"] == self.given_up

    @invariant()
    def nothing_arrives_twice(self) -> None:
        assert len(set(self.arrived)) == len(self.arrived)

    @invariant()
    def the_queues_are_in_order(self) -> None:
        for queue in self.outbox._queues.values():
            payloads = [letter.payload for letter in queue]
            assert payloads == sorted(payloads)
        assert len(self.outbox._queues[Priority.EVENT]) <= EVENT_LIMIT


TestPost = Post.TestCase
TestPost.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
