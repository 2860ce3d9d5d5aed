"""The topic grammar of the MQTT contract, version 1."""

from __future__ import annotations

import hashlib
import re

PREFIX = "stoker/v1"
LEVEL_LIMIT = 128

_plain = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch
_foreign = re.compile(rb"[^A-Za-z0-9._:-]")


def topic_level(text: str) -> str:
    """`text` as exactly one topic level: other characters as %XX, long text cut and hashed.

    Two texts never share a level, so that hostile hardware cannot speak for a neighbour.
    """
    if _plain(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    level = _foreign.sub(lambda found: b"%%%02X" % found.group()[0], raw).decode("ascii")
    if len(level) <= LEVEL_LIMIT:
        return level or "%"
    # "~" is escaped above, so a cut level never equals a whole one.
    return f"{level[:64]}~{hashlib.sha256(raw).hexdigest()[:32]}"


def check_filter(name: str) -> str:
    """`name`, if it is a filter one can subscribe to; ValueError if not."""
    levels = name.split("/")
    lone = all(level in {"+", "#"} or not set(level) & {"+", "#"} for level in levels)
    if not 0 < len(name.encode()) < 65_536 or "\0" in name or not lone or "#" in levels[:-1]:
        raise ValueError(f"no topic filter: {name[:80]!r}")
    return name


class Topics:
    """Names every topic that one node of one site uses."""

    def __init__(self, site: str, node: str) -> None:
        self.node = topic_level(node)
        self.root = f"{PREFIX}/{topic_level(site)}"
        self.node_status = f"{self.root}/node/{self.node}/status"
        self.inventory_manifest = f"{self.root}/inventory/{self.node}"
        self.summary = f"{self.root}/summary/{self.node}"
        self.event = f"{self.root}/event/{self.node}"
        self.batch_live = f"{self.root}/batch/{self.node}/live"
        self.batch_history = f"{self.root}/batch/{self.node}/hist"
        self.commands = (f"{self.root}/cmd/+", f"{self.root}/node/{self.node}/cmd/+")
        """Filters of everything this node may be told to do."""
        self.roster = (f"{self.root}/node/+/status", f"{self.root}/inventory/+")
        """Filters of what every node of the site says of itself."""
        self.acknowledgements = f"{self.root}/ack/{self.node}/+"
        """Filter of the consumers' high-water marks."""
        self._device = f"{self.root}/device/"

    def roster_place(self, topic: str) -> tuple[str, str] | None:
        """`status` or `inventory`, and whose: where a topic is one of the roster's."""
        match topic.removeprefix(f"{self.root}/").split("/"):
            case ["node", node, "status"]:
                return "status", node
            case ["inventory", node]:
                return "inventory", node
        return None

    def telemetry(self, device_id: str) -> str:
        """Where a device's current readings go."""
        return f"{self._device}{topic_level(device_id)}/telemetry"

    def telemetry_history(self, device_id: str) -> str:
        """Where readings go that could not be sent in time."""
        return f"{self._device}{topic_level(device_id)}/telemetry/hist"

    def inventory_page(self, page: int) -> str:
        """Where one page of the inventory stands."""
        return f"{self.inventory_manifest}/{page}"

    def alarm(self, alarm_id: str) -> str:
        """Where an alarm stands while it lasts."""
        return f"{self.root}/alarm/{topic_level(alarm_id)}"

    def command_state(self, command_id: str) -> str:
        """Where this node reports what became of a command."""
        return f"{self.root}/node/{self.node}/cmd/{topic_level(command_id)}/state"

    def command_results(self, command_id: str, page: int) -> str:
        """Where this node reports what became of a command on each device."""
        return f"{self.root}/node/{self.node}/cmd/{topic_level(command_id)}/results/{page}"

    def acknowledgement(self, stream: str) -> str:
        """Where a consumer says how far it has stored a stream."""
        return f"{self.root}/ack/{self.node}/{topic_level(stream)}"
