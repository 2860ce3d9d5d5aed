from __future__ import annotations

import pytest
from paho.mqtt._packet import PublishPacket, decode_publish
from paho.mqtt.client import MQTTv5, MQTTv311

from agent.mqtt.wire import (
    NO_PROPERTIES,
    MalformedPacket,
    parse_puback,
    publish_head,
    publish_properties,
    read_length,
)


def read_by_paho(packet: bytes, *, v5: bool) -> PublishPacket:
    length, begin = read_length(packet, 1)
    body = packet[begin:]
    assert len(body) == length
    return decode_publish(packet[0], body, MQTTv5 if v5 else MQTTv311)


@pytest.mark.parametrize("v5", [True, False])
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("size", [0, 1, 110, 127, 128, 16_383, 16_384, 2_097_152])
def test_paho_reads_our_publish(v5, retain, size):
    payload, properties = bytes(size), NO_PROPERTIES if v5 else b""
    head = publish_head("a/ü", size, 0x1234, retain=retain, properties=properties)
    publish = read_by_paho(head + payload, v5=v5)
    assert (publish.topic.decode(), publish.mid, publish.qos) == ("a/ü", 0x1234, 1)
    assert (publish.retain, publish.dup, publish.payload) == (retain, False, payload)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "\ud800", "x" * 65_536])
def test_what_is_no_topic_is_refused_before_it_costs_the_connection(topic):
    with pytest.raises(ValueError, match=r"."):
        publish_head(topic, 0, 1, retain=False, properties=NO_PROPERTIES)


@pytest.mark.parametrize("expiry_s", [None, 0, 86_400, (1 << 32) - 1])
@pytest.mark.parametrize("size", [None, 0, 110, 119, 120, 127, 16_371, 16_372, 65_535])
def test_paho_reads_our_properties(expiry_s, size):
    """Either side of every length at which another byte begins."""
    correlation = None if size is None else bytes(range(256)) * 256
    correlation = correlation and correlation[:size]
    properties = publish_properties(expiry_s, correlation)
    head = publish_head("t", 2, 1, retain=True, properties=properties)
    publish = read_by_paho(head + b"do", v5=True)
    assert publish.payload == b"do"
    assert getattr(publish.properties, "MessageExpiryInterval", None) == expiry_s
    assert getattr(publish.properties, "CorrelationData", None) == correlation


@pytest.mark.parametrize(
    ("expiry_s", "correlation", "words"),
    [(-1, None, "-1 s"), (1 << 32, None, "4294967296 s"), (None, bytes(65_536), "65536 bytes")],
)
def test_what_mqtt_has_no_room_for_is_refused(expiry_s, correlation, words):
    with pytest.raises(ValueError, match=words):
        publish_properties(expiry_s, correlation)


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
