"""Which topics there are, what is said on them, and how: the prose of the document.

The topics themselves are those of `agent.mqtt.topics`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from agent.mqtt.topics import Topics

KEPT_S = 86_400
"""How long brokers that speak MQTT 5 keep what is said of a command."""

PARAMETERS = {
    "site": "The site's name.",
    "node": "The node's name.",
    "stream": "telemetry or event.",
    "page": "The number of the page, from 0.",
    "device": "The device's id. Characters other than letters, digits and `.`, `_`, `:`, `-` are "
    "written as `%XX`; an id over 128 characters is cut and hashed.",
    "alarm": "The alarm, and the node where it is one of a node: `unsigned-commands-<node>`.",
    "command": "The id of the command: the `jti` of its claims.",
}


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, as an agent uses it."""

    name: str
    topic: Callable[[Topics], str]
    description: str
    messages: tuple[str, ...]
    sends: bool = True
    """Whether the agent publishes here."""
    retain: bool = False
    expiry_s: int | None = None
    """With MQTT 5: how long the broker keeps it."""
    heeds: str | None = None
    """Where the agent listens: what it does about it, or what the sender has to know."""
    reply: str | None = None
    """The channel of the answer to what the agent hears."""

    @property
    def address(self) -> str:
        """The topic with its parameters in braces."""
        return re.sub(r"-(\w+)-", r"{\1}", self.topic(Topics("-site-", "-node-")))


def _all_nodes(topics: Topics) -> str:
    return topics.commands[0].replace("+", "-command-")


def _one_node(topics: Topics) -> str:
    return topics.commands[1].replace("+", "-command-")


def _numbered(topic: str) -> str:
    """The topic of page 0 without the number."""
    return f"{topic.removesuffix('0')}-page-"


_READINGS = ("minerReading", "hostReading", "gpuReading")
_BATCHES = ("jsonBatch", "compactFrame")
_LATE = "The same, of readings that could not be sent within seconds of being taken."
_COMMANDS = ("signedCommand", "unsignedCommand")

CHANNELS = (
    Channel(
        name="nodeStatus",
        topic=lambda topics: topics.node_status,
        description="Whether the node is online, and what it serves. Also the Will.",
        messages=("nodeStatus",),
        retain=True,
        heeds="The agent hears the whole roster: nodes that are online count with their devices "
        "where a command has `max_targets`. Where a late Will has said `offline` of the node "
        "itself, it publishes `online` again.",
    ),
    Channel(
        name="inventoryManifest",
        topic=lambda topics: topics.inventory_manifest,
        description="The pages of the inventory with their hashes, and the node's share of the "
        "site.",
        messages=("inventoryManifest",),
        retain=True,
        heeds="The agent hears how many devices of which kind the other nodes have.",
    ),
    Channel(
        name="inventoryPage",
        topic=lambda topics: _numbered(topics.inventory_page(0)),
        description="Up to 500 devices. A page that the manifest does not name is out of date.",
        messages=("inventoryPage",),
        retain=True,
    ),
    Channel(
        name="telemetry",
        topic=lambda topics: topics.telemetry("-device-"),
        description="One reading of one device. The topic stays when another node takes the device "
        "over.",
        messages=_READINGS,
    ),
    Channel(
        name="telemetryHistory",
        topic=lambda topics: topics.telemetry_history("-device-"),
        description=_LATE,
        messages=_READINGS,
    ),
    Channel(
        name="batchLive",
        topic=lambda topics: topics.batch_live,
        description="Readings of many devices in one message, with the encodings `json-batch` and "
        "`compact`.",
        messages=_BATCHES,
    ),
    Channel(
        name="batchHistory",
        topic=lambda topics: topics.batch_history,
        description=_LATE,
        messages=_BATCHES,
    ),
    Channel(
        name="event",
        topic=lambda topics: topics.event,
        description="What happened to a device, or was done to one or several.",
        messages=("event",),
    ),
    Channel(
        name="summary",
        topic=lambda topics: topics.summary,
        description="Totals over the node's fleet, and how polling and delivery fare.",
        messages=("summary",),
        retain=True,
    ),
    Channel(
        name="alarm",
        topic=lambda topics: topics.alarm("-alarm-"),
        description="What is wrong now. The message is empty when it is over, and at the start of "
        "the agent where nothing is wrong.",
        messages=("alarm", "alarmOver"),
        retain=True,
    ),
    Channel(
        name="mark",
        topic=lambda topics: topics.acknowledgement("-stream-"),
        description="How far a consumer has stored a stream. Obeyed with "
        '`acknowledged_by = "consumer"`.',
        messages=("mark",),
        sends=False,
        heeds="Publish marks retained, so that they are known on every connection.",
    ),
    Channel(
        name="command",
        topic=_all_nodes,
        description="A command to every node of the site: each answers for its own devices.",
        messages=_COMMANDS,
        sends=False,
        heeds="Publish commands at QoS 1 and never retained: a retained one is rejected. The same "
        "bytes once more, at whatever time, bring the last state again and do nothing else. With "
        "MQTT 5 a response topic gets every state too, with the correlation data; below `stoker/` "
        "it has to begin with `stoker/v1/{site}/reply/`.",
        reply="commandState",
    ),
    Channel(
        name="nodeCommand",
        topic=_one_node,
        description="A command to one node.",
        messages=_COMMANDS,
        sends=False,
        heeds="As a command to all nodes.",
        reply="commandState",
    ),
    Channel(
        name="commandState",
        topic=lambda topics: topics.command_state("-command-"),
        description="Where a command is in its life at one node. The newest counts.",
        messages=("commandState",),
        retain=True,
        expiry_s=KEPT_S,
    ),
    Channel(
        name="commandResults",
        topic=lambda topics: _numbered(topics.command_results("-command-", 0)),
        description="What became of a command on up to 200 devices.",
        messages=("commandResults",),
        retain=True,
        expiry_s=KEPT_S,
    ),
)
