"""One MQTT session, kept up for ever: connect, serve, wait, connect again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

from agent.clock import SystemClock
from agent.mqtt.backoff import Backoff
from agent.mqtt.codec import Accepted
from agent.mqtt.dial import dial
from agent.mqtt.events import Events, Outcome, Stats
from agent.mqtt.failure import SLOW, Cause, LinkLost
from agent.mqtt.link import Link, Owner
from agent.mqtt.secrets import load
from agent.mqtt.settings import SessionSettings
from agent.mqtt.topics import check_filter
from agent.mqtt.wire import publish_properties

STABLE_S = 30.0
"""A connection that lived this long ends well enough to begin again with short delays."""


class Session:
    """A supervised connection to the broker.

    publish() hands over one QoS 1 message and remembers only its token: what the broker has
    not acknowledged when the connection ends goes back to the owner through on_disconnect.
    """

    def __init__(
        self,
        settings: SessionSettings,
        events: Events,
        *,
        clock: SystemClock,
        rng: random.Random,
        log: logging.Logger | None = None,
    ) -> None:
        self.stats = Stats()
        self._settings = settings
        self._events = events
        self._clock = clock
        self._log = log or logging.getLogger("stoker.mqtt")
        self._owner = Owner(
            settings=settings,
            events=events,
            stats=self.stats,
            clock=clock,
            on_up=self._up,
            on_error=self._on_error,
        )
        mqtt = settings.mqtt
        self._backoff = Backoff(mqtt.reconnect_min_s, mqtt.reconnect_max_s, rng)
        self._filters: dict[str, None] = {}
        self._link: Link | None = None
        self._speaks_v5 = mqtt.version == "5"
        self._doubts_v5 = False
        self._complained: set[str] = set()

    @property
    def connected(self) -> bool:
        """Whether a publish may succeed now."""
        return self._link is not None and self._link.up

    @property
    def speaks_v5(self) -> bool:
        """Whether this connection, or else the next one, speaks MQTT 5."""
        return self._speaks_v5 if self._link is None else self._link.v5

    @property
    def window(self) -> int:
        """How many messages may be handed over now."""
        return 0 if self._link is None else self._link.room

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> Outcome:
        """Hand over one QoS 1 message; true when it was taken.

        The token, which must not be negative, comes back exactly once: through on_puback,
        on_refused or on_disconnect. On MQTT 5 the broker forgets the message after `expiry_s`,
        and whoever gets it gets `correlation` with it; on 3.1.1 both are left out. Raises
        ValueError for a topic that is none, and where MQTT has no room for these two.
        """
        link = self._link
        if link is None:
            return Outcome.OFFLINE
        if expiry_s is None and correlation is None:
            return link.publish(topic, payload, retain=retain, token=token)
        properties = publish_properties(expiry_s, correlation)
        return link.publish(topic, payload, retain=retain, token=token, properties=properties)

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe at QoS 1, now and on every connection to come; ValueError for a bad filter."""
        new = [check_filter(name) for name in filters if name not in self._filters]
        self._filters.update(dict.fromkeys(new))
        if new and self._link is not None and self._link.up:
            self._link.subscribe(new)

    async def run(self) -> None:
        """Stay connected until cancelled; then say farewell and disconnect."""
        try:
            while True:
                lost = await self._connection()
                await asyncio.sleep(self._backoff.next_s(slow=lost.cause in SLOW))
        finally:
            await self._part()

    async def _connection(self) -> LinkLost:
        """One attempt, and the connection that it becomes; why it ended."""
        v5 = self._speaks_v5 and not self._doubts_v5
        try:
            link = await self._open(v5=v5)
            self._doubts_v5 = False
            lost = await link.serve()
        except LinkLost as failure:
            self._learn_version(failure, v5=v5)
            lost = failure
        except Exception as error:  # a fault of ours must not end the session
            if Cause.INTERNAL not in self._complained:
                self._log.exception("the connection failed on our side")
            lost = LinkLost(Cause.INTERNAL, f"{type(error).__name__}: {error}")
        self._settle(lost)
        return lost

    def _settle(self, lost: LinkLost) -> None:
        link, self._link = self._link, None
        self._complain(lost, was_up=link is not None)
        if link is None:
            return
        if self._clock.monotonic() - (self.stats.connected_at or 0.0) >= STABLE_S:
            self._backoff.reset()
        self._give_back(link, lost)

    async def _open(self, *, v5: bool) -> Link:
        self.stats.attempts += 1
        mqtt = self._settings.mqtt
        secrets = await asyncio.to_thread(load, mqtt)
        sock = await dial(mqtt.host, mqtt.port, secrets.tls, mqtt.connect_timeout_s)
        try:
            link = Link(sock, self._owner, v5=v5, password=secrets.password)
        except BaseException:  # the owner's `will` may raise anything
            sock.close()
            raise
        try:
            await link.open()
        except BaseException:
            if not link.up:
                link.close()
            raise
        return link

    def _up(self, link: Link, granted: Accepted) -> None:
        self._link = link
        self.stats.connects += 1
        self.stats.connected_at = self._clock.monotonic()
        self._complained.clear()
        self._log.info(
            "connected to %s:%d (MQTT %s, %s session)",
            self._settings.mqtt.host,
            self._settings.mqtt.port,
            "5" if link.v5 else "3.1.1",
            "resumed" if granted.session_present else "new",
        )
        # Also on a resumed session: a broker that lost it after all leaves us deaf.
        if self._filters:
            link.subscribe(list(self._filters))
        self._call("on_connect", self._events.on_connect)

    def _give_back(self, link: Link, lost: LinkLost) -> None:
        link.close()
        tokens = link.take_unacknowledged()
        self._call("on_disconnect", self._events.on_disconnect, lost, tokens)

    async def _part(self) -> None:
        link, self._link = self._link, None  # nobody publishes after the farewell
        if link is None:
            return
        try:
            farewell = self._settings.farewell
            await link.part(None if farewell is None else farewell())
        except Exception as error:
            self._on_error("farewell", error)
        finally:
            self._give_back(link, LinkLost(Cause.STOPPED, "stopped"))
            self._log.info("disconnected from %s", self._settings.mqtt.host)

    def _learn_version(self, failure: LinkLost, *, v5: bool) -> None:
        """Fall back to 3.1.1: for good where the broker says so, for one try where it hangs up."""
        if v5 and failure.cause is Cause.VERSION:
            self._speaks_v5 = False
        self._doubts_v5 = v5 and failure.cause in {Cause.CLOSED, Cause.PROTOCOL}

    def _complain(self, lost: LinkLost, *, was_up: bool) -> None:
        """Count every failure; say each kind once per outage."""
        self.stats.failures[lost.cause] += 1
        level = logging.DEBUG if lost.cause in self._complained else logging.WARNING
        self._complained.add(lost.cause)
        what = "lost the connection" if was_up else "no connection"
        self._log.log(level, "%s to %s: %s", what, self._settings.mqtt.host, lost)

    def _call(self, name: str, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(*args)
        except Exception as error:  # the owner's fault must not end the session
            self._on_error(name, error)

    def _on_error(self, name: str, error: Exception) -> None:
        """Count every error of the owner's callbacks; say each callback's first per connection."""
        self.stats.callback_errors += 1
        level = logging.DEBUG if name in self._complained else logging.ERROR
        self._complained.add(name)
        self._log.log(level, "%s: %s", name, error, exc_info=error)
