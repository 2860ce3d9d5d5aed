"""Why there is no connection: one cause per thing an operator would do about it."""

from __future__ import annotations

import enum

from agent.errors import BrokerUnavailable


class Cause(enum.StrEnum):
    """The kinds of failure, as they are counted."""

    UNREACHABLE = "unreachable"  # no name, no route, connection refused
    TIMEOUT = "timeout"  # no TCP, TLS or CONNACK in time
    TLS = "tls"  # certificate or key, theirs or ours
    CREDENTIALS = "credentials"  # our password or key file cannot be read
    DENIED = "denied"  # the broker does not accept our credentials
    VERSION = "version"  # the broker does not speak this version of MQTT
    REFUSED = "refused"  # CONNACK with any other refusal
    CLOSED = "closed"  # the broker or the network ended the connection
    TAKEN_OVER = "taken over"  # another client uses our client id
    FROZEN = "frozen"  # nothing comes back, not even an answer to a ping
    STALLED = "stalled"  # the broker answers, but a publish stays unacknowledged
    PROTOCOL = "protocol"  # the broker sends what is no MQTT
    INTERNAL = "internal"  # a fault of ours
    STOPPED = "stopped"  # we ended it ourselves


SLOW = frozenset({Cause.DENIED, Cause.TAKEN_OVER})
"""Causes that time alone does not cure: the next try comes late."""


class LinkLost(BrokerUnavailable):
    """A connection, or an attempt at one, is over."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail
