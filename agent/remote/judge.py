"""Holds a message against everything that a command has to fulfil, the cheap checks first.

Nothing here waits and nothing is written: who it is from, whether it is known, whether its time is
right, what it asks for, on how many devices, and whether anything speaks against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.fleet.inventory import Device
from agent.mqtt.events import Message
from agent.remote.admission import Admission
from agent.remote.claims import Claims
from agent.remote.command import Command, Record, moment
from agent.remote.envelope import COMMAND_LIMIT_BYTES, digest_of, parse, read_claims
from agent.remote.parts import Parts
from agent.remote.reasons import Reason, Rejected
from agent.remote.replies import reply_topic
from agent.remote.ring import Key, Ring

LIFETIME_S = 86_400.0
"""The longest that a command may wait; the journal knows its id for longer than that."""


class Address(NamedTuple):
    """Where a message was sent to."""

    command_id: str
    site_wide: bool


class Refused(NamedTuple):
    """A message that is no command of ours; nothing of it is kept."""

    error: Rejected
    digest: str | None


class Repeated(NamedTuple):
    """A command that is known already."""

    command_id: str


class New(NamedTuple):
    """A command that is to be kept: accepted, or rejected for good."""

    command: Command
    devices: tuple[Device, ...] = ()


Judgement = Refused | Repeated | New


class Judge:
    """Judges one message after the other."""

    def __init__(
        self,
        parts: Parts,
        ring: Callable[[], Ring],
        admission: Admission,
        known: Mapping[str, str],
        skew_s: Callable[[], float],
    ) -> None:
        """`known`: the digests of the commands in the journal, by id."""
        self._root = parts.topics.root
        self._audiences = {parts.site, f"{parts.site}/{parts.topics.node}"}
        self._ring = ring
        self._admission = admission
        self._known = known
        self._born_at = parts.journal.born_at
        self._skew_s = skew_s
        self._clock = parts.clock

    def judge(self, message: Message, address: Address) -> Judgement:
        """What a message is; raises nothing."""
        digest: str | None = None
        try:
            _check_form(message)
            digest = digest_of(message.payload)
            if self._known.get(address.command_id) == digest:
                return Repeated(address.command_id)
            claims, key = self._screened(message.payload, address)
            if claims.jti in self._known:
                raise Rejected(Reason.ID_REUSED, f"{claims.jti} is the id of another command")
        except Rejected as error:
            return Refused(error, digest)
        return self._new(claims, key, digest, message, address)

    def _screened(self, payload: bytes, address: Address) -> tuple[Claims, Key]:
        """Who sends what, to us; raises `Rejected`."""
        envelope = parse(payload)
        key = self._ring().verify(envelope, moment(self._clock.now()))
        claims = read_claims(envelope)
        if claims.jti != address.command_id:
            raise Rejected(
                Reason.ID_MISMATCH, f"jti is {claims.jti}, the topic says {address.command_id}"
            )
        if claims.aud not in self._audiences:
            meant = " or ".join(sorted(self._audiences))
            raise Rejected(Reason.WRONG_AUDIENCE, f"aud is {claims.aud!a}, this is {meant}")
        return claims, key

    def _new(
        self, claims: Claims, key: Key, digest: str, message: Message, address: Address
    ) -> New:
        now = self._clock.now()
        command = Command(
            Record(
                claims=claims,
                digest=digest,
                key=key.id,
                owner=key.owner,
                # aud may say less than the topic: a command for one node is no matter of the site's
                site_wide=address.site_wide and "/" not in claims.aud,
                received_at=now,
                expires_at=self._admission.expires_at(claims),
                response_topic=reply_topic(message.response_topic, self._root),
                correlation=message.correlation,
            )
        )
        try:
            self._check_time(command, now)
            devices = self._admission.admit(command, key, now)
        except Rejected as error:
            command.reject(error, now)
            return New(command)
        return New(command, tuple(devices))

    def _check_time(self, command: Command, now: float) -> None:
        claims, expires_at = command.record.claims, command.record.expires_at
        if now >= expires_at:
            raise Rejected(Reason.EXPIRED, f"expired {now - expires_at:.0f} s ago")
        if claims.iat > now + self._skew_s() and not self._admission.lost_in_time(claims):
            raise Rejected(
                Reason.NOT_YET_VALID,
                f"issued {claims.iat - now:.0f} s in the future by this node's clock",
            )
        if expires_at - claims.iat > LIFETIME_S:
            raise Rejected(
                Reason.TOO_LONG_LIVED,
                f"exp is {expires_at - claims.iat:.0f} s after iat, at most {LIFETIME_S:.0f}",
            )
        if claims.iat < self._born_at - self._skew_s():
            raise Rejected(
                Reason.REPLAYED,
                "issued before this node's journal began: it may have been run already",
            )


def _check_form(message: Message) -> None:
    size = message.oversized or len(message.payload)
    if size > COMMAND_LIMIT_BYTES:
        raise Rejected(
            Reason.TOO_LARGE, f"{size} bytes, a command has at most {COMMAND_LIMIT_BYTES}"
        )
    if message.retain:
        raise Rejected(
            Reason.RETAINED,
            "published with the retain flag: it would be run again by whoever comes",
        )
