"""JSON Schemas of structs as they stand in messages: what may be absent, what may be null. Pure.

The dialect is draft 7, as AsyncAPI wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from agent.contract.docstrings import Docs, docs_of

Schema = dict[str, Any]
PLACE = "#/components/schemas/"


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": PLACE + name}


def sent(kind: type, name_of: Callable[[type], str]) -> dict[str, Schema]:
    """The schemas of what an agent sends, by name: of a type and all that it is made of.

    An agent sends no other members, and all of these, save where defaults are left out: then
    what is null or empty is absent.
    """
    return _components(kind, name_of, _sent)


def heard(kind: type, name_of: Callable[[type], str]) -> dict[str, Schema]:
    """The same of what an agent hears: it takes what the type takes."""
    return _components(kind, name_of, _heard)


def _components(
    kind: type, name_of: Callable[[type], str], dress: Callable[[type, Schema], Schema]
) -> dict[str, Schema]:
    classes = list(_classes(inspect.type_info(kind), {}))
    refs, found = msgspec.json.schema_components(classes, ref_template="{name}")
    names = {plain["$ref"]: name_of(cls) for plain, cls in zip(refs, classes, strict=True)}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two types of one name in {sorted(names.values())}")
    return {
        names[plain["$ref"]]: _tidied(dress(cls, _with_times(cls, found[plain["$ref"]])), names)
        for plain, cls in zip(refs, classes, strict=True)
    }


def _classes(info: Any, found: dict[type, None]) -> dict[type, None]:
    """The classes that have a name of their own, as they occur."""
    cls = getattr(info, "cls", None)
    if cls is not None:
        if cls in found:
            return found
        found[cls] = None
    for part in (getattr(info, name) for name in info.__struct_fields__):
        for each in part if isinstance(part, tuple) else (part,):
            if isinstance(each, inspect.Type | inspect.Field):
                _classes(each, found)
    return found


# --- one class ---------------------------------------------------------------------------


def _sent(cls: type[Any], schema: Schema) -> Schema:
    if issubclass(cls, Enum):
        return _enum(cls)
    properties = schema["properties"]
    config = getattr(cls, "__struct_config__", None)
    if config is not None and config.omit_defaults:
        required = schema["required"]
        shown = {name: _never_null(member) for name, member in properties.items()}
    else:
        required = [name for name in properties if name not in _unset(cls)]
        shown = {name: _without(member, "default") for name, member in properties.items()}
    return _object(docs_of(cls), required, shown, closed=True)


def _unset(cls: type[Any]) -> frozenset[str]:
    """The members that are absent where they have no value."""
    fields = msgspec.structs.fields(cls) if hasattr(cls, "__struct_fields__") else ()
    return frozenset(field.encode_name for field in fields if field.default is msgspec.UNSET)


def _heard(cls: type[Any], schema: Schema) -> Schema:
    if issubclass(cls, Enum):
        return _enum(cls)
    shown = {name: _without_empty(member) for name, member in schema["properties"].items()}
    closed = schema.get("additionalProperties") is False
    return _object(docs_of(cls), schema["required"], shown, closed=closed)


def _object(docs: Docs, required: list[str], properties: Schema, *, closed: bool) -> Schema:
    members = {
        name: {**member, "description": docs.fields[name]} if name in docs.fields else member
        for name, member in properties.items()
    }
    return {
        "type": "object",
        **({"description": docs.summary} if docs.summary else {}),
        **({"additionalProperties": False} if closed else {}),
        "required": required,
        "properties": members,
    }


def _enum(cls: type[Enum]) -> Schema:
    docs = docs_of(cls)
    lines = [
        f"- `{each.value}`: {docs.fields[each.name]}" for each in cls if each.name in docs.fields
    ]
    words = "\n".join([docs.summary, *(["", *lines] if lines else [])])
    return {"type": "string", "description": words, "enum": [each.value for each in cls]}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _without_empty(schema: Schema) -> Schema:
    """The default only where it says more than nothing."""
    default = schema.get("default")
    if default is None or default in ((), [], {}):
        return _without(schema, "default")
    return {**schema, "default": list(default) if isinstance(default, tuple) else default}


def _never_null(schema: Schema) -> Schema:
    """A member that is left out where it is null."""
    options = schema.get("anyOf", [])
    rest = [option for option in options if option != {"type": "null"}]
    if "default" in schema and schema["default"] is None and len(rest) < len(options):
        schema = {**_without(schema, "anyOf"), **(rest[0] if len(rest) == 1 else {"anyOf": rest})}
    return _without_empty(schema)


# --- the dialect -------------------------------------------------------------------------


def _with_times(cls: type, schema: Schema) -> Schema:
    """The format of times; msgspec says it only of those that must have a time zone."""
    fields = getattr(inspect.type_info(cls), "fields", ())
    times = {
        field.encode_name: _dated(field.type, schema["properties"][field.encode_name])
        for field in fields
    }
    return {**schema, "properties": {**schema["properties"], **times}} if times else schema


def _dated(info: Any, schema: Schema) -> Schema:
    match info:
        case inspect.Metadata(type=inner):
            return _dated(inner, schema)
        case inspect.DateTimeType():
            return {**schema, "format": "date-time"}
        case inspect.UnionType(types=kinds):
            # what has a time beside it has no text
            found = [each for each in kinds if not isinstance(each, inspect.NoneType)]
            parts = schema["anyOf"]
            return {**schema, "anyOf": [*map(_dated, found, parts), *parts[len(found) :]]}
        case inspect.DictType(value_type=inner) if "additionalProperties" in schema:
            return {**schema, "additionalProperties": _dated(inner, schema["additionalProperties"])}
    return schema


def _tidied(schema: Any, names: dict[str, str]) -> Any:
    """References to their names, patterns of ECMA, and the short way to say `or null`."""
    if isinstance(schema, list):
        return [_tidied(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _with_reference(schema, names)
    if "properties" in schema:
        members = {name: _tidied(each, names) for name, each in schema["properties"].items()}
        return {**schema, "properties": members}
    kind = {"type": schema["type"]} if "type" in schema else {}
    found = {name: _tidied(each, names) for name, each in {**kind, **schema}.items()}
    if "pattern" in found:
        found["pattern"] = found["pattern"].replace(r"\Z", "$")
    if "prefixItems" in found:
        found["additionalItems"] = found.pop("items")
        found["items"] = found.pop("prefixItems")
    return _or_null(found)


def _with_reference(schema: Schema, names: dict[str, str]) -> Schema:
    """Whatever stands beside a reference is not seen, so that it has to stand around it."""
    beside = _without(schema, "$ref")
    target = ref(names[schema["$ref"]])
    return {"allOf": [target], **beside} if beside else target


def _or_null(schema: Schema) -> Schema:
    match schema.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}] if "enum" not in one:
            return {**one, "type": [kind, "null"], **_without(schema, "anyOf")}
    return schema
