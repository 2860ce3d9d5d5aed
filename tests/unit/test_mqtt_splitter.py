"""Packets come out whole, and what is too large without its payload."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.publish import parse_publish
from agent.mqtt.splitter import Splitter
from agent.mqtt.wire import MalformedPacket
from tests.mqtt_packets import packet, publish

LIMIT = 200


def split(splitter: Splitter, stream: bytes, sizes: list[int]) -> list[bytes]:
    """Everything that comes out when the stream comes in pieces of these sizes, over and over."""
    packets, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        packets += splitter.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    return packets


pieces = st.lists(st.integers(1, 400), min_size=1, max_size=5)


@given(st.lists(st.binary(max_size=300), max_size=8), pieces)
def test_packets_come_out_whole_however_they_came_in(bodies, sizes):
    packets = [packet(0x40, body) for body in bodies]
    assert split(Splitter(1000, v5=True), b"".join(packets), sizes) == packets


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1500), st.integers(1, 60)), max_size=8),
    pieces,
    st.booleans(),
)
def test_too_large_messages_come_out_without_their_payload(messages, sizes, v5):
    stream, expected = b"", []
    for number, (qos, size, name) in enumerate(messages, 1):
        raw = publish("t" * name, bytes(size), qos=qos, packet_id=number, v5=v5)
        stream += raw
        expected.append((name, qos, size, size if len(raw) > LIMIT else 0))
    stream += b"\xd0\x00"
    *found, last = split(Splitter(LIMIT, v5=v5), stream, sizes)
    assert last == b"\xd0\x00"
    read = [parse_publish(raw, v5=v5) for raw in found]
    assert [
        (len(each.topic), each.qos, len(each.payload) + each.oversized, each.oversized)
        for each in read
    ] == expected


@given(st.binary(max_size=2000), pieces, st.booleans())
def test_whatever_comes_it_is_cut_or_refused(stream, sizes, v5):
    try:
        packets = split(Splitter(LIMIT, v5=v5), stream, sizes)
    except MalformedPacket:
        return
    assert all(len(each) <= LIMIT for each in packets)


@pytest.mark.parametrize("first", [0x20, 0x40, 0x90, 0xE0])
def test_anything_else_above_the_limit_is_refused_by_its_length(first):
    with pytest.raises(MalformedPacket, match="998 bytes"):
        Splitter(1000, v5=True).feed(bytes((first,)) + b"\xe6\x07")  # and a head of three
    assert Splitter(1001, v5=True).feed(bytes((first,)) + b"\xe6\x07") == []


@pytest.mark.parametrize("v5", [True, False])
def test_a_message_whose_topic_is_above_the_limit_is_refused(v5):
    with pytest.raises(MalformedPacket, match="before its payload"):
        Splitter(1000, v5=v5).feed(publish("t" * 1000, v5=v5))


def test_properties_above_the_limit_are_refused_before_they_come():
    with pytest.raises(MalformedPacket, match="before its payload"):
        Splitter(1000, v5=True).feed(b"\x30\xff\x7f\x00\x01t\xe8\x07")


def test_a_topic_that_reaches_beyond_its_packet_is_refused():
    with pytest.raises(MalformedPacket, match="before its payload"):
        Splitter(300, v5=False).feed(b"\x30\xb0\x02\x01\x2f" + bytes(303))


def test_a_length_without_end_is_malformed():
    with pytest.raises(MalformedPacket, match="four bytes"):
        Splitter(1000, v5=True).feed(b"\x30\xff\xff\xff\xff")


def test_the_largest_packet_of_mqtt_passes_in_flat_memory():
    splitter, chunk = Splitter(1 << 20, v5=True), bytes(1 << 16)
    splitter.feed(b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x07\x00")
    left = 268_435_455 - 6
    tracemalloc.start()
    try:
        while left > len(chunk):
            assert splitter.feed(chunk) == []
            left -= len(chunk)
        [head] = splitter.feed(bytes(left))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert parse_publish(head, v5=True).oversized == 268_435_449
    assert peak < 1 << 18
