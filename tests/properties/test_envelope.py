"""Whatever the bytes: an envelope, or a reason; and never more than other libraries take."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from agent.remote.claims import Claims
from agent.remote.envelope import Envelope, digest_of, parse, read_claims, sign
from agent.remote.reasons import Reason, Rejected

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CLAIMS: dict[str, Any] = {"jti": "c-1", "aud": "north", "iat": 1, "verb": "locate", "exp": 60}
GOOD = sign(CLAIMS, KEY, "ops")
THEIRS = jwt.PyJWS(algorithms=["EdDSA"])
OWN = {Reason.TOO_LARGE, Reason.MALFORMED, Reason.UNSIGNED}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15
)
NAMES = st.sampled_from([*CLAIMS, "target", "params", "rollout", "nbf", "iss", "dry_run", "x"])
MEMBERS = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x"])
ALGORITHMS = st.sampled_from(["EdDSA", "none", "HS256", "eddsa", ""])


def b64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def judged(payload: bytes) -> tuple[Envelope, Claims] | None:
    """What becomes of it; anything but `Rejected` is an error of ours."""
    try:
        envelope = parse(payload)
        claims = read_claims(envelope)
    except Rejected as error:
        check_reason(error)
        return None
    assert envelope.digest == digest_of(payload)
    return envelope, claims


def check_reason(error: Rejected) -> None:
    assert error.reason in OWN
    assert error.words.isprintable()
    assert len(error.words) < 300


def check_against_theirs(payload: bytes) -> None:
    """What we take as signed PyJWT takes too, and reads the same in it."""
    with suppress(Rejected, InvalidSignature):
        envelope = parse(payload)
        if envelope.key_id is None:
            return
        KEY.public_key().verify(envelope.signature, envelope.signing_input)
        theirs = THEIRS.decode_complete(payload, KEY.public_key(), algorithms=["EdDSA"])
        assert theirs["payload"] == envelope.claims_json
        assert theirs["header"]["kid"] == envelope.key_id
        assert theirs["signature"] == envelope.signature


@given(st.binary() | st.text().map(str.encode) | st.binary().map(lambda tail: b"{" + tail))
@example(b"")
@example(b"{")
@example(b"..")
@example(b'{"a":' * 100_000)
def test_any_bytes(payload: bytes) -> None:
    judged(payload)
    check_against_theirs(payload)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 8), st.binary(max_size=8))),
)
def test_a_good_token_cut_and_pasted(edits: list[tuple[int, int, bytes]]) -> None:
    payload = GOOD
    for at, length, new in edits:
        payload = payload[:at] + new + payload[at + length :]
    check_against_theirs(payload)
    found = judged(payload)
    if payload != GOOD and found is not None and found[0].key_id is not None:
        envelope = found[0]
        try:
            KEY.public_key().verify(envelope.signature, envelope.signing_input)
        except InvalidSignature:
            return
        raise AssertionError("other bytes of the same meaning")


@given(
    st.dictionaries(MEMBERS, ANYTHING | ALGORITHMS),
    st.dictionaries(NAMES, ANYTHING),
    st.booleans(),
)
def test_any_header_and_claims_well_signed(
    header: dict[str, Any], claims: dict[str, Any], whole: bool
) -> None:
    """`json` writes NaN, Infinity and lone surrogates too."""
    if whole:
        header = {"alg": "EdDSA", "kid": "ops", **header}
        claims = {**CLAIMS, **claims}
    signing_input = b64(json.dumps(header).encode()) + b"." + b64(json.dumps(claims).encode())
    payload = signing_input + b"." + b64(KEY.sign(signing_input))
    check_against_theirs(payload)
    judged(payload)
    judged(json.dumps(claims).encode())


@given(st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3))
def test_what_is_sent_is_what_is_read(params: dict[str, Any]) -> None:
    payload = json.dumps({**CLAIMS, "params": params}).encode()
    found = judged(payload)
    if found is not None:
        assert found[1].params == json.loads(payload)["params"]
