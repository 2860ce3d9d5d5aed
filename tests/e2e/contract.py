"""docs/asyncapi.yaml as tests read it: a checker, the channels, and a recorder of what is said."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml
import zstandard
from jsonschema import Draft7Validator, FormatChecker
from jsonschema.validators import extend
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests.consumer import Batches

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
SCHEMAS = CONTRACT["components"]["schemas"]
HEAD = {"node", "boot_id", "stream", "seq"}

# --- a checker ---------------------------------------------------------------------------------

_FORMATS = FormatChecker(formats=())
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_REGISTRY: Registry[Any] = Registry().with_resource(
    "contract:", Resource.from_contents(CONTRACT, default_specification=DRAFT7)
)
_Strict = extend(
    Draft7Validator,
    # 1.0 is no integer: the other side may read it into one
    type_checker=Draft7Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


@_FORMATS.checks("date-time")
def _is_time(value: object) -> bool:
    """UTC, as the contract says, which is more than the format asks for."""
    return not isinstance(value, str) or _TIME.fullmatch(value) is not None


@cache
def _validator(pointer: str) -> Any:
    where = {"$ref": f"contract:#/{pointer}"}
    return _Strict(where, registry=_REGISTRY, format_checker=_FORMATS)


def problems(value: Any, name: str) -> list[str]:
    """What in `value` contradicts the schema of this name."""
    return _problems_at(value, f"components/schemas/{name}")


def _problems_at(value: Any, pointer: str) -> list[str]:
    return [_words(error) for error in _validator(pointer).iter_errors(value)]


def _words(error: Any) -> str:
    found = f"{error.json_path}: {error.message}"
    for each in error.context:  # of the alternatives that were tried
        found += f"\n  {each.json_path}: {each.message}"
    return found


def spoilt(content: Any) -> Iterator[Any]:
    """The same with one thing wrong: an unknown member, or a value of no type that there is."""
    if isinstance(content, dict):
        yield {**content, "colour": ["red"]}
        for name, member in content.items():
            for other in spoilt(member):
                yield {**content, name: other}
    elif isinstance(content, list):
        for index, item in enumerate(content[:2]):
            for other in spoilt(item):
                yield [*content[:index], other, *content[index + 1 :]]
    else:
        yield {"wrong": True}


# --- topics --------------------------------------------------------------------------------------


class Channel(NamedTuple):
    name: str
    topic: re.Pattern[str]
    qos: int
    retain: bool | None
    """None where others publish."""
    payloads: list[str]
    """Where the schemas stand of what may be said here."""


def channels() -> list[Channel]:
    found: dict[str, Channel] = {}
    for operation in CONTRACT["operations"].values():
        name = operation["channel"]["$ref"].rpartition("/")[2]
        if operation["action"] == "receive" and name in found:
            continue  # the agent hears itself
        channel = CONTRACT["channels"][name]
        words = re.split(r"\{(\w+)\}", channel["address"])
        assert set(words[1::2]) == set(channel["parameters"])
        words[::2] = map(re.escape, words[::2])
        words[1::2] = ["[^/+#]+"] * len(words[1::2])
        binding = operation["bindings"]["mqtt"]
        payloads = [_payload(message) for message in channel["messages"].values()]
        topic = re.compile("".join(words))
        found[name] = Channel(name, topic, binding["qos"], binding.get("retain"), payloads)
    return list(found.values())


def _payload(message: dict[str, str]) -> str:
    return f"{message['$ref'].removeprefix('#/')}/payload"


CHANNELS = channels()


def channel_of(topic: str) -> Channel:
    found = [channel for channel in CHANNELS if channel.topic.fullmatch(topic)]
    assert len(found) == 1, f"{topic} is described by {[channel.name for channel in found]}"
    return found[0]


def problems_of_message(message: Heard) -> list[str]:
    """What contradicts all that may be said on the topic; of the closest schema."""
    channel = channel_of(message.topic)
    found = [_problems_at(message.content, payload) for payload in channel.payloads]
    retain = message.retain if channel.retain is None else channel.retain
    if (message.qos, message.retain) != (channel.qos, retain):
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
        """The payload, unpacked: an object, the lines of a batch, the map of a frame, or a JWT."""
        if not self.raw:
            return None
        if self.raw[:2] == b"ey":
            return self.raw.decode()
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


def numbers_by_stream(said: list[Any]) -> dict[tuple[str, str], list[int]]:
    """The numbers of each (boot_id, stream), as they came."""
    streams: dict[tuple[str, str], list[int]] = {}
    for each in said:
        if isinstance(each, dict) and "stream" in each:
            streams.setdefault((each["boot_id"], each["stream"]), []).append(each["seq"])
    return streams
