"""The contract as it is made: complete in itself, and the same as the file in docs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import yaml
from jsonschema import Draft7Validator
from msgspec import Meta

from agent.__main__ import main
from agent.contract.docstrings import docs_of
from agent.contract.document import document
from agent.contract.payloads import VERB_PARAMS
from agent.contract.schemas import heard, sent
from agent.contract.yaml_text import yaml_text
from agent.remote.claims import Claims, Target
from agent.remote.messages import CommandState
from agent.telemetry.messages import ControlWay

FILE = Path(__file__).parents[2] / "docs/asyncapi.yaml"
DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
HEARD = {"Mark", "Claims", "Target", "Rollout"}
KEYWORDS = {
    *("type", "enum", "const", "pattern", "format", "description", "default", "if", "then"),
    *("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems"),
    *("properties", "required", "additionalProperties", "propertyNames", "maxProperties"),
    *("items", "additionalItems", "anyOf", "allOf", "$ref", "x-verbs"),
}


def test_the_file_in_docs_is_what_is_generated() -> None:
    assert FILE.read_text() == yaml_text(DOCUMENT), "run `make contract`"


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract"]) == 0
    assert capsys.readouterr().out == FILE.read_text()
    assert main(["contract", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == yaml.safe_load(FILE.read_text())


# --- complete in itself ----------------------------------------------------------------------


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_leads_somewhere_and_everything_is_used() -> None:
    found = set(references(DOCUMENT))
    for reference in found:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    parts = DOCUMENT["components"]
    owned = {f"#/components/{kind}/{name}" for kind, each in parts.items() for name in each}
    assert owned | {f"#/channels/{name}" for name in DOCUMENT["channels"]} == found


def test_channels_have_messages_and_the_parameters_of_their_topics() -> None:
    for channel in DOCUMENT["channels"].values():
        assert channel["messages"]
        assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert re.fullmatch(r"stoker/v1(/(\w+|\{\w+\}))+", channel["address"])


def test_what_an_agent_sends_has_a_retain_flag_and_what_it_hears_says_how() -> None:
    for operation in DOCUMENT["operations"].values():
        binding = operation["bindings"]["mqtt"]
        assert binding["qos"] == 1
        assert ("retain" in binding) == (operation["action"] == "send")
        assert ("description" in operation) == (operation["action"] == "receive")


def schemas_within(schema: Any) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [*schema.get("allOf", [])]
    inner += [
        schema[key]
        for key in ("additionalProperties", "propertyNames", "if", "then")
        if isinstance(schema.get(key), dict)
    ]
    items = schema.get("items", [])
    for each in [*inner, *(items if isinstance(items, list) else [items])]:
        yield from schemas_within(each)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_of_draft_7_that_other_languages_read(name: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[name])
    for schema in schemas_within(SCHEMAS[name]):
        assert schema.keys() <= KEYWORDS
        assert "$ref" not in schema or len(schema) == 1, "what stands beside it is not seen"
        assert r"\Z" not in schema.get("pattern", ""), "ECMA takes it for the letter"


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_message_has_members_that_are_not_named(name: str) -> None:
    schema = SCHEMAS[name]
    if schema["type"] == "object" and name != "Mark":
        assert schema["additionalProperties"] is False
    if schema["type"] == "object" and name not in HEARD and not name.endswith("Params"):
        assert not [each for each in schema["properties"].values() if "default" in each] or (
            name == "CompactFrame"
        )


def test_every_verb_has_its_parameters() -> None:
    cases = {
        verb: each["then"]["properties"]["params"]["$ref"].rpartition("/")[2]
        for each in SCHEMAS["Claims"]["allOf"]
        for verb in each["if"]["properties"]["verb"]["enum"]
    }
    assert (
        cases.keys() == VERB_PARAMS.keys() == set(SCHEMAS["Claims"]["properties"]["verb"]["enum"])
    )
    for verb, name in cases.items():
        fields = [field.encode_name for field in msgspec.structs.fields(VERB_PARAMS[verb])]
        assert list(SCHEMAS[name]["properties"]) == fields


def test_fields_that_have_words_in_the_code_have_them_here() -> None:
    for cls, name in ((CommandState, "CommandState"), (Claims, "Claims"), (Target, "Target")):
        said = docs_of(cls)
        assert SCHEMAS[name]["description"] == said.summary
        assert said.fields
        for field, words in said.fields.items():
            assert SCHEMAS[name]["properties"][field]["description"] == words


# --- schemas of structs ------------------------------------------------------------------------


class Colour(StrEnum):
    """Of a thing."""

    RED = "red"
    """As blood."""
    BLUE = "blue"


class Whole(msgspec.Struct):
    colour: Colour | None = None
    at: datetime | None = None
    seen: dict[str, datetime] = {}
    count: int = 3


class Sparse(msgspec.Struct, omit_defaults=True):
    name: str | None
    whole: Whole | None = None
    size: float | None = None
    tags: tuple[str, ...] = ()


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    word: Annotated[str, Meta(pattern=r"^a\Z")] | None = None
    often: int = 1


def plain(cls: type) -> str:
    return cls.__name__


def test_what_is_sent_is_complete() -> None:
    found = sent(Whole, plain)["Whole"]
    assert found == {
        "type": "object",
        "additionalProperties": False,
        "required": ["colour", "at", "seen", "count"],
        "properties": {
            "colour": {"anyOf": [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}]},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "seen": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "date-time"},
            },
            "count": {"type": "integer"},
        },
    }


def test_where_defaults_are_left_out_nothing_is_null_for_want_of_a_value() -> None:
    found = sent(Sparse, plain)
    assert found.keys() == {"Sparse", "Whole", "Colour"}
    assert found["Sparse"]["required"] == ["name"]
    assert found["Sparse"]["properties"] == {
        "name": {"type": ["string", "null"]},
        "whole": {"$ref": "#/components/schemas/Whole"},
        "size": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }


def test_what_is_heard_may_leave_out_what_has_a_default() -> None:
    assert heard(Wanted, plain)["Wanted"] == {
        "type": "object",
        "additionalProperties": False,
        "required": [],
        "properties": {
            "word": {"type": ["string", "null"], "pattern": "^a$"},
            "often": {"type": "integer", "default": 1},
        },
    }


def test_words_of_an_enum_stand_with_it() -> None:
    found = sent(Whole, plain)["Colour"]
    assert found["enum"] == ["red", "blue"]
    assert found["description"] == "Of a thing.\n\n- `red`: As blood."


def test_two_types_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="two types of one name"):
        sent(Sparse, lambda _: "Thing")


def test_what_is_said_of_inherited_fields_counts() -> None:
    found = docs_of(ControlWay)
    assert found.summary == "The way of status, inventory and summaries."
    assert found.fields["acknowledged"] == "PUBACK packets."
    assert found.fields["waiting"] == "Messages that wait in memory."
