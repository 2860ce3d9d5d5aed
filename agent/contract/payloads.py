"""The schemas of all messages, by the names that they have in the document. Pure."""

from __future__ import annotations

from agent.command.params import Params
from agent.command.verbs import VERBS, Verb
from agent.contract.details import EVENTS
from agent.contract.schemas import Schema, heard, ref, sent
from agent.fleet.events import Event
from agent.remote import messages as remote
from agent.remote.claims import Claims
from agent.remote.node_verbs import NODE_VERBS, READ_NOW
from agent.telemetry import marks
from agent.telemetry.frame import Frame
from agent.telemetry.lean import shape_of
from agent.telemetry.messages import Head, InventoryManifest, InventoryPage, NodeStatus, Summary
from drivers.model import HostReading, MinerReading, Reading
from drivers.model_gpu import GpuReading, MigInstance

NAMES: dict[type, str] = {
    Frame: "CompactFrame",
    marks.Mark: "Mark",
    remote.State: "Lifecycle",
    Params: "NoParams",
    MigInstance: "MigInstanceFacts",
}
"""Where the class is called otherwise, or two have one name."""
SENT: tuple[type, ...] = (
    *(NodeStatus, InventoryManifest, InventoryPage, Summary, Frame, Event),
    *(remote.CommandState, remote.ResultPage, remote.Alarm),
)
READINGS: tuple[type[Reading], ...] = (MinerReading, HostReading, GpuReading)
VERB_PARAMS: dict[str, type[Params]] = {
    **{name: verb.params for name, verb in VERBS.items()},
    READ_NOW: Params,
    **{name: verb.params for name, verb in NODE_VERBS.items()},
}
"""What each verb takes."""


def schemas() -> dict[str, Schema]:
    """Every schema of the document; those of one name are the same."""
    found: dict[str, Schema] = {}
    for kind in SENT:
        _add(found, sent(kind, name_of))
    for reading in READINGS:
        _add(found, _reading(reading))
    found["Summary"] = _numbered(found["Summary"], "summary")
    found["Lines"] = {"type": "array", "items": {"anyOf": [ref(r.__name__) for r in READINGS]}}
    found["Event"] = _event(found)
    _add(found, heard(marks.Mark, name_of))
    _add(found, heard(Claims, name_of))
    found["Claims"] = _claims(found)
    return found


def name_of(cls: type) -> str:
    """What a class is called in the document."""
    if cls in NAMES:
        return NAMES[cls]
    return f"{cls.__name__}Params" if issubclass(cls, Params) else cls.__name__


def _add(found: dict[str, Schema], more: dict[str, Schema]) -> None:
    for name, schema in more.items():
        if found.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas of the name {name}")


def _numbered(schema: Schema, stream: str) -> Schema:
    """A message that begins with its number."""
    head = sent(Head, name_of)["Head"]
    properties = {**head["properties"], **schema["properties"]}
    properties["stream"] = {"type": "string", "enum": [stream]}
    return {
        **schema,
        "required": [*head["required"], *schema["required"]],
        "properties": properties,
    }


def _reading(kind: type[Reading]) -> dict[str, Schema]:
    """It is written in two ways: without what is not there, or with everything."""
    lean = sent(shape_of(kind, omit=True), name_of)
    whole = sent(shape_of(kind, omit=False), name_of)[kind.__name__]
    required = lean[kind.__name__]["required"]
    return {**lean, kind.__name__: _numbered({**whole, "required": required}, "telemetry")}


def _event(found: dict[str, Schema]) -> Schema:
    schema = _numbered(found["Event"], "event")
    cases = []
    for name, details in EVENTS.items():
        _add(found, sent(details, name_of))
        then = {"properties": {"details": ref(details.__name__)}}
        cases.append(_case("name", {"const": name}, then))
    names = {**schema["properties"]["name"], "enum": list(EVENTS)}
    return {**schema, "properties": {**schema["properties"], "name": names}, "allOf": cases}


def _claims(found: dict[str, Schema]) -> Schema:
    schema = found["Claims"]
    cases = []
    for params in dict.fromkeys(VERB_PARAMS.values()):
        _add(found, heard(params, name_of))
        needed = {"required": ["params"]} if found[name_of(params)]["required"] else {}
        then = {"properties": {"params": ref(name_of(params))}, **needed}
        takers = [name for name, taken in VERB_PARAMS.items() if taken is params]
        cases.append(_case("verb", {"enum": takers}, then))
    verbs = {"type": "string", "enum": list(VERB_PARAMS)}
    return {
        **schema,
        "properties": {**schema["properties"], "verb": verbs},
        "allOf": cases,
        "x-verbs": {verb.name: _traits(verb) for verb in VERBS.values()},
    }


def _traits(verb: Verb) -> Schema:
    """What a sender may want to know of a verb for devices, beside its parameters."""
    flags = ("repeatable", "dangerous", "past_locks")
    return {
        "capability": verb.action,
        "default_expiry_s": verb.expiry_s,
        **{flag: True for flag in flags if getattr(verb, flag)},
    }


def _case(member: str, value: Schema, then: Schema) -> Schema:
    return {"if": {"properties": {member: value}}, "then": then}
