"""The keys that this node takes commands from. Pure: it is made anew when the configuration is."""

from __future__ import annotations

from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.config import commands as settings
from agent.config import public_keys
from agent.fleet.inventory import Device
from agent.remote.envelope import Envelope
from agent.remote.rate import Bucket
from agent.remote.reasons import Reason, Rejected
from agent.remote.rights import Rights


class Key:
    """Who sends a command, and what he may do."""

    def __init__(self, given: settings.Rights) -> None:
        signing = given if isinstance(given, settings.SigningKey) else None
        self.id: str = signing.id if signing else settings.UNSIGNED
        self.owner: str | None = signing.owner if signing else None
        self._rights = Rights(given)
        self._bucket = Bucket(given.per_minute)

    def __repr__(self) -> str:
        return f"<Key {self.id}>"

    @property
    def max_targets(self) -> int | None:
        """Devices of one command, over the whole site; None: as many as there are."""
        return self._rights.max_targets

    def permit(self, verb: str, now: datetime) -> None:
        """Raises `Rejected` (not permitted) where it may not order a verb at this moment."""
        if objection := self._rights.objection(verb, now):
            raise Rejected(Reason.NOT_PERMITTED, f"key {self.id}: {objection}")

    def covers(self, device: Device) -> bool:
        """Whether its kinds and tags reach a device."""
        return self._rights.covers(device)

    def may_approve(self, verb: str) -> bool:
        """Whether it may be the second person for a verb."""
        return self._rights.may_approve(verb)

    def take(self, monotonic: float) -> None:
        """Count a command; raises `Rejected` (rate limited) where there were too many."""
        if wait_s := self._bucket.take(monotonic):
            problem = f"more than {self._bucket.per_minute:g} commands a minute"
            words = f"key {self.id}: {problem}; the next in {wait_s:.1f} s"
            raise Rejected(Reason.RATE_LIMITED, words)

    def adopt(self, former: Key) -> None:
        """Go on counting where the former key of this id left off, if its rate is the same."""
        if former._bucket.per_minute == self._bucket.per_minute:
            self._bucket = former._bucket


class Ring:
    """All keys, and those that count no more."""

    def __init__(self, commands: settings.Commands) -> None:
        self._settings = {key.id: key for key in commands.key}
        self._keys = {key.id: Key(key) for key in commands.key}
        self._public = {key.id: _public_key(key) for key in commands.key}
        self._revoked = {revoked.id: revoked for revoked in reversed(commands.revoked)}
        self._unsigned = None if commands.unsigned is None else Key(commands.unsigned)

    @property
    def takes_unsigned(self) -> bool:
        """True where commands without a signature are taken."""
        return self._unsigned is not None

    def key(self, key_id: str) -> Key | None:
        """The key of an id; None where none is called so, or it was revoked."""
        if key_id == settings.UNSIGNED:
            return self._unsigned
        return None if key_id in self._revoked else self._keys.get(key_id)

    def verify(self, envelope: Envelope, now: datetime) -> Key:
        """Whose command it is; raises `Rejected` where it is nobody's that counts."""
        if envelope.key_id is None:
            return self._nobody()
        key_id = envelope.key_id
        # first of all, and without asking the clock: a node that thinks it is 1970 obeys too
        if revoked := self._revoked.get(key_id):
            words = f"key {key_id} was revoked at {revoked.at.isoformat()}: {revoked.reason}"
            raise Rejected(Reason.REVOKED_KEY, words)
        if key_id not in self._keys:
            raise Rejected(Reason.UNKNOWN_KEY, f"no key is called {key_id} at this node")
        try:
            self._public[key_id].verify(envelope.signature, envelope.signing_input)
        except InvalidSignature:
            words = f"not signed with key {key_id}, or changed on the way"
            raise Rejected(Reason.BAD_SIGNATURE, words) from None
        self._check_time(self._settings[key_id], now)
        return self._keys[key_id]

    def adopt(self, former: Ring) -> None:
        """Keys that stay go on counting: reading the configuration again gives nobody more."""
        for key_id, key in self._keys.items():
            other = former._settings.get(key_id)
            if other and other.public_key == self._settings[key_id].public_key:
                key.adopt(former._keys[key_id])
        if self._unsigned and former._unsigned:
            self._unsigned.adopt(former._unsigned)

    def _nobody(self) -> Key:
        if self._unsigned is None:
            words = "not signed: a plain JSON object, and this node has no [commands.unsigned]"
            raise Rejected(Reason.UNSIGNED, words)
        return self._unsigned

    def _check_time(self, key: settings.SigningKey, now: datetime) -> None:
        if key.not_before and now < key.not_before:
            words = f"key {key.id} counts only from {key.not_before.isoformat()} on"
            raise Rejected(Reason.REVOKED_KEY, words)
        if key.not_after and now > key.not_after:
            words = f"key {key.id} ended at {key.not_after.isoformat()}"
            raise Rejected(Reason.REVOKED_KEY, words)


def _public_key(key: settings.SigningKey) -> Ed25519PublicKey:
    # of a loaded configuration it is always there, whether it stood in a file or not
    return Ed25519PublicKey.from_public_bytes(public_keys.decode(key.public_key or ""))
