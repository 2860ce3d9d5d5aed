"""paho, reduced to what it does best: everything of MQTT but messages.

A fresh client per connection, without thread, reconnect or keepalive of its own; it reads
and writes the memory of a `Pipe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt.failure import Cause
from agent.mqtt.pipe import Pipe
from agent.mqtt.settings import SessionSettings
from agent.mqtt.wire import REMAINING_LIMIT

PACKET_LIMIT = 16 << 20
"""The largest packet that we ask for on MQTT 5. A larger one the broker keeps from us, and nobody
is told: whoever sends a few megabytes by mistake shall hear from us that it was too much, and no
more than that shall cross a poor link. 3.1.1 knows no limit."""

_REFUSALS = {
    0x84: Cause.VERSION,
    0x86: Cause.DENIED,  # bad user name or password
    0x87: Cause.DENIED,  # not authorized
    0x8A: Cause.DENIED,  # banned
    0x8C: Cause.DENIED,  # bad authentication method
    0x8E: Cause.TAKEN_OVER,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a CONNACK grants."""

    session_present: bool = False
    receive_maximum: int = 65_535
    maximum_packet_size: int = REMAINING_LIMIT
    keepalive_s: int | None = None
    """The broker's own wish, which overrides ours."""
    maximum_qos: int = 2


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears what the broker says; called from within `Codec.read`."""

    accepted: Callable[[Accepted], None]
    over: Callable[[Cause, str], None]
    filters_refused: Callable[[Sequence[str]], None]


class _Client(Client):
    """paho over a socket that is already connected."""

    def __init__(self, pipe: Pipe, **options: Any) -> None:
        self._pipe = pipe
        super().__init__(CallbackAPIVersion.VERSION2, **options)

    def _create_socket(self) -> Any:
        """The door paho has for its own transports; a test holds that it is still there."""
        return self._pipe


class Codec:
    """One MQTT connection's words, both ways."""

    def __init__(
        self,
        pipe: Pipe,
        settings: SessionSettings,
        listener: Listener,
        *,
        v5: bool,
        password: bytes | None,
    ) -> None:
        self._pipe = pipe
        self._settings = settings
        self._listener = listener
        self._v5 = v5
        self._client = self._new_client(password)
        self._filters: dict[int, Sequence[str]] = {}

    def connect(self) -> None:
        """Send CONNECT."""
        mqtt = self._settings.mqtt
        if not self._v5:
            self._client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s)
            return
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wishes.SessionExpiryInterval = (
            0 if self._settings.clean else self._settings.session_expiry_s
        )
        wishes.MaximumPacketSize = max(PACKET_LIMIT, self._settings.inbound_limit)
        self._client.connect(
            mqtt.host,
            mqtt.port,
            mqtt.keepalive_s,
            clean_start=self._settings.clean,
            properties=wishes,
        )

    def subscribe(self, filters: Sequence[str]) -> None:
        """Send SUBSCRIBE at QoS 1; on MQTT 5 a live message keeps its retain flag as published."""
        # 3.1.1 clears the flag of what it passes on live: there it only marks what was stored.
        wish: Any = SubscribeOptions(qos=1, retainAsPublished=True) if self._v5 else 1
        code, mid = self._client.subscribe([(name, wish) for name in filters])
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            self._filters[mid] = filters

    def disconnect(self) -> None:
        """Send DISCONNECT, which keeps the broker from sending the Will, and close."""
        self._client.disconnect()

    def read(self) -> None:
        """Work through the pipe's inbox; may raise whatever paho's parsers raise."""
        while self._pipe.inbox and not self._pipe.closed:
            self._client.loop_read()

    def _new_client(self, password: bytes | None) -> _Client:
        mqtt = self._settings.mqtt
        client = _Client(
            self._pipe,
            client_id=self._settings.client_id,
            clean_session=None if self._v5 else self._settings.clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        if mqtt.username is not None or password is not None:
            # Bytes pass through; only the annotation insists on text.
            client.username_pw_set(mqtt.username or "", password)  # type: ignore[arg-type]
        if self._settings.will is not None:
            will = self._settings.will()
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_socket_register_write = self._on_register_write
        return client

    # paho's callbacks. It holds a lock meanwhile, and closing through paho would wait for
    # that same lock for ever: what has to be closed is closed through the pipe.

    def _on_register_write(self, *_: Any) -> None:
        # At once, into memory: what the owner publishes next then follows in order.
        self._client.loop_write()

    def _on_connect(
        self,
        _client: Client,
        _userdata: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            cause = _REFUSALS.get(reason.value, Cause.REFUSED)
            hint = "; check user name, password and rights" if cause is Cause.DENIED else ""
            self._listener.over(cause, _said(reason, properties) + hint)
            return
        self._listener.accepted(_granted(flags, properties))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            cause = _REFUSALS.get(reason.value, Cause.CLOSED)
            self._listener.over(cause, f"the broker says: {_said(reason, properties)}")
        else:
            self._listener.over(Cause.PROTOCOL, _said(reason, properties))

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: Any,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        filters = self._filters.pop(mid, ())
        refused = [
            name for name, reason in zip(filters, reasons, strict=False) if reason.is_failure
        ]
        if refused:
            self._listener.filters_refused(refused)


def _granted(flags: ConnectFlags, properties: Properties | None) -> Accepted:
    return Accepted(
        session_present=flags.session_present,
        receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
        maximum_packet_size=getattr(properties, "MaximumPacketSize", REMAINING_LIMIT),
        keepalive_s=getattr(properties, "ServerKeepAlive", None),
        maximum_qos=getattr(properties, "MaximumQoS", 2),
    )


def _said(reason: ReasonCode, properties: Properties | None) -> str:
    words = getattr(properties, "ReasonString", None)
    return f"{reason} ({words})" if words else str(reason)
