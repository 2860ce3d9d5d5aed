"""What the broker is owed for the messages it brings, given in the order of their arrival.

MQTT 5 asks for that order (MQTT-4.6.0-2 and -3), and so does 3.1.1: an acknowledgement that has
to wait holds back those of all later messages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agent.mqtt.wire import short_packet


@dataclass(slots=True, eq=False)
class Acknowledgement:
    """The broker's due for one message."""

    packet: bytes
    queue: Acknowledgements
    kept: bool = False
    """Whether the owner will give it by itself."""
    given: bool = False

    def give(self) -> None:
        """Send it after those before it; a second time, or on a dead connection, nothing."""
        self.given = True
        self.queue.flush()


class Acknowledgements:
    """Those of one connection."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._owed: OrderedDict[int, Acknowledgement] = OrderedDict()
        """By packet id, so that a broker cannot make more of them than there are ids."""

    def owe(self, kind: int, packet_id: int) -> Acknowledgement | None:
        """A packet of this kind is due; None if one for this id is due already."""
        if packet_id in self._owed:
            return None
        due = self._owed[packet_id] = Acknowledgement(short_packet(kind, packet_id), self)
        return due

    def flush(self) -> None:
        """Send what has been given and waits for no other."""
        while self._owed:
            packet_id, oldest = next(iter(self._owed.items()))
            if not oldest.given:
                return
            del self._owed[packet_id]
            self._write(oldest.packet)

    def close(self) -> None:
        """The connection is over: the broker will bring again what it has no answer for."""
        self._owed.clear()
