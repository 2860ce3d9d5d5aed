"""An incoming PUBLISH, taken apart. Pure.

paho could do this, but it answers QoS 2 with PUBREC before anybody has seen the message: after
a crash the broker then brings only PUBREL, and the message is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.mqtt.wire import MalformedPacket, read_length

_RESPONSE_TOPIC, _CORRELATION = 0x08, 0x09
_STRINGS = frozenset({0x03, _RESPONSE_TOPIC, _CORRELATION})  # 0x03: content type
_USER_PROPERTY = 0x26  # a name and a value
_SUBSCRIPTION_ID = 0x0B
_NUMBERS = {0x01: 1, 0x02: 4, 0x23: 2}  # payload format, expiry, topic alias


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH packet."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    """0 at QoS 0."""
    oversized: int
    """Bytes of the payload that were dropped: all of it or none."""
    response_topic: str | None
    correlation: bytes | None


def parse_publish(packet: bytes, *, v5: bool) -> Publish:
    """Take a packet apart; raises `MalformedPacket`.

    A packet may end where its payload should begin, as the `Splitter` cuts oversized ones.
    """
    qos = packet[0] >> 1 & 3
    if qos == 3:
        raise MalformedPacket("a PUBLISH of QoS 3")
    size, at = read_length(packet, 1)
    end = at + size
    name, at = _string(packet, at)
    if not name:  # an alias: we have offered to remember none
        raise MalformedPacket("a PUBLISH without a topic")
    packet_id = 0
    if qos:
        packet_id, at = _number(packet, at)
        if not packet_id:
            raise MalformedPacket("a PUBLISH without a packet id")
    found: dict[int, bytes] = {}
    if v5:
        found, at = _properties(packet, at)
    response_topic = found.get(_RESPONSE_TOPIC)
    return Publish(
        topic=_text(name),
        payload=packet[at:],
        qos=qos,
        retain=bool(packet[0] & 1),
        packet_id=packet_id,
        oversized=end - len(packet),
        response_topic=None if response_topic is None else _text(response_topic),
        correlation=found.get(_CORRELATION),
    )


def payload_start(data: bytes | bytearray, start: int, at: int, size: int, *, v5: bool) -> int:
    """Where the payload of the PUBLISH at `start` begins; beyond `size` while that is not known.

    `at` is where its topic stands. Takes the same time however long topic and properties are.
    """
    if at + 2 > size:
        return size + 1
    at += 2 + int.from_bytes(data[at : at + 2], "big")
    if data[start] & 0x06:
        at += 2
    if not v5:
        return at
    shift = properties = 0
    while at < size:
        byte = data[at]
        at += 1
        properties |= (byte & 127) << shift
        if byte < 128:
            return at + properties
        shift += 7
        if shift > 21:
            raise MalformedPacket("properties with a length of more than four bytes")
    return size + 1


def _properties(packet: bytes, at: int) -> tuple[dict[int, bytes], int]:
    """The strings among the properties, by identifier, and where the properties end."""
    size, at = read_length(packet, at)
    end = at + size
    if end > len(packet):
        raise MalformedPacket("properties beyond the packet")
    section = packet[:end]
    found: dict[int, bytes] = {}
    while at < end:
        identifier = section[at]
        found[identifier], at = _property(identifier, section, at + 1)
    if at > end:
        raise MalformedPacket("a property beyond the properties")
    return found, end


def _property(identifier: int, section: bytes, at: int) -> tuple[bytes, int]:
    """The value, if it is a string, and where it ends."""
    if identifier in _STRINGS:
        return _string(section, at)
    if identifier == _USER_PROPERTY:
        _, at = _string(section, at)
        return _string(section, at)
    if identifier == _SUBSCRIPTION_ID:
        return b"", read_length(section, at)[1]
    if identifier in _NUMBERS:
        return b"", at + _NUMBERS[identifier]
    raise MalformedPacket(f"a PUBLISH with the property {identifier}")


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(data, at)
    if at + size > len(data):
        raise MalformedPacket("a string beyond the packet")
    return data[at : at + size], at + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    if at + 2 > len(data):
        raise MalformedPacket("the packet ends too early")
    return data[at] << 8 | data[at + 1], at + 2


def _text(raw: bytes) -> str:
    # Some brokers pass on what is no UTF-8. To hang up, as the standard says, would let whoever
    # sent it keep a persistent session away for ever: it gets the same message again.
    return raw.decode("utf-8", "backslashreplace")
