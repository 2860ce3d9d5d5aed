from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.client import MQTTv5, MQTTv311

from agent.mqtt.wire import MalformedPacket, Splitter, parse_puback, publish_head


@pytest.mark.parametrize("v5", [True, False])
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("size", [0, 1, 110, 127, 128, 16_383, 16_384, 2_097_152])
def test_paho_reads_our_publish(v5, retain, size):
    payload = bytes(size)
    packet = publish_head("a/ü", size, 0x1234, retain=retain, v5=v5) + payload
    [whole] = Splitter(1 << 24).feed(packet)
    body = whole[len(packet) - len(publish_head("a/ü", 0, 1, retain=retain, v5=v5)) - size + 2 :]
    publish = decode_publish(packet[0], body, MQTTv5 if v5 else MQTTv311)
    assert (publish.topic.decode(), publish.mid, publish.qos) == ("a/ü", 0x1234, 1)
    assert (publish.retain, publish.dup, publish.payload) == (retain, False, payload)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "\ud800", "x" * 65_536])
def test_what_is_no_topic_is_refused_before_it_costs_the_connection(topic):
    with pytest.raises(ValueError, match=r"."):
        publish_head(topic, 0, 1, retain=False, v5=True)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x40\x02\x12\x34", (0x1234, 0)),
        (b"\x40\x03\x12\x34\x10", (0x1234, 0x10)),
        (b"\x40\x04\x12\x34\x87\x00", (0x1234, 0x87)),
        (b"\x40\x80\x01\x12\x34\x97" + bytes(125), (0x1234, 0x97)),
    ],
)
def test_puback(packet, expected):
    assert parse_puback(packet) == expected


@pytest.mark.parametrize("packet", [b"\x40\x00", b"\x40\x01\x00"])
def test_a_puback_without_an_id_is_malformed(packet):
    with pytest.raises(MalformedPacket):
        parse_puback(packet)


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_packets_come_out_whole_however_they_came_in(bodies, data):
    packets = [_packet(body) for body in bodies]
    stream, splitter, out = b"".join(packets), Splitter(1000), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out += splitter.feed(stream[:size])
        stream = stream[size:]
    assert out == packets


def _packet(body: bytes) -> bytes:
    size = len(body)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return b"\x30" + length + body


def test_a_packet_above_the_limit_is_refused_by_its_head():
    with pytest.raises(MalformedPacket):
        Splitter(1000).feed(b"\x30\xe7\x07")  # 999 bytes and a head of three
    assert Splitter(1000).feed(b"\x30\xe5\x07") == []


def test_a_length_without_end_is_malformed():
    with pytest.raises(MalformedPacket):
        Splitter(1000).feed(b"\x30\xff\xff\xff\xff")
