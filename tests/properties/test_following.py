"""Whatever stands on the broker, a sender goes on, and takes nothing for the end but the end."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.following import REJECTED
from agent.remote.messages import State
from tests.unit.test_send_following import DIGEST, NOW, ROOT, following

LEVELS = ["status", "cmd/c1/state", "cmd/c1/results/0", "cmd/c1/results/999999", "cmd/c2/state"]
topics = st.sampled_from([f"{ROOT}/node/n1/{level}" for level in LEVELS]) | st.text(max_size=30)
value = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
anything = st.recursive(
    value, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner)
)
states = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["c1", "c1", "c2"]) | anything,
        "node": st.sampled_from(["n1", "n1", "n2"]) | anything,
        "digest": st.sampled_from([DIGEST, DIGEST, "x"]) | anything,
        "state": st.sampled_from([str(each) for each in State]) | anything,
        "seq": st.integers(0, 9) | anything,
        "at": st.just(NOW) | anything,
        "words": anything,
    },
    optional={"targets": anything, "done": anything, "verdicts": anything, "pages": anything},
)


@given(st.lists(st.tuples(topics, st.binary(max_size=50) | st.builds(msgspec.json.encode, states))))
def test_no_message_ends_it_that_is_not_about_it(heard: list[tuple[str, bytes]]) -> None:
    sent = following("n1")
    for topic, payload in heard:
        sent.hear(topic, payload)
    if sent.ended:
        assert sent.states["n1"].digest == DIGEST
        assert sent.states["n1"].state.final
    else:
        assert sent.exit_code() == REJECTED
    shown: Any = (sent.words(), sent.verdicts(), list(sent.failures()), sent.complete)
    assert shown
