"""What one session is told: the broker, and who this client is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.config.schema import Mqtt


@dataclass(frozen=True, slots=True)
class Statement:
    """A retained message that describes this node."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How to reach the broker, and what to ask of it.

    `will` and `farewell` are called anew for every connection.
    """

    mqtt: Mqtt
    client_id: str
    clean: bool
    """True: the broker forgets this client when it goes (telemetry); False: it keeps its
    subscriptions and queues their messages (control)."""
    session_expiry_s: int = 86_400
    will: Callable[[], Statement] | None = None
    farewell: Callable[[], Statement] | None = None
    farewell_timeout_s: float = 2.0
    inbound_limit: int = 1 << 20
    """The largest packet, in bytes, that is read whole; a larger message comes without its
    payload."""
