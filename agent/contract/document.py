"""The whole contract, put together as an AsyncAPI 3 document. Pure."""

from __future__ import annotations

import re
from typing import Any

from agent.contract.channels import CHANNELS, PARAMETERS, Channel
from agent.contract.payloads import schemas
from agent.contract.schemas import Schema, ref

Part = dict[str, Any]

_BINDING_VERSION = "0.2.0"
_DESCRIPTION = """\
What a Stoker agent publishes and what it hears. docs/mqtt.md explains how to consume it. The
schemas are made from the types of the code, and the tests hold the messages of running agents
against them.

null means that the device did not say; it is never 0. Readings leave out optional fields where
nothing is known: absent means null, or an empty list. A reading that has anything in `missing`,
or is unreachable, has them all. Entries of the inventory and results of commands leave out what
is null, and so do boards, fans, pools and other parts of readings. All other objects are
complete.

Times are UTC, RFC 3339 with a Z. What is no member of an object here is not sent; later
versions of the agent may add members."""
_SERVER = """\
Any MQTT 5 broker. The agent falls back to MQTT 3.1.1 where the broker needs it. It has two
connections: control, which is described below, and telemetry, with the client id
"stoker-<site>-<node>-telemetry", a clean session and no Will. Readings, events and marks go
over telemetry, all else over control."""
_JWT = """\
A JWT, signed with EdDSA (Ed25519): a compact JWS, header.claims.signature. The header is
{"alg": "EdDSA", "kid": <the key's id in the node's key ring>}, the claims are those of
#/components/schemas/Claims. At most 512 KiB; its SHA-256 is the command's digest."""


def document() -> Part:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stoker's MQTT contract",
            "version": "1.0.0",
            "license": {"name": "Apache-2.0"},
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": _operations(),
        "components": {
            "parameters": {name: {"description": text} for name, text in PARAMETERS.items()},
            "messages": _messages(),
            "schemas": schemas(),
        },
    }


def _server() -> Part:
    (status,) = [channel for channel in CHANNELS if channel.name == "nodeStatus"]
    will = {
        "topic": status.address,
        "qos": 1,
        "retain": True,
        "message": "NodeStatus with state `offline`",
    }
    session = {"clientId": "stoker-{site}-{node}", "cleanSession": False, "keepAlive": 30}
    return {
        "host": "localhost:1883",
        "protocol": "mqtt",
        "protocolVersion": "5.0",
        "description": _SERVER,
        "bindings": {"mqtt": {**session, "lastWill": will, "bindingVersion": _BINDING_VERSION}},
    }


def _channel(channel: Channel) -> Part:
    names = re.findall(r"\{(\w+)\}", channel.address)
    return {
        "address": channel.address,
        "description": channel.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
    }


def _operations() -> Part:
    found: Part = {}
    for channel in CHANNELS:
        name = channel.name[0].upper() + channel.name[1:]
        if channel.sends:
            found[f"publish{name}"] = _send(channel)
        if channel.heeds:
            found[f"heed{name}"] = _receive(channel, channel.heeds)
    return found


def _send(channel: Channel) -> Part:
    binding: Part = {"qos": 1, "retain": channel.retain}
    if channel.expiry_s is not None:
        binding["messageExpiryInterval"] = channel.expiry_s
    return {"action": "send", "channel": _link(channel.name), "bindings": _mqtt(binding)}


def _receive(channel: Channel, description: str) -> Part:
    reply = {"reply": {"channel": _link(channel.reply)}} if channel.reply else {}
    return {
        "action": "receive",
        "channel": _link(channel.name),
        "description": description,
        "bindings": _mqtt({"qos": 1}),
        **reply,
    }


def _link(channel: str) -> Part:
    return {"$ref": f"#/channels/{channel}"}


def _mqtt(binding: Part) -> Part:
    return {"mqtt": {**binding, "bindingVersion": _BINDING_VERSION}}


def _messages() -> dict[str, Part]:
    lines = {
        "contentType": "application/zstd",
        "description": "zstd of JSON lines. The schema is that of the lines, as an array.",
    }
    frame = {
        "contentType": "application/zstd",
        "description": "zstd of one msgpack map. The schema is that of the map; docs/encodings.md "
        "says how it is decoded, which gives the same readings, each complete. A first byte other "
        "than `{` tells it from lines.",
    }
    unsigned = {
        "description": "A JSON object of claims. Taken only where the node's configuration has "
        "`[commands.unsigned]`; an alarm stands while it has.",
    }
    return {
        **{name: {"payload": ref(name[0].upper() + name[1:])} for name in _PLAIN},
        "alarmOver": {"description": "No bytes at all.", "payload": {"type": "null"}},
        "jsonBatch": {**lines, "payload": ref("Lines")},
        "compactFrame": {**frame, "payload": ref("CompactFrame")},
        "commandResults": {"payload": ref("ResultPage")},
        "signedCommand": {"contentType": "application/jwt", "payload": _jwt()},
        "unsignedCommand": {**unsigned, "payload": ref("Claims")},
    }


_PLAIN = (
    *("nodeStatus", "inventoryManifest", "inventoryPage"),
    *("minerReading", "hostReading", "gpuReading"),
    *("event", "summary", "alarm", "mark", "commandState"),
)
"""Messages that go by the name of their schema."""


def _jwt() -> Schema:
    part = "[A-Za-z0-9_-]+"
    return {
        "type": "string",
        "description": _JWT,
        "pattern": rf"^{part}\.{part}\.{part}$",
        "maxLength": 524_288,
        "contentMediaType": "application/jwt",
        "x-claims": ref("Claims"),
    }
