"""Why a command is rejected: a closed list that senders may rely on."""

from __future__ import annotations

from enum import StrEnum

from agent.errors import AgentError


class Reason(StrEnum):
    """What was wrong with a command."""

    TOO_LARGE = "too_large"
    RETAINED = "retained"
    """It stood on the broker: whoever comes later would run it again."""
    MALFORMED = "malformed"
    """No signed command, or claims of the wrong type; the words name which."""
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    BAD_SIGNATURE = "bad_signature"
    ID_MISMATCH = "id_mismatch"
    """Sent under the id of another command."""
    WRONG_AUDIENCE = "wrong_audience"
    """Meant for another site or node."""
    ID_REUSED = "id_reused"
    """A known id with other bytes."""
    REPLAYED = "replayed"
    """Older than this node's journal: whether it was run before nobody knows."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    """Issued in the future."""
    TOO_LONG_LIVED = "too_long_lived"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    """This node does not know the time: it takes only what sheds."""
    UNKNOWN_VERB = "unknown_verb"
    BAD_PARAMS = "bad_params"
    BAD_TARGET = "bad_target"
    NO_TARGET = "no_target"
    """No device of this node is meant."""
    NOT_PERMITTED = "not_permitted"
    """The key may not do this, there, or at this hour."""
    TOO_MANY_TARGETS = "too_many_targets"
    RATE_LIMITED = "rate_limited"
    LOCKED = "locked"
    """Every device meant is locked out on the spot."""
    NOT_ALLOWED = "not_allowed"
    """This node's configuration lets it be done to none of the devices meant."""
    INCAPABLE = "incapable"
    """None of the devices meant can do it."""
    NOT_READ = "not_read"
    """The device has not answered since the agent started: what it can do is not known."""
    RECOVERING = "recovering"
    """An earlier change of the device was interrupted and is being put right first."""
    BUSY = "busy"
    """More commands are under way than this node takes."""
    UNKNOWN_COMMAND = "unknown_command"
    """What is to be approved or cancelled is not known, or over."""
    JOURNAL_FAILED = "journal_failed"
    """It could not be written down, so it is not run."""


class Rejected(AgentError):
    """A command is not run."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words
