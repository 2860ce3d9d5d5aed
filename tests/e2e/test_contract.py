"""What the agent publishes is what docs/asyncapi.yaml says, message by message."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.command.orders import Result
from agent.command.recovery import RECOVER
from agent.command.verbs import VERBS
from agent.config.locations import Location
from agent.fleet import findings
from agent.fleet.discovery import SweepStats
from agent.fleet.events import Event
from agent.fleet.inventory import Inventory
from agent.fleet.rollup import Totals
from agent.local import client
from agent.mqtt.topics import Topics
from agent.telemetry.birth import Entry
from agent.telemetry.encode import Stream
from drivers.api import Endpoint
from drivers.mock import MockReader, mock_identity
from drivers.model import (
    Board,
    Fan,
    Fault,
    HostReading,
    Identity,
    MinerReading,
    NetworkPort,
    Pool,
    Thermometer,
    Volume,
)
from drivers.probe import Finding
from drivers.sim.models import load_models
from tests.broker import running
from tests.harness import Node, simulated

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
GUIDE = (ROOT / "docs/mqtt.md").read_text()
SCHEMAS = CONTRACT["components"]["schemas"]
HEAD = {"node", "boot_id", "stream", "seq"}
ALLOW = (
    "[control]\nstarts_per_minute = 6000\nstarts_per_group_per_minute = 6000\n[[control.allow]]\n"
)
TOLD = {"action.begun", "action.ended", "action.done", "lock.set", "lock.cleared"}
"""Events of orders that a run can be made to show; the others tell of interruptions."""

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
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at}: {value!r} does not fit {schema['pattern']}"
        if schema.get("format") == "date-time" and not _TIME.fullmatch(value):
            yield f"{at}: {value!r} is no time"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], f"{at}[{index}]")
    elif isinstance(value, dict):
        yield from _problems_of_members(value, schema, at)


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


# --- a real run ----------------------------------------------------------------------------------


class Heard(NamedTuple):
    topic: str
    raw: bytes
    qos: int
    retain: bool

    @property
    def content(self) -> Any:
        return json.loads(self.raw)


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
        return [each.content for each in self.heard if channel_of(each.topic).name == channel]

    def await_that(self, what: str, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), f"not within {timeout_s} s: {what}"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[Heard]:
    """A small site of all types with faults; the agent killed, started again, and stopped."""
    directory = tmp_path_factory.mktemp("contract")
    site = ("--network", "127.75.0.0/16", "--count", "30", "--seed", "5", "--delay-scale", "0.2")
    types = ",".join(f"{name}={2 if model.share else 1}" for name, model in load_models().items())
    events = ("swap=5@127.75.0.4", "reboot=5@127.75.0.5", "remove=5@127.75.0.6")
    faults = [
        word for fault in (*events, "garbage=0.03", "glued=0.1") for word in ("--fault", fault)
    ]
    mix = ("--mix", types)
    with (
        running(directory, "max_queued_messages 0") as broker,
        simulated(directory, *site, *mix, *faults) as (_, _, sim),
    ):
        recorder = Recorder(broker.port)
        node = Node(
            directory,
            broker_port=broker.port,
            interval_s=0.5,
            deadline_s=0.4,
            addresses="127.75.0.1-127.75.0.40",
            more=ALLOW,
            **sim.ports,
        )
        try:
            with node:
                node.await_devices(30)
                wanted = {"device.replaced", "device.offline"}
                recorder.await_that(
                    str(wanted), lambda: wanted <= {event["name"] for event in recorder.on("event")}
                )
                give_orders(node, recorder)
                time.sleep(2.5)  # one more summary, and the pages
                assert node.process
                node.process.kill()
                recorder.await_that("the Will", lambda: states(recorder)[-1:] == ["offline"])
                node.start()
                recorder.await_that("the next start", lambda: states(recorder)[-1] == "online")
                node.process.stop()
                recorder.await_that("the farewell", lambda: states(recorder)[-1] == "offline")
        finally:
            recorder.close()
    return recorder.heard


def give_orders(node: Node, recorder: Recorder) -> None:
    """One device sleeps, several show their lights, and one stays locked for a moment."""
    stock = [
        entry["identity"]["id"]
        for page in recorder.on("inventoryPage")
        for entry in page["devices"]
        if entry["driver"] == "antminer" and "pause" in entry.get("capabilities", {})
    ]
    node.act(stock[-1], "mining.pause")
    node.act("driver=antminer", "locate", on=True)
    client.ask(node.socket, op="lock", target=stock[-1], reason="a new fan")
    client.ask(node.socket, op="unlock", target=stock[-1])
    recorder.await_that(
        str(TOLD), lambda: {event["name"] for event in recorder.on("event")} >= TOLD
    )


def states(recorder: Recorder) -> list[str]:
    return [said["state"] for said in recorder.on("nodeStatus")]


# --- what must hold ------------------------------------------------------------------------------


def test_every_message_is_as_documented(heard: list[Heard]) -> None:
    for message in heard:
        found = [
            list(problems(message.content, schema)) for schema in channel_of(message.topic).payloads
        ]
        assert [] in found, f"{message.topic}: {min(found, key=len)}"


def test_every_message_has_the_documented_qos_and_retain_flag(heard: list[Heard]) -> None:
    for message in heard:
        channel = channel_of(message.topic)
        assert (message.qos, message.retain) == (channel.qos, channel.retain), message.topic


def test_every_documented_channel_and_message_was_heard(heard: list[Heard]) -> None:
    assert {channel_of(message.topic).name for message in heard} == set(CONTRACT["channels"])
    kinds = {message.content.get("kind") for message in heard}
    assert {"asic", "host"} <= kinds


def test_every_event_has_the_documented_details(heard: list[Heard]) -> None:
    events = [each.content for each in heard if channel_of(each.topic).name == "event"]
    assert {"device.found", "device.replaced", "device.offline", *TOLD} <= {
        each["name"] for each in events
    }
    for event in events:
        assert not problems_of_event(event)


def test_an_order_is_told_with_its_result(heard: list[Heard]) -> None:
    events = [each.content for each in heard if channel_of(each.topic).name == "event"]
    (done,) = [each for each in events if each["name"] == "action.done"]
    assert done["device_id"] == done["details"]["result"]["device_id"]
    assert done["details"].keys() == SCHEMAS["Event"]["x-details"]["action.done"].keys()
    begun, ended = (
        next(each["details"] for each in events if each["name"] == name)
        for name in ("action.begun", "action.ended")
    )
    assert begun["order"] == ended["order"] != done["details"]["order"]
    assert sum(ended["verdicts"].values()) == begun["devices"]


def test_the_status_says_that_orders_are_allowed(heard: list[Heard]) -> None:
    said = [each.content for each in heard if channel_of(each.topic).name == "nodeStatus"]
    assert {status["control"] for status in said} == {"allowed"}


def test_every_finding_is_documented_and_counted(heard: list[Heard]) -> None:
    names = findings.Findings().counts().keys()
    assert names == SCHEMAS["Findings"]["properties"].keys()
    summaries = [each.content for each in heard if channel_of(each.topic).name == "summary"]
    assert max(said["findings"][findings.FACTORY_PASSWORD] for said in summaries) > 0


def test_numbers_of_a_stream_leave_no_gap(heard: list[Heard]) -> None:
    streams: dict[tuple[str, str], list[int]] = {}
    for message in heard:
        said = message.content
        if "seq" in said:
            streams.setdefault((said["boot_id"], said["stream"]), []).append(said["seq"])
    assert {name for _, name in streams} == {"telemetry", "event", "summary"}
    for numbers in streams.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_later_start_has_a_higher_epoch(heard: list[Heard]) -> None:
    said = [each.content for each in heard if channel_of(each.topic).name == "nodeStatus"]
    boots = list(dict.fromkeys((status["boot_id"], status["epoch"]) for status in said))
    assert [epoch for _, epoch in boots] == [1, 2]


def test_the_manifest_names_the_pages_by_their_hashes(heard: list[Heard]) -> None:
    last = {message.topic: message for message in heard}
    (topic,) = [topic for topic in last if channel_of(topic).name == "inventoryManifest"]
    for page in last[topic].content["pages"]:
        found = last[f"{topic}/{page['page']}"]
        assert hashlib.sha256(found.raw).hexdigest() == page["sha256"]
        assert len(found.content["devices"]) == page["devices"]


def test_every_topic_of_the_agent_is_documented_or_said_to_be_missing() -> None:
    topics = Topics("S", "N")
    used = [topics.node_status, topics.inventory_manifest, topics.inventory_page(0)]
    used += [topics.telemetry("asic-1"), topics.event, topics.summary]
    assert [channel_of(topic).name for topic in used] == list(CONTRACT["channels"])
    known = {*used, topics.root, topics.node}
    others = {value for value in vars(topics).values() if isinstance(value, str)} - known
    for later in ("batch/", "telemetry/hist", "alarm/", "cmd/", "ack/"):
        assert later in GUIDE.partition("## Not there yet")[2]
    for topic in others - {f"{topics.root}/device/"}:
        assert topic.split("/")[3] in {"batch", "ack"}, topic


# --- the structs behind the messages -------------------------------------------------------------


def shape(schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> Any:
    """A schema reduced to names and types, equal for two ways of writing the same thing."""
    if definitions is None:
        schema = resolved(schema)
    elif "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    parts = schema.get("anyOf") or [{**schema, "type": name} for name in types_of(schema)]
    if len(parts) > 1:
        return sorted(json.dumps(shape(part, definitions)) for part in parts)
    part = parts[0] if parts else schema
    if part.get("type") == "null":
        return "null"
    if "enum" in part:
        return sorted(word for word in part["enum"] if word is not None)
    if "properties" in part:
        members = part["properties"].items()
        return {name: shape(member, definitions) for name, member in members if name not in HEAD}
    if part.get("additionalProperties"):
        return {"any name": shape(part["additionalProperties"], definitions)}
    if "items" in part:
        return [shape(part["items"], definitions)]
    return part.get("type")


STRUCTS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct
    for struct in (
        *(MinerReading, Board, Fan, Pool, Fault),
        *(HostReading, Volume, NetworkPort, Thermometer),
        *(Identity, Entry, Event, Totals, SweepStats, Result),
    )
}


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_are_documented_field_by_field(name: str) -> None:
    struct = STRUCTS[name]
    _, definitions = msgspec.json.schema_components([struct])
    derived, documented = shape(definitions[name], definitions), shape(SCHEMAS[name])
    if struct is Event:
        documented["name"] = "string"  # the contract says more than the struct: which names
    assert documented == derived
    optional = set(struct.__struct_fields__) - set(SCHEMAS[name]["required"])
    assert bool(optional) == struct.__struct_config__.omit_defaults, optional


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_guide_names_every_field(name: str) -> None:
    for field in SCHEMAS[name].get("properties", {}):
        assert f"`{field}`" in GUIDE, f"{name}.{field} is missing in docs/mqtt.md"


def test_the_guide_and_the_contract_name_every_event() -> None:
    code = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py"))
    used = set(re.findall(r'"((?:device|action|lock)\.[a-z]+)"', code)) - {*VERBS, RECOVER.name}
    assert used == set(SCHEMAS["Event"]["properties"]["name"]["enum"])
    assert used == set(SCHEMAS["Event"]["x-details"])
    for name, details in SCHEMAS["Event"]["x-details"].items():
        row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(f"`{detail}`" in row for detail in details), row


def finding(address: str, number: int, **changes: Any) -> Finding:
    identity = msgspec.structs.replace(mock_identity(number), **changes)
    return Finding(Endpoint(address), "mock", _driver(identity), identity, ())


def _driver(identity: Identity) -> MockReader:
    class Now:
        def now(self) -> float:
            return 0.0

        monotonic = now

    return MockReader(identity, Now())


def unknown(address: str, model: str) -> Finding:
    return finding(address, 0, id=f"asic-at-{address}", mac=None, model=model)


def test_every_decision_of_the_inventory_has_the_documented_details() -> None:
    inventory = Inventory(lambda *_: Location(slot="s1", asset_id="a1"))
    stream = Stream("event", "n", "0" * 32)
    settled = [
        inventory.settle(finding("127.0.0.1", 1), 1),
        inventory.settle(finding("127.0.0.2", 1), 2),
        inventory.settle(finding("127.0.0.2", 2), 3),
        inventory.settle(finding("127.0.0.2", 2, firmware_version="2", serial=None), 4),
        inventory.as_duplicate(finding("127.0.0.3", 2), 5),
        inventory.settle(unknown("127.0.0.4", "M1"), 6),
        inventory.settle(unknown("127.0.0.4", "M2"), 7),
        inventory.settle(finding("127.0.0.4", 4), 8),
        inventory.settle(unknown("127.0.0.2", "M1"), 9),
    ]
    events = [json.loads(stream.event(event)) for each in settled for event in each.events]
    decided = {name for name in SCHEMAS["Event"]["x-details"] if name.startswith("device.")}
    assert {event["name"] for event in events} == decided - {
        "device.online",
        "device.offline",
        "device.state",
    }
    for event in events:
        assert not problems_of_event(event)


# --- the checker itself --------------------------------------------------------------------------


def test_the_checker_sees_what_is_wrong() -> None:
    identity = json.loads(msgspec.json.encode(mock_identity()))
    assert not list(problems(identity, SCHEMAS["Identity"]))
    assert list(problems({**identity, "colour": "red"}, SCHEMAS["Identity"]))
    assert list(problems({**identity, "make": 1}, SCHEMAS["Identity"]))
    assert list(problems({**identity, "kind": "toaster"}, SCHEMAS["Identity"]))
    del identity["mac"]
    assert list(problems(identity, SCHEMAS["Identity"]))
    assert list(problems(True, {"type": "integer"}))
    assert list(problems("yesterday", SCHEMAS["Time"]))
    assert list(problems(0, SCHEMAS["Seq"]))
    assert list(problems("asicx", SCHEMAS["Kind"]))
