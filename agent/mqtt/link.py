"""One connection to the broker, over one paho client that lives and dies with it.

paho never sends anything a second time: its backlog would ignore the window after a
reconnect (paho.mqtt.python#492), and what is unacknowledged belongs to the caller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.clock import SystemClock
from agent.mqtt.codec import Accepted, Codec, Listener
from agent.mqtt.events import Events, Outcome, Stats
from agent.mqtt.failure import Cause, LinkLost
from agent.mqtt.inbound import Inbound
from agent.mqtt.pipe import Pipe
from agent.mqtt.settings import SessionSettings, Statement
from agent.mqtt.splitter import Splitter
from agent.mqtt.watch import Watch
from agent.mqtt.wire import (
    CONNACK,
    DISCONNECT,
    NO_PROPERTIES,
    PINGREQ_PACKET,
    PINGRESP,
    PUBACK,
    PUBLISH,
    PUBREL,
    REMAINING_LIMIT,
    SUBACK,
    MalformedPacket,
    parse_puback,
    publish_head,
)

FIRST_MID = 1024
"""Packet ids below are paho's, which counts its subscriptions up from 1."""
LAST_MID = 65_535
FAREWELL = -1
"""The token of the session's own last message."""

_MESSAGES = frozenset({PUBLISH, PUBREL})
_FOR_PAHO = frozenset({CONNACK, SUBACK, DISCONNECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What a link needs of the session it belongs to."""

    settings: SessionSettings
    events: Events
    stats: Stats
    clock: SystemClock
    on_up: Callable[[Link, Accepted], None]
    """Called inside the CONNACK, before any message of the broker."""
    on_error: Callable[[str, Exception], None]
    """An error that does not end the connection, and where it came from."""


class Link:
    """CONNECT, then publish until `lost` is done."""

    def __init__(
        self, sock: socket.socket, owner: Owner, *, v5: bool, password: bytes | None
    ) -> None:
        settings, stats = owner.settings, owner.stats
        loop = asyncio.get_running_loop()
        self.v5 = v5
        self.up = False
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[LinkLost] = loop.create_future()
        self._settings = settings
        self._events = owner.events
        self._stats = stats
        self._clock = owner.clock
        self._on_up = owner.on_up
        self._on_error = owner.on_error
        self._unacknowledged: dict[int, int] = {}  # packet id to token, oldest first
        self._window = settings.mqtt.inflight
        self._packet_limit = REMAINING_LIMIT
        self._mid = FIRST_MID
        self._no_properties = NO_PROPERTIES if v5 else b""
        self._farewell: Statement | None = None
        self._said: asyncio.Future[None] = loop.create_future()
        self._splitter = Splitter(settings.inbound_limit, v5=v5)
        self._pipe = Pipe(sock, stats, self._on_data, self._on_end)
        self._inbound = Inbound(
            self._pipe, owner.events, stats, fail=self.fail, on_error=owner.on_error, v5=v5
        )
        listener = Listener(self._on_accepted, self.fail, self._on_filters_refused)
        self._codec = Codec(self._pipe, settings, listener, v5=v5, password=password)
        self._watch = Watch(settings.mqtt.keepalive_s, self._clock.monotonic())

    # The hot path.

    @property
    def room(self) -> int:
        """How many more messages may be handed over now."""
        return max(0, self._window - len(self._unacknowledged)) if self.up else 0

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool,
        token: int,
        properties: bytes | None = None,
    ) -> Outcome:
        """Queue one QoS 1 message for the next flush; 3.1.1 has no properties."""
        waiting = self._unacknowledged
        if not self.up:
            return Outcome.OFFLINE
        if len(waiting) >= self._window:
            return Outcome.FULL
        mid = self._mid
        while mid in waiting:
            mid = mid + 1 if mid < LAST_MID else FIRST_MID
        if properties is None or not self.v5:
            properties = self._no_properties
        head = publish_head(topic, len(payload), mid, retain=retain, properties=properties)
        if len(head) + len(payload) > self._packet_limit:
            self._stats.too_large += 1
            return Outcome.TOO_LARGE
        self._mid = mid + 1 if mid < LAST_MID else FIRST_MID
        waiting[mid] = token
        self._stats.published += 1
        self._pipe.write(head)
        self._pipe.write(payload)
        return Outcome.SENT

    def _on_data(self, data: bytes) -> None:
        try:
            for packet in self._splitter.feed(data):
                if packet[0] == PUBACK:
                    self._acknowledge(packet)
                else:
                    self._hear(packet)
        except Exception as error:  # whatever a hostile broker makes the parsers raise
            self.fail(Cause.PROTOCOL, f"{type(error).__name__}: {error}")

    def _hear(self, packet: bytes) -> None:
        kind = packet[0] & 0xF0
        if kind in _MESSAGES:
            if self.up:  # not before the CONNACK, nor after something that ended the connection
                self._inbound.hear(packet)
        elif kind in _FOR_PAHO:
            self._pipe.inbox += packet
            self._codec.read()
        elif kind != PINGRESP:  # paho would answer a PINGREQ, and a flood of them as well
            raise MalformedPacket(f"a packet of type {kind >> 4}, which no broker sends to us")

    def _acknowledge(self, packet: bytes) -> None:
        mid, reason = parse_puback(packet)
        token = self._unacknowledged.pop(mid, None)
        if token is None:
            self._stats.stray_acknowledgements += 1
            return
        self._stats.acknowledged += 1
        if self._farewell is not None:
            self._publish_farewell()
        try:
            if token == FAREWELL:
                self._said.set_result(None)
            elif reason < 128:
                self._events.on_puback(token)
            else:
                self._stats.refused += 1
                self._events.on_refused(token, reason)
        except Exception as error:  # the owner's fault must not end the session
            self._on_error("on_puback", error)

    # The life of the connection.

    async def open(self) -> None:
        """CONNECT and wait for the CONNACK; raises `LinkLost`."""
        timeout_s = self._settings.mqtt.connect_timeout_s
        self._pipe.start()
        try:
            async with asyncio.timeout(timeout_s):
                self._codec.connect()
                await self.accepted
        except TimeoutError as error:
            if self.up:  # it came in the same turn of the loop
                return
            raise LinkLost(Cause.TIMEOUT, f"no CONNACK within {timeout_s:g} s") from error

    async def serve(self) -> LinkLost:
        """Watch over the connection until it is lost, and say why."""
        while not self.lost.done():
            await asyncio.wait({self.lost}, timeout=self._watch.look_every_s)
            self._look()
        return self.lost.result()

    def _look(self) -> None:
        now = self._clock.monotonic()
        oldest = next(iter(self._unacknowledged), None)
        blocked = self._pipe.blocked
        lost = self._watch.verdict(
            now, progress=self._pipe.progress, oldest=oldest, blocked=blocked
        )
        self._stats.progress_at = self._watch.progress_at
        if lost is not None:
            self.fail(lost.cause, lost.detail)
        elif self._watch.ping_due(now, blocked=blocked):
            self._pipe.write(PINGREQ_PACKET)

    def fail(self, cause: Cause, detail: str) -> None:
        """The connection is over, for this reason unless there was one before."""
        self.up = False
        self._inbound.close()
        if not self.lost.done():
            lost = LinkLost(cause, detail)
            self.lost.set_result(lost)
            if not self.accepted.done():
                self.accepted.set_exception(lost)
        self._pipe.close()

    def _on_end(self, error: OSError | None) -> None:
        if error is None:
            self.fail(Cause.CLOSED, "closed by the broker")
        else:
            self.fail(Cause.CLOSED, error.strerror or str(error))

    def take_unacknowledged(self) -> list[int]:
        """The tokens without a PUBACK, oldest first."""
        tokens = [token for token in self._unacknowledged.values() if token != FAREWELL]
        self._unacknowledged.clear()
        return tokens

    def close(self) -> None:
        """Let go of the socket without a word, so that the broker sends the Will."""
        self.fail(Cause.STOPPED, "stopped")

    async def part(self, farewell: Statement | None) -> None:
        """Say farewell, wait for its PUBACK within reason, DISCONNECT.

        Without the PUBACK there is no DISCONNECT either: the broker then sends the Will.
        """
        try:
            async with asyncio.timeout(self._settings.farewell_timeout_s):
                if farewell is None or await self._say(farewell):
                    self._codec.disconnect()
        except TimeoutError:
            pass
        finally:
            self.close()

    async def _say(self, farewell: Statement) -> bool:
        self._farewell = farewell
        self._publish_farewell()
        waits: set[asyncio.Future[Any]] = {self._said, self.lost}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return self._said.done()

    def _publish_farewell(self) -> None:
        """Where the window is full, the next PUBACK tries again."""
        last = self._farewell
        if last is not None and self.publish(last.topic, last.payload, retain=True, token=FAREWELL):
            self._farewell = None

    # What the broker says.

    def _on_accepted(self, granted: Accepted) -> None:
        if self.lost.done() or self.up:
            self.fail(Cause.PROTOCOL, "a second CONNACK")
            return
        if granted.maximum_qos < 1:
            self.fail(Cause.REFUSED, "the broker offers no QoS 1")
            return
        self._window = min(self._window, granted.receive_maximum)
        self._packet_limit = min(granted.maximum_packet_size, REMAINING_LIMIT)
        if granted.keepalive_s is not None:
            self._watch.adopt(granted.keepalive_s)
        self.up = True
        if not self.accepted.done():
            self.accepted.set_result(None)
        self._on_up(self, granted)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for these topics."""
        self._codec.subscribe(filters)

    def _on_filters_refused(self, filters: Sequence[str]) -> None:
        self._stats.subscriptions_refused += len(filters)
        self._on_error("subscribe", LinkLost(Cause.DENIED, ", ".join(filters)))
