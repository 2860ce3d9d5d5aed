"""Brings the broker's messages to the owner, and their acknowledgements to the broker."""

from __future__ import annotations

from collections.abc import Callable

from agent.mqtt.acknowledgements import Acknowledgement, Acknowledgements
from agent.mqtt.events import Events, Message, Stats
from agent.mqtt.failure import Cause
from agent.mqtt.pipe import Pipe
from agent.mqtt.publish import Publish, parse_publish
from agent.mqtt.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, parse_puback, short_packet

ANSWERS_LIMIT = 2 * 65_535
"""Answers that a broker may let wait without taking all we have for it: every packet id has one
PUBACK, or PUBREC and PUBCOMP, and is not used again before that has arrived."""


class Inbound:
    """The incoming half of one connection.

    A message of QoS 2 is handed on when it comes, and PUBREC is its acknowledgement: the broker
    brings it again until then, and what is kept is safe. We ask for QoS 1, but there are brokers
    that grant more than is asked.
    """

    def __init__(
        self,
        pipe: Pipe,
        events: Events,
        stats: Stats,
        *,
        fail: Callable[[Cause, str], None],
        on_error: Callable[[str, Exception], None],
        v5: bool,
    ) -> None:
        self._pipe = pipe
        self._events = events
        self._stats = stats
        self._fail = fail
        self._on_error = on_error
        self._v5 = v5
        self._answers = 0
        self._acknowledgements = Acknowledgements(self._answer)

    def hear(self, packet: bytes) -> None:
        """A PUBLISH or a PUBREL; raises `MalformedPacket`."""
        if packet[0] & 0xF0 == PUBLISH:
            self._take(parse_publish(packet, v5=self._v5))
        else:
            packet_id, _ = parse_puback(packet)
            self._answer(short_packet(PUBCOMP, packet_id))

    def close(self) -> None:
        """The connection is over: nothing that is acknowledged from now on reaches the broker."""
        self._acknowledgements.close()

    def _take(self, publish: Publish) -> None:
        if not publish.qos:
            self._hand_on(publish, None)
            return
        kind = PUBACK if publish.qos == 1 else PUBREC
        due = self._acknowledgements.owe(kind, publish.packet_id)
        if due is None:  # brokers of 3.1.1 may repeat what is not acknowledged in time
            return
        self._hand_on(publish, due)
        if not due.kept:
            due.give()

    def _hand_on(self, publish: Publish, due: Acknowledgement | None) -> None:
        self._stats.received += 1
        message = Message(
            topic=publish.topic,
            payload=publish.payload,
            qos=publish.qos,
            retain=publish.retain,
            response_topic=publish.response_topic,
            correlation=publish.correlation,
            oversized=publish.oversized,
            acknowledgement=due,
        )
        try:
            self._events.on_message(message)
        except Exception as error:  # the owner's fault must not end the session
            self._on_error("on_message", error)

    def _answer(self, packet: bytes) -> None:
        if not self._pipe.blocked:
            self._answers = 0
        self._answers += 1
        if self._answers <= ANSWERS_LIMIT:
            self._pipe.write(packet)
        else:
            self._fail(Cause.PROTOCOL, "the broker sends on and on, and takes no answer")
