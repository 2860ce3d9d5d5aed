from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.topics import LEVEL_LIMIT, Topics, check_filter, topic_level

TOPICS = Topics("dallas-1", "edge-a")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (TOPICS.node_status, "stoker/v1/dallas-1/node/edge-a/status"),
        (TOPICS.inventory_manifest, "stoker/v1/dallas-1/inventory/edge-a"),
        (TOPICS.inventory_page(3), "stoker/v1/dallas-1/inventory/edge-a/3"),
        (TOPICS.summary, "stoker/v1/dallas-1/summary/edge-a"),
        (TOPICS.event, "stoker/v1/dallas-1/event/edge-a"),
        (TOPICS.batch_live, "stoker/v1/dallas-1/batch/edge-a/live"),
        (TOPICS.batch_history, "stoker/v1/dallas-1/batch/edge-a/hist"),
        (TOPICS.alarm("hot"), "stoker/v1/dallas-1/alarm/hot"),
        (
            TOPICS.telemetry("asic-00:11:22:33:44:55"),
            "stoker/v1/dallas-1/device/asic-00:11:22:33:44:55/telemetry",
        ),
        (TOPICS.telemetry_history("gpu-1"), "stoker/v1/dallas-1/device/gpu-1/telemetry/hist"),
        (TOPICS.command_state("c1"), "stoker/v1/dallas-1/node/edge-a/cmd/c1/state"),
        (TOPICS.acknowledgement("live"), "stoker/v1/dallas-1/ack/edge-a/live"),
        (TOPICS.acknowledgements, "stoker/v1/dallas-1/ack/edge-a/+"),
        (
            TOPICS.commands,
            ("stoker/v1/dallas-1/cmd/+", "stoker/v1/dallas-1/node/edge-a/cmd/+"),
        ),
    ],
)
def test_every_topic_of_the_contract(topic, expected):
    assert topic == expected


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("asic-001122334455", "asic-001122334455"),
        ("a/b", "a%2Fb"),
        ("+", "%2B"),
        ("#", "%23"),
        ("\0", "%00"),
        ("$SYS", "%24SYS"),
        ("50%", "50%25"),
        ("~", "%7E"),
        ("é", "%C3%A9"),
        ("\ud800", "%ED%A0%80"),  # half a character, as broken JSON carries it
        ("line\n", "line%0A"),
        ("", "%"),
    ],
)
def test_foreign_characters_are_escaped(text, level):
    assert topic_level(text) == level


def test_a_long_text_is_cut_and_stays_itself():
    one, other = topic_level("x" * 100_000), topic_level("x" * 100_001)
    assert len(one) <= LEVEL_LIMIT
    assert one != other
    assert one == topic_level("x" * 100_000)


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_leaves_its_level(text):
    level = topic_level(text)
    assert 0 < len(level) <= LEVEL_LIMIT
    assert level.isascii()
    assert not set(level) & set("/+#$\0 ")


@pytest.mark.parametrize("name", ["#", "+", "a/+/b", "a/#", "/", "+/+/#", *TOPICS.commands])
def test_filters_pass(name):
    assert check_filter(name) == name


@pytest.mark.parametrize("name", ["", "a+", "a/#/b", "#/a", "a/b#", "\0", "x" * 65_536, "\ud800"])
def test_what_is_no_filter_is_refused(name):
    with pytest.raises(ValueError, match=r"."):
        check_filter(name)


@given(st.text(), st.text())
def test_two_texts_never_share_a_level(one, other):
    assert (topic_level(one) == topic_level(other)) == (one == other)
