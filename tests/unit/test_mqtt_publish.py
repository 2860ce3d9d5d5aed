"""What an incoming PUBLISH says, and what is none."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.mqtt.publish import Publish, parse_publish
from agent.mqtt.wire import MalformedPacket
from tests.mqtt_packets import packet, publish


def everything() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 60
    properties.ContentType = "application/jose"
    properties.ResponseTopic = "reply/ü"
    properties.CorrelationData = b"\x00\xff"
    properties.SubscriptionIdentifier = 268_435_455
    properties.UserProperty = ("a", "b")
    return properties


def test_every_property_is_read_or_passed_over():
    raw = publish("cmd/ü", b"do", qos=1, retain=True, packet_id=0x1234, properties=everything())
    assert parse_publish(raw, v5=True) == Publish(
        topic="cmd/ü",
        payload=b"do",
        qos=1,
        retain=True,
        packet_id=0x1234,
        oversized=0,
        response_topic="reply/ü",
        correlation=b"\x00\xff",
    )


def test_without_properties_there_is_no_answer_asked_for():
    found = parse_publish(publish("t", b"", qos=0, v5=False), v5=False)
    assert (found.topic, found.payload, found.packet_id, found.retain) == ("t", b"", 0, False)
    assert (found.response_topic, found.correlation) == (None, None)


@pytest.mark.parametrize("size", [0, 1, 120, 130, 16_400, 2_100_000])
def test_the_length_of_the_packet_takes_one_to_four_bytes(size):
    assert len(parse_publish(publish("t", bytes(size)), v5=True).payload) == size


def test_what_is_no_utf_8_reads_as_a_topic_that_nobody_has():
    """To hang up upon it would go on for ever: a persistent session gets it again each time."""
    body = b"\x00\x03a/\xff" + b"\x00\x01" + b"\x00"
    assert parse_publish(packet(0x32, body), v5=True).topic == "a/\\xff"


@pytest.mark.parametrize(
    ("first", "body", "words"),
    [
        (0x36, b"\x00\x01t\x00\x01\x00", "QoS 3"),
        (0x30, b"", "too early"),
        (0x30, b"\x00", "too early"),
        (0x30, b"\x00\x09t", "string beyond"),
        (0x30, b"\x00\x00\x00", "without a topic"),
        (0x30, b"\x00\x00\x03\x23\x00\x01", "without a topic"),  # an alias
        (0x32, b"\x00\x01t\x00", "too early"),
        (0x32, b"\x00\x01t\x00\x00\x00", "without a packet id"),
        (0x30, b"\x00\x01t", "length without end"),
        (0x30, b"\x00\x01t\xff\xff\xff\xff\x01", "length without end"),
        (0x30, b"\x00\x01t\x05\x01", "properties beyond"),
        (0x30, b"\x00\x01t\x02\x02\x00", "property beyond"),
        (0x30, b"\x00\x01t\x03\x08\x00\x09reply", "string beyond"),
        (0x30, b"\x00\x01t\x04\x26\x00\x01a\x00\x00", "too early"),  # a name without a value
        (0x30, b"\x00\x01t\x02\x0b\xff", "length without end"),
        (0x30, b"\x00\x01t\x02\x7f\x00", "property 127"),
    ],
)
def test_what_is_no_publish_is_named(first, body, words):
    with pytest.raises(MalformedPacket, match=words):
        parse_publish(packet(first, body), v5=True)
