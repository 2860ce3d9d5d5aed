"""docs/asyncapi.yaml as tests read it: a checker, the channels, and a recorder of what is said."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml
import zstandard
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.consumer import Batches

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
SCHEMAS = CONTRACT["components"]["schemas"]
HEAD = {"node", "boot_id", "stream", "seq"}

# --- a checker for as much of JSON Schema as the contract uses ---------------------------------

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_KNOWN = {"type", "enum", "pattern", "minimum", "format", "description", "x-details"} | {
    "$ref",
    "anyOf",
    "required",
    "properties",
    "additionalProperties",
    "items",
}


def resolved(schema: Any) -> Any:
    while "$ref" in schema:
        found: Any = CONTRACT
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def types_of(schema: dict[str, Any]) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else found


def problems(value: Any, schema: dict[str, Any], at: str = "$") -> Iterator[str]:
    """What in `value` contradicts the schema."""
    schema = resolved(schema)
    assert schema.keys() <= _KNOWN, f"the checker does not know {schema.keys() - _KNOWN}"
    if "anyOf" in schema:
        yield from min((list(problems(value, each, at)) for each in schema["anyOf"]), key=len)
        return
    names = types_of(schema)
    is_bool = isinstance(value, bool)
    if not any(
        isinstance(value, _TYPES[name]) and is_bool <= (name == "boolean") for name in names
    ):
        yield f"{at}: {value!r} is not {names}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: {value!r} is below {schema['minimum']}"
    if isinstance(value, str):
        yield from _problems_of_text(value, schema, at)
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], f"{at}[{index}]")
    elif isinstance(value, dict):
        yield from _problems_of_members(value, schema, at)


def _problems_of_text(value: str, schema: dict[str, Any], at: str) -> Iterator[str]:
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not fit {schema['pattern']}"
    if schema.get("format") == "date-time" and not _TIME.fullmatch(value):
        yield f"{at}: {value!r} is no time"


def _problems_of_members(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{at}: no {name}"
    others = schema.get("additionalProperties", {})
    for name, member in value.items():
        if name in properties:
            yield from problems(member, properties[name], f"{at}.{name}")
        elif others is False:
            yield f"{at}.{name} is not documented"
        elif others:
            yield from problems(member, others, f"{at}.{name}")


def problems_of_event(event: dict[str, Any]) -> list[str]:
    details = SCHEMAS["Event"]["x-details"].get(event["name"])
    if details is None:
        return [f"the event {event['name']} is not documented"]
    shape = {"type": "object", "additionalProperties": False, "properties": details}
    return [
        *problems(event, SCHEMAS["Event"]),
        *problems(event["details"], shape, f"{event['name']}.details"),
    ]


# --- topics --------------------------------------------------------------------------------------


class Channel(NamedTuple):
    name: str
    topic: re.Pattern[str]
    qos: int
    retain: bool
    payloads: list[dict[str, Any]]


def channels() -> list[Channel]:
    found = []
    for operation in CONTRACT["operations"].values():
        if operation["action"] != "send":
            continue
        channel = resolved(operation["channel"])
        words = re.split(r"\{(\w+)\}", channel["address"])
        assert set(words[1::2]) == set(channel["parameters"])
        words[::2] = map(re.escape, words[::2])
        words[1::2] = ["[^/+#]+"] * len(words[1::2])
        found.append(
            Channel(
                operation["channel"]["$ref"].rpartition("/")[2],
                re.compile("".join(words)),
                operation["bindings"]["mqtt"]["qos"],
                operation["bindings"]["mqtt"]["retain"],
                [resolved(message)["payload"] for message in channel["messages"].values()],
            )
        )
    return found


CHANNELS = channels()


def channel_of(topic: str) -> Channel:
    found = [channel for channel in CHANNELS if channel.topic.fullmatch(topic)]
    assert len(found) == 1, f"{topic} is described by {[channel.name for channel in found]}"
    return found[0]


def problems_of_message(message: Heard) -> list[str]:
    """What contradicts all that may be said on the topic; of the closest schema."""
    channel = channel_of(message.topic)
    found = [list(problems(message.content, schema)) for schema in channel.payloads]
    if (message.qos, message.retain) != (channel.qos, channel.retain):
        found = [[f"QoS {message.qos}, retain {message.retain}"]]
    return min(found, key=len)


# --- what is said ---------------------------------------------------------------------------------


class Heard(NamedTuple):
    topic: str
    raw: bytes
    qos: int
    retain: bool

    @property
    def content(self) -> Any:
        """The payload, unpacked: an object, the lines of a batch, or the map of a frame."""
        if self.raw[:1] == b"{":
            return json.loads(self.raw)
        unpacked = zstandard.ZstdDecompressor().decompress(self.raw)
        if unpacked[:1] == b"{":
            return [json.loads(line) for line in unpacked.splitlines()]
        return msgspec.msgpack.decode(unpacked)


class Recorder:
    """Keeps every message with the QoS and the retain flag that it was published with."""

    def __init__(self, port: int) -> None:
        self.heard: list[Heard] = []
        self._changed = threading.Condition()
        ready = threading.Event()
        # Retain as published; above the agent's own QoS, so that the broker lowers nothing.
        options = SubscribeOptions(qos=2, retainAsPublished=True)
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda *_: self._client.subscribe("#", options=options)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.heard.append(Heard(message.topic, message.payload, message.qos, message.retain))
            self._changed.notify_all()

    def on(self, channel: str) -> list[Any]:
        return on_channel(self.heard, channel)

    def await_that(self, what: str, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), f"not within {timeout_s} s: {what}"


# --- what was said, sorted ---------------------------------------------------------------------


def readings_of(heard: list[Heard]) -> list[dict[str, Any]]:
    """Every reading, in whatever encoding."""
    batches = Batches()
    readings: list[dict[str, Any]] = []
    for message in heard:
        if "/batch/" in message.topic:
            readings += batches.decode(message.raw)
        elif "/telemetry" in message.topic:
            readings.append(message.content)
    return readings


def on_channel(heard: list[Heard], channel: str) -> list[Any]:
    return [each.content for each in heard if channel_of(each.topic).name == channel]


def numbers_by_stream(said: list[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """The numbers of each (boot_id, stream), as they came."""
    streams: dict[tuple[str, str], list[int]] = {}
    for each in said:
        if "seq" in each:
            streams.setdefault((each["boot_id"], each["stream"]), []).append(each["seq"])
    return streams
