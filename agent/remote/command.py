"""One command at this node: what the journal keeps of it, and where it is in its life."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec

from agent.command.effects import Verdict
from agent.remote.claims import Claims
from agent.remote.messages import CommandState, State, Watts
from agent.remote.reasons import Reason, Rejected

_AT_FIRST = frozenset({State.REJECTED, State.ACCEPTED})
_LATER = frozenset(State) - _AT_FIRST - {State.RECEIVED}
LEAP = 1_000_000
"""Of the numbers of states after a restart: the last ones may have been told and not kept."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What has to be known of a command after a restart."""

    claims: Claims
    digest: str
    key: str
    owner: str | None = None
    site_wide: bool = False
    received_at: float
    expires_at: float
    state: State = State.RECEIVED
    seq: int = 0
    at: float = 0.0
    words: str = ""
    reason: Reason | None = None
    waiting_for: str | None = None
    approved_by: str | None = None
    cancelled_by: str | None = None
    stop_words: str | None = None
    """Why nothing more of it is sent, where that was decided."""
    targets: int = 0
    done: int = 0
    verdicts: dict[str, int] = {}
    pages: int = 0
    watts: Watts | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class Command:
    """A record that moves on, and who waits for it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.changed = asyncio.Event()
        """Set when it was approved or stopped: whoever waits looks again."""

    def __repr__(self) -> str:
        return f"<Command {self.id}: {self.record.claims.verb}, {self.record.state}>"

    @property
    def id(self) -> str:
        """The sender's id."""
        return self.record.claims.jti

    @property
    def final(self) -> bool:
        """True where nothing follows."""
        return self.record.state.final

    @property
    def stop_words(self) -> str | None:
        """Why nothing more of it is sent, where that was decided."""
        return self.record.stop_words

    @property
    def who(self) -> str:
        """The sender, as orders and the audit name him."""
        return f"key:{self.record.key}"

    def move(self, state: State, at: float, words: str, *, waiting_for: str | None = None) -> None:
        """Go on to a state; a step back is an error of ours."""
        record = self.record
        following = _AT_FIRST if record.state is State.RECEIVED else _LATER
        if self.final or state not in following:
            raise ValueError(f"{self}: no way to {state}")
        record.state, record.at, record.words = state, at, words
        record.waiting_for = waiting_for
        record.seq += 1

    def progress(self, at: float) -> None:
        """Count up for another word of the same state."""
        self.record.at = at
        self.record.seq += 1

    def reject(self, why: Rejected, at: float) -> None:
        """End it before it began."""
        self.move(State.REJECTED, at, why.words)
        self.record.reason = why.reason

    def stop(self, words: str, by: str) -> None:
        """Send nothing more of it; the first one to say so is named."""
        if self.record.stop_words is None:
            self.record.stop_words = words
            self.record.cancelled_by = by
            self.changed.set()

    def approve(self, by: str) -> None:
        """Let it go on."""
        self.record.approved_by = by
        self.changed.set()

    def count(self, verdict: Verdict) -> None:
        """Count a device's result."""
        self.record.done += 1
        verdicts = self.record.verdicts
        verdicts[verdict] = verdicts.get(verdict, 0) + 1

    def statement(self, node: str) -> CommandState:
        """What is published of it."""
        record = self.record
        return CommandState(
            id=self.id,
            node=node,
            state=record.state,
            seq=record.seq,
            at=moment(record.at),
            digest=record.digest,
            words=record.words,
            reason=record.reason,
            verb=record.claims.verb,
            key=record.key,
            dry_run=record.claims.dry_run,
            waiting_for=record.waiting_for,
            expires_at=moment(record.expires_at),
            targets=record.targets,
            done=record.done,
            verdicts=dict(record.verdicts),
            pages=record.pages,
            watts=record.watts,
            cancelled_by=record.cancelled_by,
        )


def moment(at: float) -> datetime:
    """Seconds since 1970 as what messages show."""
    return datetime.fromtimestamp(at, UTC)


def outcome(verdicts: dict[str, int]) -> State:
    """The state in which a command ends, from its devices' verdicts. Pure."""
    counts = {Verdict(name): count for name, count in verdicts.items() if count}
    good = sum(count for verdict, count in counts.items() if verdict.good)
    rules = (
        (Verdict.WOULD in counts, State.SUCCEEDED),  # a dry run has done what it was for
        (Verdict.INTERRUPTED in counts, State.INTERRUPTED),
        (good == sum(counts.values()), State.SUCCEEDED),
        (good > 0, State.PARTIAL),
        (set(counts) == {Verdict.CANCELLED}, State.CANCELLED),
        (set(counts) == {Verdict.EXPIRED}, State.TIMED_OUT),
    )
    return next((state for holds, state in rules if holds), State.FAILED)
