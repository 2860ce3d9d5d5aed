"""Where an answer may go beside the state topic: never where it could pass for a reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.remote.replies import reply_topic

ROOT = "stoker/v1/north"


@pytest.mark.parametrize("topic", ["desk/answers", f"{ROOT}/reply/desk", "a", "stokers/x"])
def test_topics_that_are_answered_to(topic: str) -> None:
    assert reply_topic(topic, ROOT) == topic


@pytest.mark.parametrize(
    "topic",
    [
        None,
        "",
        "a/+/b",
        "a/#",
        "$SYS/x",
        "$share/g/x",
        "a\0b",
        "a\nb",
        "x" * 257,
        "stoker",
        "stoker/v1/north/event/n1",
        "stoker/v1/south/reply/desk",
        "stoker/v1/north/reply",
        "stoker/v2/north/reply/desk",
        f"{ROOT}/replyx/desk",
    ],
)
def test_topics_that_are_not(topic: str | None) -> None:
    assert reply_topic(topic, ROOT) is None


@given(st.text(max_size=300))
def test_whatever_is_asked_for(topic: str) -> None:
    found = reply_topic(topic, ROOT)
    assert found is None or (found == topic and not set(topic) & {"+", "#", "\0"})


@given(st.text(max_size=40))
def test_nothing_of_ours_but_replies(rest: str) -> None:
    found = reply_topic(f"stoker/v1/{rest}", ROOT)
    assert found is None or found.startswith(f"{ROOT}/reply/")
