"""Nodes that stand in for real ones: they check commands as these do, and answer as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt.topics import Topics
from agent.remote.claims import Claims
from agent.remote.envelope import digest_of, parse, read_claims
from agent.remote.messages import CommandState, DeviceResult, ResultPage, State

SITE = "north"


def key_file(path: Path) -> Ed25519PrivateKey:
    """A new key, and its file."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return key


class Received:
    """A command as it arrived."""

    def __init__(self, message: MQTTMessage, key: Ed25519PrivateKey) -> None:
        self.topic = message.topic
        self.payload = bytes(message.payload)
        self.retain = message.retain
        self.qos = message.qos
        self.expiry_s: int | None = getattr(message.properties, "MessageExpiryInterval", None)
        self.response_topic: str | None = getattr(message.properties, "ResponseTopic", None)
        envelope = parse(self.payload)
        key.public_key().verify(envelope.signature, envelope.signing_input)
        self.key_id = envelope.key_id
        self.claims: Claims = read_claims(envelope)

    @property
    def digest(self) -> str:
        return digest_of(self.payload)


class StandIn:
    """One node. `answer` is called in a thread with each command, and may publish."""

    def __init__(
        self,
        port: int,
        name: str,
        key: Ed25519PrivateKey,
        answer: Callable[[StandIn, Received], None],
        *,
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.name = name
        self.topics = Topics(SITE, name)
        self.received: list[Received] = []
        self.trouble: list[Exception] = []
        self._key = key
        self._answer = answer
        self._ready = threading.Event()
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> StandIn:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        assert not self.trouble

    def status(self, state: str) -> None:
        """Say that it is there, or not."""
        payload = msgspec.json.encode({"state": state, "node": self.name})
        self._client.publish(self.topics.node_status, payload, qos=1, retain=True).wait_for_publish(
            5
        )

    def tell(self, command: Received, state: State, seq: int, **more: Any) -> None:
        """Publish a state."""
        facts = {"words": "", "at": datetime.now(UTC), **more}
        said = CommandState(
            id=command.claims.jti,
            node=self.name,
            state=state,
            seq=seq,
            digest=command.digest,
            **facts,
        )
        topic = self.topics.command_state(command.claims.jti)
        self._client.publish(topic, msgspec.json.encode(said), qos=1, retain=True)

    def show(self, command: Received, page: int, *results: DeviceResult) -> None:
        """Publish a page of results."""
        shown = ResultPage(id=command.claims.jti, node=self.name, page=page, results=results)
        topic = self.topics.command_results(command.claims.jti, page)
        self._client.publish(topic, msgspec.json.encode(shown), qos=1, retain=True)

    def _on_connect(self, *_: Any) -> None:
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        if self._client.protocol is MQTTProtocolVersion.MQTTv5:
            self._client.subscribe([(topic, options) for topic in self.topics.commands])
        else:
            self._client.subscribe([(topic, 1) for topic in self.topics.commands])

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            command = Received(message, self._key)
            self.received.append(command)
            self._answer(self, command)
        except Exception as error:  # raised again where the test can see it
            self.trouble.append(error)


@contextmanager
def nodes(
    port: int,
    key: Ed25519PrivateKey,
    answers: dict[str, Callable[[StandIn, Received], None]],
) -> Iterator[dict[str, StandIn]]:
    """Nodes that are online."""
    found = {name: StandIn(port, name, key, answer) for name, answer in answers.items()}
    entered: list[StandIn] = []
    try:
        for node in found.values():
            entered.append(node.__enter__())
            node.status("online")
        yield found
    finally:
        for node in entered:
            node.__exit__()
