"""What a session tells its owner: callbacks, outcomes and counters."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.mqtt.acknowledgements import Acknowledgement
from agent.mqtt.failure import Cause, LinkLost


class Outcome(enum.Enum):
    """What became of an attempt to hand a message over; only SENT is true."""

    SENT = "sent"
    OFFLINE = "offline"
    FULL = "full"  # the window: try again after a puback
    TOO_LARGE = "too large"  # for this broker: no repetition will help

    def __bool__(self) -> bool:
        return self is Outcome.SENT


@dataclass(frozen=True, slots=True)
class Message:
    """A message that arrived.

    It is acknowledged when `on_message` returns or raises, unless that has called `keep`.
    At QoS 2 as well, it may come twice: exactly once is promised at no QoS.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    response_topic: str | None = None
    correlation: bytes | None = None
    oversized: int = 0
    """How large the payload was that was too large to be read; 0 for all others."""
    acknowledgement: Acknowledgement | None = field(default=None, compare=False, repr=False)
    """The broker's due, at QoS 1 and 2; for `keep` and `acknowledge`."""

    def keep(self) -> None:
        """Leave it to `acknowledge`, which must then follow; only within `on_message`.

        Until it does, the broker gets no acknowledgement of any later message either, and stops
        to send after a few. It brings all of them again after the connection is lost.
        """
        if self.acknowledgement is not None:
            self.acknowledgement.kept = True

    def acknowledge(self) -> None:
        """Tell the broker to forget it; from the event loop. Harmless when repeated or too late."""
        if self.acknowledgement is not None:
            self.acknowledgement.give()


def _ignore(*_: Any) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The owner's callbacks, called in the event loop; what they raise is counted and logged."""

    on_connect: Callable[[], None] = _ignore
    """Connected and subscribed; publish() works from here on."""
    on_disconnect: Callable[[LinkLost, Sequence[int]], None] = _ignore
    """The connection is over; the tokens, oldest first, that were not acknowledged."""
    on_puback: Callable[[int], None] = _ignore
    """The broker has taken the message with this token."""
    on_refused: Callable[[int, int], None] = _ignore
    """The broker refuses the message with this token; the reason code (MQTT 5)."""
    on_message: Callable[[Message], None] = _ignore
    """A message, which is acknowledged on return unless it is kept."""


@dataclass(slots=True)
class Stats:
    """Counters since the session began."""

    attempts: int = 0
    connects: int = 0
    failures: Counter[Cause] = field(default_factory=Counter)
    """Attempts that failed and connections that were lost, by cause."""
    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    too_large: int = 0
    stray_acknowledgements: int = 0
    received: int = 0
    subscriptions_refused: int = 0
    callback_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connected_at: float | None = None
    """Monotonic time of the last CONNACK."""
    progress_at: float | None = None
    """Monotonic time, to about a second, when the broker last showed life."""
