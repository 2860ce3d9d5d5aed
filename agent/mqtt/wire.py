"""The packets of the hot path, as bytes: PUBLISH at QoS 1, its answers, PING.

paho speaks the rest of MQTT. Through paho one acknowledged publish costs several times the
CPU (figures in docs/architecture.md), since it builds a message, a condition variable, two
log records and, for the PUBACK, MQTT 5 property tables.
"""

from __future__ import annotations

CONNACK = 0x20
PUBLISH = 0x30
PUBACK = 0x40
PUBREC = 0x50
PUBREL = 0x60
PUBCOMP = 0x70
SUBACK = 0x90
PINGRESP = 0xD0
DISCONNECT = 0xE0
PINGREQ_PACKET = b"\xc0\x00"
REMAINING_LIMIT = 268_435_455

NO_PROPERTIES = b"\x00"
"""Of a PUBLISH on MQTT 5."""

_PUBLISH_QOS1 = 0x32
_EXPIRY, _CORRELATION = 0x02, 0x09


class MalformedPacket(ValueError):
    """The peer sent what is no MQTT, or more than it may."""


def publish_head(
    topic: str, payload_size: int, mid: int, *, retain: bool, properties: bytes
) -> bytes:
    """Everything of a QoS 1 PUBLISH that stands before its payload.

    `properties` are `NO_PROPERTIES` or those of `publish_properties` on MQTT 5, and nothing at
    all on 3.1.1. Raises ValueError for what is no topic: the broker would end the connection for
    it, again and again, since the message would be sent again.
    """
    name = topic.encode()
    if not 0 < len(name) < 65_536 or b"+" in name or b"#" in name or b"\0" in name:
        raise ValueError(f"no topic to publish to: {topic[:80]!r}")
    remaining = 4 + len(name) + payload_size + len(properties)
    head = bytearray((_PUBLISH_QOS1 | retain,))
    # Not by `_length`: the call would cost a tenth of all this.
    while remaining > 127:
        head.append(remaining & 127 | 128)
        remaining >>= 7
    head.append(remaining)
    head += len(name).to_bytes(2, "big")
    head += name
    head += mid.to_bytes(2, "big")
    head += properties
    return bytes(head)


def publish_properties(expiry_s: int | None, correlation: bytes | None) -> bytes:
    """Message Expiry Interval and Correlation Data, where they are given, behind their length.

    Raises ValueError for what MQTT has no room for.
    """
    body = bytearray()
    if expiry_s is not None:
        if not 0 <= expiry_s < 1 << 32:
            raise ValueError(f"no message expiry: {expiry_s} s")
        body.append(_EXPIRY)
        body += expiry_s.to_bytes(4, "big")
    if correlation is not None:
        if len(correlation) > 65_535:
            raise ValueError(f"correlation data of {len(correlation)} bytes")
        body.append(_CORRELATION)
        body += len(correlation).to_bytes(2, "big")
        body += correlation
    return _length(len(body)) + bytes(body)


def _length(size: int) -> bytes:
    encoded = bytearray()
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def read_length(packet: bytes, at: int) -> tuple[int, int]:
    """The length that stands at `at`, and where it ends."""
    length = shift = 0
    for end in range(at, min(at + 4, len(packet))):
        byte = packet[end]
        length |= (byte & 127) << shift
        if byte < 128:
            return length, end + 1
        shift += 7
    raise MalformedPacket("a length without end")


def short_packet(kind: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC or PUBCOMP that says success."""
    return bytes((kind, 2, packet_id >> 8, packet_id & 255))


def parse_puback(packet: bytes) -> tuple[int, int]:
    """Packet id and reason code (128 and above: refused; absent means success).

    PUBREL is laid out alike.
    """
    if len(packet) == 4:  # what brokers send in practice
        return packet[2] << 8 | packet[3], 0
    body = packet[read_length(packet, 1)[1] :]
    if len(body) < 2:
        raise MalformedPacket("PUBACK without a packet id")
    return body[0] << 8 | body[1], body[2] if len(body) > 2 else 0
