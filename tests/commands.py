"""A sender of signed commands, as a central system would be: keys, JWTs, and what is answered."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections import defaultdict
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.harness import wait_until

ROOT = "stoker/v1/test"
FINAL = frozenset({"rejected", "succeeded", "partial", "failed", "timed_out", "cancelled"}) | {
    "interrupted"
}


class Signer:
    """A key pair with its id."""

    def __init__(self, key_id: str = "ops") -> None:
        self.key_id = key_id
        self.private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """As it stands in a configuration."""
        return base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw()).decode()

    def table(self, *lines: str, verbs: str = '"*"') -> str:
        """Its table in the key ring."""
        head = f'[[commands.key]]\nid = "{self.key_id}"\npublic_key = "{self.public}"\n'
        return head + f"verbs = [{verbs}]\n" + "".join(f"{line}\n" for line in lines)

    def sign(self, claims: dict[str, Any], **header: Any) -> bytes:
        """The JWT of these claims."""
        headers = {"kid": self.key_id, **header}
        return jwt.encode(claims, self.private, algorithm="EdDSA", headers=headers).encode()


def claims(verb: str, target: Any = None, **more: Any) -> dict[str, Any]:
    """Claims of now, for the site `test`."""
    now = time.time()
    said = {
        "jti": uuid.uuid4().hex,
        "aud": "test",
        "iss": "tests",
        "iat": int(now),
        "exp": int(now) + 300,
        "verb": verb,
    }
    if target is not None:
        said["target"] = target
    return {key: value for key, value in {**said, **more}.items() if value is not ...}


class Sender:
    """Publishes commands and keeps every state, page, event and alarm that comes back."""

    def __init__(self, port: int, *, v5: bool = True) -> None:
        self.states: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.pages: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.events: list[dict[str, Any]] = []
        self.alarms: dict[str, bytes] = {}
        self.replies: list[tuple[dict[str, Any], bytes | None]] = []
        self.seen_at: dict[str, list[float]] = defaultdict(list)
        self._ready = threading.Event()
        self._v5 = v5
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        )
        self.client.max_inflight_messages_set(1000)
        self.client.on_message = self._on_message
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def _on_connect(self, client: Client, *_: Any) -> None:
        names = (f"{ROOT}/node/+/cmd/#", f"{ROOT}/event/+", f"{ROOT}/alarm/#", f"{ROOT}/reply/#")
        if self._v5:
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            client.subscribe([(name, options) for name in names])
        else:
            client.subscribe([(name, 1) for name in names])

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        parts = message.topic.removeprefix(ROOT + "/").split("/")
        match parts:
            case ["node", _, "cmd", command_id, "state"] if message.payload:
                state = json.loads(message.payload)
                state["retained"] = bool(message.retain)
                self.seen_at[command_id].append(time.monotonic())
                self.states[command_id].append(state)
            case ["node", _, "cmd", command_id, "results", page]:
                self.pages[command_id][int(page)] = json.loads(message.payload)
            case ["event", *_]:
                self.events.append(json.loads(message.payload))
            case ["alarm", alarm]:
                self.alarms[alarm] = bytes(message.payload)
            case ["reply", *_]:
                correlation = getattr(message.properties, "CorrelationData", None)
                self.replies.append((json.loads(message.payload), correlation))

    def send(
        self,
        token: bytes,
        command_id: str,
        *,
        node: str | None = None,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish a command's bytes."""
        topic = (
            f"{ROOT}/cmd/{command_id}" if node is None else f"{ROOT}/node/{node}/cmd/{command_id}"
        )
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if response_topic:
                properties.ResponseTopic = response_topic
            if correlation:
                properties.CorrelationData = correlation
        self.client.publish(topic, token, qos=1, retain=retain, properties=properties)

    def order(self, signer: Signer, verb: str, target: Any = None, **more: Any) -> str:
        """Sign and send a command; its id."""
        said = claims(verb, target, **more)
        self.send(signer.sign(said), said["jti"])
        return str(said["jti"])

    def state(self, command_id: str, *names: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """The first state of a command with one of these names (default: a final one)."""
        wanted = set(names) or FINAL

        def found() -> dict[str, Any] | None:
            states = self.states.get(command_id, [])
            return next((each for each in states if each["state"] in wanted), None)

        try:
            return dict(wait_until(found, timeout_s))
        except AssertionError:
            seen = [
                (each["state"], each["done"], each["words"]) for each in self.states[command_id]
            ][-3:]
            seen += [each["results"] for each in self.pages[command_id].values()]
            raise AssertionError(f"{command_id}: not {sorted(wanted)} but {seen}") from None

    def results(self, command_id: str) -> list[dict[str, Any]]:
        """Every result of a command that is over, from its pages."""
        state = self.state(command_id)
        wait_until(lambda: len(self.pages[command_id]) >= state["pages"], 10, "all pages")
        pages = self.pages[command_id]
        return [result for number in sorted(pages) for result in pages[number]["results"]]

    def close(self) -> None:
        """Hang up."""
        self.client.disconnect()
        self.client.loop_stop()
