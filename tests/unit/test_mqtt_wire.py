from __future__ import annotations

import pytest
from paho.mqtt._packet import decode_publish
from paho.mqtt.client import MQTTv5, MQTTv311

from agent.mqtt.wire import MalformedPacket, parse_puback, publish_head, read_length


@pytest.mark.parametrize("v5", [True, False])
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("size", [0, 1, 110, 127, 128, 16_383, 16_384, 2_097_152])
def test_paho_reads_our_publish(v5, retain, size):
    payload = bytes(size)
    packet = publish_head("a/ü", size, 0x1234, retain=retain, v5=v5) + payload
    length, begin = read_length(packet, 1)
    body = packet[begin:]
    assert len(body) == length
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
