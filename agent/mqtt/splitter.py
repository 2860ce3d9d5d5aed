"""Cuts a stream of bytes into packets; of a message above the limit the payload is left out. Pure.

To hang up upon such a message would not end it: the broker of a persistent session sends it
again on every connection.
"""

from __future__ import annotations

from agent.mqtt.publish import payload_start
from agent.mqtt.wire import PUBLISH, MalformedPacket


class Splitter:
    """One direction of one connection. It never holds more than a packet of `limit` bytes."""

    def __init__(self, limit: int, *, v5: bool) -> None:
        self._limit = limit
        self._v5 = v5
        self._rest = bytearray()
        self._surplus = 0
        """Bytes of the payload at hand that are still to be left out."""
        self._head = b""
        """The packet that they belong to."""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes.

        Of a PUBLISH above the limit all but its payload, when that has passed; anything else
        above it is malformed.
        """
        packets: list[bytes] = []
        if self._surplus:
            data = data[self._pass_over(0, len(data), packets) :]
        rest = self._rest
        if rest:
            rest += data
            data = bytes(rest) if self._end_of_packet(rest, 0, len(rest)) <= len(rest) else b""
        start, size = 0, len(data)
        while (stop := self._end_of_packet(data, start, size)) <= size:
            if self._surplus:
                self._head = data[start:stop]
                start = self._pass_over(stop, size, packets)
            else:
                packets.append(data[start:stop])
                start = stop
        if data:
            self._rest = bytearray(data[start:])
        return packets

    def _pass_over(self, start: int, size: int, packets: list[bytes]) -> int:
        """Where the payload ends that goes on at `start`, or the data before it."""
        stop = min(start + self._surplus, size)
        self._surplus -= stop - start
        if not self._surplus:
            packets.append(self._head)
            self._head = b""
        return stop

    def _end_of_packet(self, data: bytes | bytearray, start: int, size: int) -> int:
        """Where the packet at `start` ends, or its part that counts; beyond `size` if unknown."""
        remaining = shift = 0
        at = start + 1
        while at < size:
            byte = data[at]
            remaining |= (byte & 127) << shift
            at += 1
            if byte < 128:
                if at - start + remaining > self._limit:
                    return self._end_of_head(data, start, at, remaining)
                return at + remaining
            shift += 7
            if shift > 21:
                raise MalformedPacket("a length of more than four bytes")
        return size + 1

    def _end_of_head(self, data: bytes | bytearray, start: int, at: int, remaining: int) -> int:
        """Where the payload of a PUBLISH above the limit begins: sets `_surplus` if it is there."""
        if data[start] & 0xF0 != PUBLISH:
            raise MalformedPacket(f"a packet of {remaining} bytes")
        end, size = at + remaining, len(data)
        stop = payload_start(data, start, at, size, v5=self._v5)
        if stop - start > self._limit:  # the packet's end lies beyond the limit as well
            raise MalformedPacket(
                f"a message of {remaining} bytes, {stop - start} before its payload"
            )
        if stop <= size:
            self._surplus = end - stop
        return stop
