"""The nodes of a site, and how many devices of each a command may mean. Pure.

Fed with what the nodes keep on the broker. Anybody may have written that: what is no status or no
manifest is counted, and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from agent.fleet.shares import UNCOUNTABLE
from agent.mqtt.topics import LEVEL_LIMIT
from agent.remote.claims import Target
from agent.remote.selecting import wanted

MOST_NODES = 1000
UNKNOWN_SHARE = 1_000_001
"""Of a node that has not said what it has: more than any command may mean."""
_MOST_BYTES = 1 << 20
_MOST_BYTES_IN_ALL = 16 << 20
"""Of all manifests that are remembered; decoded they take some times as much."""

_Devices = Annotated[int, Meta(ge=0, le=1_000_000)]
_T = TypeVar("_T")


class _Presence(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"


class _Status(msgspec.Struct):
    state: _Presence
    epoch: Annotated[int, Meta(ge=0)] = 0


class _Manifest(msgspec.Struct):
    devices: _Devices
    counts: dict[str, dict[str, _Devices]] = {}
    uncounted: tuple[str, ...] | None = None
    """None: the node counts nothing."""


class _Share:
    """What one node says it has."""

    def __init__(self, manifest: _Manifest, size: int) -> None:
        self.size = size
        """Bytes of the manifest."""
        self._counts = {key: _folded(values) for key, values in manifest.counts.items()}
        self._uncounted = None if manifest.uncounted is None else frozenset(manifest.uncounted)
        # `devices` counts the host too, which no command means
        counted = self._counts_key("kind")
        self.devices = sum(self._counts.get("kind", {}).values()) if counted else manifest.devices

    def _counts_key(self, key: str) -> bool:
        told = self._uncounted
        return told is not None and key not in told and key not in UNCOUNTABLE

    def most(self, wanted: Mapping[str, frozenset[str]]) -> int:
        """At most so many of its devices fulfil all conditions."""
        bounds = [
            sum(self._counts.get(key, {}).get(value, 0) for value in values)
            for key, values in wanted.items()
            if self._counts_key(key)
        ]
        return min(self.devices, *bounds) if bounds else self.devices


class Roster:
    """Who else is at the site."""

    def __init__(self, node: str) -> None:
        """`node`: this one, which is not among the others."""
        self._node = node
        self._status: dict[str, _Status] = {}
        self._shares: dict[str, _Share] = {}
        self.ignored: Counter[str] = Counter()
        """Messages that were not believed: `malformed`, `outdated`, `too_many` nodes, and
        manifests that are `too_much` to remember: what such a node has is not known."""

    def on_status(self, node: str, payload: bytes) -> None:
        """What stands on `node/<node>/status`; a node whose status is cleared is forgotten."""
        if not payload:
            self._status.pop(node, None)
            self._shares.pop(node, None)
            return
        said = self._believed(node, payload, _Status, self._status)
        if said is None:
            return
        before = self._status.get(node)
        # A late Will. A lower epoch that is online is a node that was set up anew: it is there.
        if before and said.state is _Presence.OFFLINE and said.epoch < before.epoch:
            self.ignored["outdated"] += 1
            return
        self._status[node] = said

    def on_manifest(self, node: str, payload: bytes) -> None:
        """What stands on `inventory/<node>`."""
        if not payload:
            self._shares.pop(node, None)
            return
        said = self._believed(node, payload, _Manifest, self._shares)
        if said is None:
            return
        self._shares.pop(node, None)
        if sum(share.size for share in self._shares.values()) + len(payload) > _MOST_BYTES_IN_ALL:
            self.ignored["too_much"] += 1
            return
        self._shares[node] = _Share(said, len(payload))

    def others(self) -> list[str]:
        """The other nodes that are online."""
        return sorted(
            node
            for node, status in self._status.items()
            if status.state is _Presence.ONLINE and node != self._node
        )

    def silent(self) -> list[str]:
        """Those of the others that have not said what they have."""
        return [node for node in self.others() if node not in self._shares]

    def most_elsewhere(self, target: Target, known: int) -> int:
        """At most so many devices of the other nodes online are meant.

        `known` devices of this node are. A node's share is as old as its manifest: it lags by the
        seconds in which changes gather, and after a start until its devices have answered.
        """
        conditions = wanted(target)
        most = sum(
            self._shares[node].most(conditions) if node in self._shares else UNKNOWN_SHARE
            for node in self.others()
        )
        return min(most, max(0, len(set(target.ids)) - known)) if target.ids else most

    def _believed(
        self, node: str, payload: bytes, wanted: type[_T], known: Mapping[str, object]
    ) -> _T | None:
        if node not in known and len(known) >= MOST_NODES:
            self.ignored["too_many"] += 1
            return None
        try:
            if len(payload) <= _MOST_BYTES and len(node) <= LEVEL_LIMIT:
                return msgspec.json.decode(payload, type=wanted)
        except (ValueError, RecursionError):
            pass
        self.ignored["malformed"] += 1
        return None


def _folded(values: Mapping[str, int]) -> dict[str, int]:
    """Values that selectors take for the same, as one."""
    found: Counter[str] = Counter()
    for value, count in values.items():
        found[value.lower()] += count
    return found
