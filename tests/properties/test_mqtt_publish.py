"""Whatever a broker sends as a PUBLISH is read as paho reads it, or refused."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.client import MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.mqtt.publish import parse_publish
from agent.mqtt.wire import MalformedPacket
from tests.mqtt_packets import packet, publish

names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=200,
).filter(lambda name: not set(name) & {"+", "#"})


@st.composite
def property_sets(draw: st.DrawFn) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    choices = {
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, (1 << 32) - 1),
        "ContentType": names,
        "ResponseTopic": names,
        "CorrelationData": st.binary(max_size=300),
        "SubscriptionIdentifier": st.integers(1, 268_435_455),
        "UserProperty": st.tuples(names, names),
    }
    for name in draw(st.lists(st.sampled_from(sorted(choices)), max_size=8)):
        if name == "UserProperty" or not hasattr(properties, name):
            setattr(properties, name, draw(choices[name]))
    return properties


@given(names, st.binary(max_size=400), st.integers(0, 2), st.booleans(), property_sets())
def test_it_reads_what_paho_packs(topic, payload, qos, retain, properties):
    raw = publish(topic, payload, qos=qos, retain=retain, packet_id=9, properties=properties)
    found = parse_publish(raw, v5=True)
    assert (found.topic, found.payload, found.qos, found.retain) == (topic, payload, qos, retain)
    assert found.packet_id == (9 if qos else 0)
    assert found.response_topic == getattr(properties, "ResponseTopic", None)
    assert found.correlation == getattr(properties, "CorrelationData", None)
    assert found.oversized == 0


@given(st.integers(0, 15), st.binary(max_size=60), st.booleans())
@example(0, b"\x00\x01t\x03\x23\x00\x01", True)
def test_it_reads_like_paho_whatever_is_sent_or_refuses(flags, body, v5):
    try:
        found = parse_publish(packet(0x30 | flags, body), v5=v5)
    except MalformedPacket:
        return
    theirs = decode_publish(0x30 | flags, body, MQTTv5 if v5 else MQTTv311)
    assert found.payload == theirs.payload
    assert (found.qos, found.retain, found.packet_id) == (theirs.qos, theirs.retain, theirs.mid)
    assert found.correlation == getattr(theirs.properties, "CorrelationData", None)
    with contextlib.suppress(UnicodeDecodeError):
        assert found.topic == theirs.topic.decode()
