"""The envelope of a command: a compact JWS signed with EdDSA, taken apart and put together. Pure.

What is checked is bytes: no canonical JSON, and one way only to write each part, so that a digest
stands for one command. PyJWT signs. It does not take envelopes apart, since it looks at base64
byte by byte in Python, before the signature is known to be good: 20 ms for 512 KiB, where this
takes 3. The tests hold the two against each other.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, TypeVar

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.terms import Name
from agent.remote.claims import Claims
from agent.remote.reasons import Reason, Rejected

COMMAND_LIMIT_BYTES = 512 * 1024
"""Of the whole payload: a command for 10,000 ids takes about half of it."""
_HEADER_LIMIT_BYTES = 2048
_SIGNATURE_BYTES = 64
"""Of Ed25519; Ed448 goes by the name of EdDSA too and has 114."""
_DEEPEST = 16
"""Levels of `params`: whoever writes them out again later has less stack than the decoder had."""
_MOST_SHOWN = 160
_SIGNER = jwt.PyJWS(algorithms=["EdDSA"])
_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_T = TypeVar("_T")


class Envelope(msgspec.Struct, frozen=True):
    """A command's bytes, taken apart; nothing of it is believed yet."""

    key_id: str | None
    """Who is said to have signed it; None: it is not signed, a plain JSON object."""
    claims_json: bytes
    signing_input: bytes
    signature: bytes
    digest: str

    def __repr__(self) -> str:
        # the claims may hold the passwords of pools
        return f"Envelope(key_id={self.key_id!r}, digest={self.digest!r}, ...)"


class _Header(msgspec.Struct, frozen=True):
    alg: str
    typ: str | None = None
    kid: Name | None = None


def digest_of(payload: bytes) -> str:
    """SHA-256 (hex) of a command's bytes."""
    return hashlib.sha256(payload).hexdigest()


def parse(payload: bytes) -> Envelope:
    """Take a command apart; raises `Rejected` for whatever is no envelope."""
    if len(payload) > COMMAND_LIMIT_BYTES:
        found = f"{len(payload):,} bytes, more than {COMMAND_LIMIT_BYTES:,}"
        raise Rejected(Reason.TOO_LARGE, found)
    if payload.startswith(b"{"):
        return Envelope(None, payload, b"", b"", digest_of(payload))
    parts = payload.split(b".", 3)
    if len(parts) != 3:
        raise _malformed(
            "command", "expected a JWT, three parts divided by dots: header.claims.signature"
        )
    key_id = _key_id(_read_header(parts[0]), parts[2])
    signature = _decoded(parts[2], "signature")
    if len(signature) != _SIGNATURE_BYTES:
        problem = f"expected {_SIGNATURE_BYTES} bytes (Ed25519), found {len(signature)}"
        raise _malformed("signature", problem)
    signing_input = payload[: -len(parts[2]) - 1]
    claims = _decoded(parts[1], "claims")
    return Envelope(key_id, claims, signing_input, signature, digest_of(payload))


def read_claims(envelope: Envelope) -> Claims:
    """What it says; raises `Rejected` (malformed) naming the place and the type, no values."""
    claims = _read_json(envelope.claims_json, Claims, "claims")
    if not _within(claims.params, _DEEPEST):
        raise _malformed("claims", f"nested deeper than {_DEEPEST} levels - at `$.params`")
    return claims


def sign(claims: Mapping[str, Any], private_key: Ed25519PrivateKey, key_id: str) -> bytes:
    """The payload of a command."""
    text = msgspec.json.encode(claims)
    return _SIGNER.encode(text, private_key, algorithm="EdDSA", headers={"kid": key_id}).encode()


# --- the header --------------------------------------------------------------------------


def _read_header(part: bytes) -> _Header:
    if len(part) > _HEADER_LIMIT_BYTES:
        problem = f"{len(part):,} bytes, more than {_HEADER_LIMIT_BYTES:,}"
        raise _malformed("header", problem)
    text = _decoded(part, "header")
    header = _read_json(text, _Header, "header")
    # RFC 7515, 4.1.11: who does not know an extension that is critical has to refuse it. `b64`
    # (RFC 7797) would have the claims stand in another form.
    for name in ("crit", "b64"):
        if name in json.loads(text):
            raise _malformed("header", f"`{name}` is not supported")
    return header


def _key_id(header: _Header, signature: bytes) -> str:
    if header.alg.lower() == "none":
        raise Rejected(Reason.UNSIGNED, 'not signed: the header says "alg": "none"')
    if header.alg != "EdDSA":
        raise _malformed("header", f"expected EdDSA, found {_short(header.alg)} - at `$.alg`")
    if header.typ is not None and header.typ.upper() != "JWT":
        raise _malformed("header", f"expected JWT, found {_short(header.typ)} - at `$.typ`")
    if not signature:
        raise Rejected(Reason.UNSIGNED, "not signed: nothing stands behind the second dot")
    if header.kid is None:
        raise _malformed("header", "missing, it names the key - at `$.kid`")
    return header.kid


# --- strict base64url and JSON -----------------------------------------------------------


def _decoded(part: bytes, name: str) -> bytes:
    """Base64url without padding, in the one way to write it."""
    if odd := part.translate(None, _BASE64URL)[:1]:
        raise _malformed(name, f"byte {part.index(odd)} is {odd!r}, not base64url")
    try:
        found = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise _malformed(name, f"cut off: no base64url has {len(part)} characters") from None
    if urlsafe_b64encode(found).rstrip(b"=") != part:
        raise _malformed(name, "its last character has bits that mean nothing (RFC 4648, 3.5)")
    return found


def _read_json(text: bytes, wanted: type[_T], name: str) -> _T:
    try:
        found = msgspec.json.decode(text, type=wanted)
        # msgspec takes the last of members of one name, others the first: two meanings
        json.loads(text, object_pairs_hook=_only_once)
    except RecursionError:
        raise _malformed(name, "nested too deeply") from None
    except ValueError as error:
        # msgspec names types and places, and of what it found only the names of members
        raise _malformed(name, _short(str(error))) from None
    return found


def _only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"Object contains the field `{name}` more than once")
        found[name] = value
    return found


def _within(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_within(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_within(item, levels - 1) for item in value)
    return True


def _malformed(where: str, problem: str) -> Rejected:
    return Rejected(Reason.MALFORMED, f"{where}: {problem}")


def _short(text: str) -> str:
    shown = text.encode("ascii", "backslashreplace").decode()
    shown = "".join(char if char.isprintable() else "?" for char in shown)
    return shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + "..."
