"""Packets as a broker would send them; their properties are packed by paho."""

from __future__ import annotations

from paho.mqtt.properties import Properties


def packet(first: int, body: bytes) -> bytes:
    """A packet of this first byte."""
    return bytes((first,)) + length(len(body)) + body


def length(size: int) -> bytes:
    """A length of one to four bytes."""
    encoded = bytearray()
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def publish(
    topic: str,
    payload: bytes = b"",
    *,
    qos: int = 1,
    retain: bool = False,
    packet_id: int = 1,
    properties: Properties | None = None,
    v5: bool = True,
) -> bytes:
    """A PUBLISH."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name
    if qos:
        body += packet_id.to_bytes(2, "big")
    if v5:
        body += b"\0" if properties is None else properties.pack()
    return packet(0x30 | qos << 1 | retain, body + payload)
