"""docs/asyncapi.yaml, docs/mqtt.md and the code say the same of every field, topic and event."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from agent.command.recovery import RECOVER
from agent.command.verbs import VERBS
from agent.config.locations import Location
from agent.contract.details import EVENTS
from agent.fleet.inventory import Inventory
from agent.mqtt.topics import Topics
from agent.remote.node_verbs import NODE_VERBS
from agent.telemetry.encode import Stream
from agent.telemetry.marks import parse_mark
from drivers.api import Endpoint
from drivers.mock import MockReader, mock_identity
from drivers.model import (
    Identity,
)
from drivers.probe import Finding
from tests.e2e.contract import (
    CONTRACT,
    ROOT,
    SCHEMAS,
    channel_of,
    problems,
)

GUIDE = (ROOT / "docs/mqtt.md").read_text()
ENCODINGS = (ROOT / "docs/encodings.md").read_text()


def test_every_topic_of_the_agent_is_documented() -> None:
    topics = Topics("S", "N")
    used = [topics.node_status, topics.inventory_manifest, topics.inventory_page(0)]
    used += [topics.telemetry("asic-1"), topics.telemetry_history("asic-1")]
    used += [topics.batch_live, topics.batch_history, topics.event, topics.summary]
    used += [topics.alarm("a"), topics.acknowledgement("event"), f"{topics.root}/cmd/c"]
    used += [f"{topics.root}/node/N/cmd/c", topics.command_state("c")]
    used += [topics.command_results("c", 0)]
    assert [channel_of(topic).name for topic in used] == list(CONTRACT["channels"])
    known = {*used, topics.root, topics.node, topics.acknowledgements, f"{topics.root}/device/"}
    assert not {value for value in vars(topics).values() if isinstance(value, str)} - known


def test_the_mark_of_the_guide_is_understood() -> None:
    shown = re.search(r'^\{"stored":.*\}$', GUIDE, re.MULTILINE)
    assert shown
    assert not problems(json.loads(shown[0]), "Mark")
    assert parse_mark(shown[0].encode())


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_guide_names_every_field(name: str) -> None:
    guide = ENCODINGS if name == "CompactFrame" else GUIDE
    for field in SCHEMAS[name].get("properties", {}):
        assert f"`{field}`" in guide, f"{name}.{field} is not explained"


NAMED = re.compile(r'"((?:device|gpu|action|lock|audit|command|telemetry|spool)\.[a-z]+)"')
"""Words of the code that look like events."""
NO_EVENTS = {*VERBS, *NODE_VERBS, RECOVER.name} - EVENTS.keys()


def test_the_guide_and_the_contract_name_every_event() -> None:
    # only who makes events names them: the audit has words of its own
    code = [path.read_text() for path in (ROOT / "agent").rglob("*.py")]
    makers = [text for text in code if "from agent.fleet.events import Event" in text]
    used = {name for text in makers for name in NAMED.findall(text)}
    assert used - NO_EVENTS == set(SCHEMAS["Event"]["properties"]["name"]["enum"])
    for name, details in EVENTS.items():
        row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` |"))
        members = SCHEMAS[details.__name__]["properties"]
        assert all(f"`{detail}`" in row for detail in members), row


def test_the_guide_tells_the_default_expiry_of_every_verb() -> None:
    for verb in (*VERBS.values(), *NODE_VERBS.values()):
        rows = [line for line in GUIDE.splitlines() if line.startswith(f"| `{verb.name}`")]
        assert [row for row in rows if row.endswith(f" {verb.expiry_s:g} s |")], verb.name


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
    decided = {name for name in EVENTS if name.startswith("device.")}
    assert {event["name"] for event in events} == decided - {
        "device.online",
        "device.offline",
        "device.state",
    }
    for event in events:
        assert not problems(event, "Event")


# --- the checker itself --------------------------------------------------------------------------


def test_the_checker_sees_what_is_wrong() -> None:
    identity = json.loads(msgspec.json.encode(mock_identity()))
    assert not problems(identity, "Identity")
    assert problems({**identity, "colour": "red"}, "Identity")
    assert problems({**identity, "make": 1}, "Identity")
    assert problems({**identity, "kind": "toaster"}, "Identity")
    del identity["mac"]
    assert problems(identity, "Identity")


def test_the_checker_sees_wrong_times_and_numbers() -> None:
    event = {"node": "n", "boot_id": "0" * 12, "stream": "event", "seq": 1, "device_id": None}
    event |= {"name": "device.moved", "at": "2026-11-24T12:00:00Z", "message": "", "address": "a"}
    event |= {"details": {"former_address": "b"}}
    assert not problems(event, "Event")
    wrong: list[dict[str, Any]] = [{"at": "2026-11-24T12:00:00+01:00"}, {"at": "yesterday"}]
    wrong += [{"seq": 0}, {"seq": True}, {"seq": 1.0}, {"boot_id": "x"}, {"stream": "events"}]
    wrong += [{"details": {}}, {"details": {"former_address": 1}}, {"name": "device.lost"}]
    wrong += [{"details": {"former_address": "b", "colour": "red"}}, {"name": "device.found"}]
    for change in wrong:
        assert problems({**event, **change}, "Event"), change
