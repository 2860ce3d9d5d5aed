"""The connection of a sender: puts a command on the broker, and hears what becomes of it."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.config.schema import Mqtt
from agent.errors import AgentError
from agent.mqtt.secrets import load

INBOUND_LIMIT = 1 << 20
_WRONG_VERSION = 0x84
_REFUSED = 0x80
_MOST_WAITING = 1000
"""Messages that were heard and not looked at; then the broker waits."""
_RECONNECT_S = (1, 15)


class Heard(NamedTuple):
    """A message."""

    topic: str
    payload: bytes


class _Problem(NamedTuple):
    words: str
    doubts_version: bool = False


class Line:
    """One connection, in a context; paho keeps it up in a thread of its own."""

    def __init__(self, mqtt: Mqtt, filters: Sequence[str]) -> None:
        self._mqtt = mqtt
        self._filters = [(name, 1) for name in filters]
        self._secrets = load(mqtt)
        self._heard: queue.Queue[Heard] = queue.Queue(_MOST_WAITING)
        self._changed = threading.Condition()
        self._codes: dict[int, int] = {}
        self._connected = False
        self._subscribed = False
        self._closing = False
        self._problem: _Problem | None = None
        self._v5 = mqtt.version == "5"
        self._client = self._new_client()

    def __enter__(self) -> Line:
        """Connect and subscribe; raises `AgentError`."""
        problem = self._attempt()
        if problem is not None and problem.doubts_version and self._v5:
            self._v5 = False
            problem = self._attempt()
        if problem is not None:
            raise AgentError(f"{self._place}: {problem.words}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def publish(self, topic: str, payload: bytes, expiry_s: float) -> int:
        """Publish at QoS 1, never retained; its number. Harmless while there is no connection."""
        wishes = None
        if self._v5:
            wishes = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            wishes.MessageExpiryInterval = min(max(1, int(expiry_s)), 0xFFFF_FFFF)
        return self._client.publish(topic, payload, qos=1, retain=False, properties=wishes).mid

    def delivered(self, number: int, timeout_s: float) -> None:
        """Wait until the broker has a message; raises `AgentError` where it does not take it."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._codes, timeout_s)
            code = self._codes.get(number)
        if code is None:
            said = f" ({self._problem.words})" if self._problem else ""
            raise AgentError(
                f"{self._place}: nothing acknowledged within {timeout_s:g} s{said}: "
                "whether the command has gone out is not known"
            )
        if code >= _REFUSED:
            raise AgentError(f"{self._place}: the broker does not take the command: {_named(code)}")

    def hear(self, timeout_s: float) -> Heard | None:
        """The next message; None where none comes in time."""
        with contextlib.suppress(queue.Empty):
            return self._heard.get(timeout=max(0.0, timeout_s))
        return None

    # --- the connection ------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"broker {self._mqtt.host}:{self._mqtt.port}"

    def _attempt(self) -> _Problem | None:
        """Connect in one version of MQTT; why not."""
        self._problem, self._connected, self._subscribed = None, False, False
        self._client = client = self._new_client()
        try:
            client.connect(self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s, **self._wishes)
        except OSError as error:  # of TLS too
            return _Problem(getattr(error, "verify_message", "") or error.strerror or str(error))
        client.loop_start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._subscribed or self._problem, self._mqtt.connect_timeout_s
            )
        if self._subscribed and self._problem is None:
            return None
        self._close()
        return self._problem or _Problem(f"no answer within {self._mqtt.connect_timeout_s:g} s")

    @property
    def _wishes(self) -> dict[str, Any]:
        if not self._v5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = INBOUND_LIMIT
        return {"properties": properties}

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"stoker-send-{secrets.token_hex(6)}",
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = self._mqtt.connect_timeout_s
        client.reconnect_delay_set(*_RECONNECT_S)
        if self._mqtt.username is not None:
            # Bytes pass through; only the annotation insists on text.
            client.username_pw_set(self._mqtt.username, self._secrets.password)  # type: ignore[arg-type]
        if self._secrets.tls is not None:
            client.tls_set_context(self._secrets.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _close(self) -> None:
        self._closing = True
        # first: with anything unacknowledged loop_stop() alone would wait for ever
        self._client.disconnect()
        self._client.loop_stop()
        self._closing = False

    # --- what paho says, in its thread -----------------------------------------------------------

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self._note(_Problem(f"refused: {reason}", reason.value == _WRONG_VERSION))
            return
        self._connected, self._problem = True, None
        if self._filters:
            client.subscribe(self._filters)
        else:
            self._is_ready()

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: Any, _more: Any
    ) -> None:
        if self._connected or self._problem is None:
            # A broker that knows no MQTT 5 may just hang up.
            self._note(_Problem(f"disconnected: {reason}", doubts_version=not self._connected))

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: Any, _more: Any
    ) -> None:
        refused = [
            name
            for (name, _), reason in zip(self._filters, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._note(_Problem(f"this user may not hear {', '.join(refused)}"))
        self._is_ready()

    def _is_ready(self) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: Any, _more: Any) -> None:
        with self._changed:
            self._codes[mid] = reason.value
            self._changed.notify_all()

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        while not self._closing:
            with contextlib.suppress(queue.Full):
                self._heard.put(Heard(message.topic, bytes(message.payload)), timeout=0.2)
                return

    def _note(self, problem: _Problem) -> None:
        with self._changed:
            if not self._closing:
                self._problem = problem
            self._changed.notify_all()


def _named(code: int) -> str:
    words = {0x87: "not authorized: this user has no right to write there", 0x97: "quota exceeded"}
    return words.get(code, f"reason code {code:#x}")
