"""docs/asyncapi.yaml, docs/mqtt.md and the code say the same of every field, topic and event."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from agent.command.orders import Result
from agent.command.recovery import RECOVER
from agent.command.verbs import VERBS
from agent.config.locations import Location
from agent.fleet.discovery import SweepStats
from agent.fleet.events import Event
from agent.fleet.inventory import Inventory
from agent.fleet.rollup import Totals
from agent.mqtt.topics import Topics
from agent.telemetry.birth import BoardEntry, Entry
from agent.telemetry.encode import Stream
from agent.telemetry.marks import parse_mark
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
from tests.e2e.contract import (
    CONTRACT,
    HEAD,
    ROOT,
    SCHEMAS,
    channel_of,
    problems,
    problems_of_event,
    resolved,
    types_of,
)

GUIDE = (ROOT / "docs/mqtt.md").read_text()
ENCODINGS = (ROOT / "docs/encodings.md").read_text()


def test_every_topic_of_the_agent_is_documented_or_said_to_be_missing() -> None:
    topics = Topics("S", "N")
    used = [topics.node_status, topics.inventory_manifest, topics.inventory_page(0)]
    used += [topics.telemetry("asic-1"), topics.telemetry_history("asic-1")]
    used += [topics.batch_live, topics.batch_history, topics.event, topics.summary]
    assert [*(channel_of(topic).name for topic in used), "mark"] == list(CONTRACT["channels"])
    for later in ("alarm/", "cmd/"):
        assert later in GUIDE.partition("## Not there yet")[2]
    known = {*used, topics.root, topics.node, topics.acknowledgements, f"{topics.root}/device/"}
    assert not {value for value in vars(topics).values() if isinstance(value, str)} - known


def test_the_mark_of_the_guide_is_understood() -> None:
    shown = re.search(r'^\{"stored":.*\}$', GUIDE, re.MULTILINE)
    assert shown
    assert not list(problems(json.loads(shown[0]), SCHEMAS["Mark"]))
    assert parse_mark(shown[0].encode())


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


LEAN = (MinerReading, Board, Fan, Pool, Fault, HostReading, Volume, NetworkPort, Thermometer)
"""What messages of readings are made of: they leave out what is not there."""
STRUCTS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct
    for struct in (
        *LEAN,
        *(Identity, Entry, BoardEntry, Event, Totals, SweepStats, Result),
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
    leaves_out = struct in LEAN or struct.__struct_config__.omit_defaults
    always = {each.name for each in msgspec.structs.fields(struct) if each.required}
    needed = always if leaves_out else set(struct.__struct_fields__)
    assert set(SCHEMAS[name]["required"]) - HEAD == needed


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_guide_names_every_field(name: str) -> None:
    guide = ENCODINGS if name == "CompactFrame" else GUIDE
    for field in SCHEMAS[name].get("properties", {}):
        assert f"`{field}`" in guide, f"{name}.{field} is not explained"


def test_the_guide_and_the_contract_name_every_event() -> None:
    code = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py"))
    named = re.findall(r'"((?:device|action|lock|telemetry|spool)\.[a-z]+|audit\.head)"', code)
    used = set(named) - {*VERBS, RECOVER.name}
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
    stream = Stream("event", "n", "0" * 12)
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
    events = [json.loads(stream.record(event)) for each in settled for event in each.events]
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
