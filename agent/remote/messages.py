"""What a node publishes about a command, as types: `docs/asyncapi.yaml` is made from them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from agent.command.effects import Verdict
from agent.command.orders import Evidence
from agent.remote.reasons import Reason
from drivers.actions import Answer


class State(StrEnum):
    """Where a command is in its life."""

    RECEIVED = "received"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    """Waits, for what `waiting_for` says."""
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    """Every device shows the effect."""
    PARTIAL = "partial"
    """Some do."""
    FAILED = "failed"
    """None does."""
    TIMED_OUT = "timed_out"
    """It expired before it had been sent to any device."""
    CANCELLED = "cancelled"
    """It was cancelled before it had been sent to any device."""
    INTERRUPTED = "interrupted"
    """The agent ended in its middle, and what became of it on some device cannot be seen."""

    @property
    def final(self) -> bool:
        """True where nothing follows."""
        return self not in _OPEN


_OPEN = frozenset({State.RECEIVED, State.ACCEPTED, State.SCHEDULED, State.EXECUTING})


class Watts(msgspec.Struct, frozen=True, kw_only=True):
    """The power that devices draw, and what a dry run expects to come of it."""

    drawn_w: float
    """Of the devices meant that say what they draw."""
    change_w: float
    """Expected; negative where load is shed."""
    unknown: int
    """Devices that count in neither: they do not say, or the verb's effect cannot be foreseen."""


class DeviceResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended on one device, or in a dry run what would be done to it."""

    device_id: str
    address: str
    verdict: Verdict
    words: str
    """The device's own, or why nothing was sent."""
    reason: Reason | None = None
    """Of a refusal by this node."""
    answer: Answer | None = None
    before: Evidence | None = None
    """What a reading showed before the order."""
    after: Evidence | None = None
    """What the reading showed that settled it, or the last one that was taken."""
    answered_s: float | None = None
    """From the dispatch to the device's answer."""
    proved_s: float | None = None
    """From the dispatch to the reading that settled it."""
    change_w: float | None = None
    """Dry runs: the effect on the device's power."""


class CommandState(msgspec.Struct, frozen=True, kw_only=True):
    """`node/<node>/cmd/<id>/state`: retained, the newest counts."""

    id: str
    node: str
    state: State
    seq: int
    """Counts the states of this command at this node up."""
    at: datetime
    digest: str
    """SHA-256 (hex) of the command's bytes: what this state is about."""
    words: str
    """For people."""
    reason: Reason | None = None
    """Why it was rejected."""
    verb: str | None = None
    key: str | None = None
    """The id of the key that signed it."""
    dry_run: bool = False
    waiting_for: str | None = None
    """`approval`, `not_before` or `pause`."""
    expires_at: datetime | None = None
    """Nothing of it begins after this."""
    targets: int = 0
    """Devices of this node that are meant."""
    done: int = 0
    """Devices that have their result."""
    verdicts: dict[str, int] = {}
    """Devices by verdict."""
    pages: int = 0
    """Pages of results that have been published."""
    watts: Watts | None = None
    cancelled_by: str | None = None
    """Who stopped it."""


class ResultPage(msgspec.Struct, frozen=True, kw_only=True):
    """`node/<node>/cmd/<id>/results/<page>`: retained; up to `PAGE_DEVICES` devices."""

    id: str
    node: str
    page: int
    results: tuple[DeviceResult, ...]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong now, retained on `alarm/<id>`; nothing stands there when it is over."""

    alarm: str
    """What it is about; `unsigned-commands` is the only one so far."""
    node: str
    since: datetime
    message: str
    """A sentence for people."""


PAGE_DEVICES = 200
