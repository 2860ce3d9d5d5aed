"""A million envelopes that nobody signed as they stand: none of them reaches a driver."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.commands import Signer
from tests.remote import RemoteHouse, remote_house, ring
from tests.unit.test_command_dispatch import _known_by_address

__all__ = ["_known_by_address"]

ENVELOPES = int(os.environ.get("FUZZED_ENVELOPES", "1000000"))
SEED = int(os.environ.get("SOAK_SEED") or 1)
AT_ONCE = 500
OPS, THIEF = Signer("ops"), Signer("ops")
WRONG: tuple[Any, ...] = (
    None,
    "x",
    True,
    -1,
    1e300,
    "",
    "x" * 300,
    [],
    [[]],
    {},
    {"": 0},
    "\0",
    "💥",
)


def flipped(rng: random.Random, token: bytes, _claims: dict[str, Any]) -> bytes:
    at = rng.randrange(len(token))
    return token[:at] + bytes((token[at] ^ 1 << rng.randrange(8),)) + token[at + 1 :]


def cut(rng: random.Random, token: bytes, _claims: dict[str, Any]) -> bytes:
    start, end = sorted((rng.randrange(len(token)), rng.randrange(len(token))))
    return token[:start] + token[end + 1 :]


def doubled(rng: random.Random, token: bytes, _claims: dict[str, Any]) -> bytes:
    at = rng.randrange(len(token))
    return token[:at] + token[at : at + rng.randrange(1, 60)] + token[at:]


def mixed(rng: random.Random, token: bytes, claims: dict[str, Any]) -> bytes:
    """The signature of one command under another."""
    other = {**claims, "verb": rng.choice(("mining.resume", "device.reboot", "locate"))}
    return b".".join((*_unsigned(other).split(b".")[:2], token.rsplit(b".", 1)[1]))


def stolen(_rng: random.Random, _token: bytes, claims: dict[str, Any]) -> bytes:
    """Signed with a key of one's own under a name that is trusted."""
    return THIEF.sign(claims)


def other_header(rng: random.Random, token: bytes, claims: dict[str, Any]) -> bytes:
    headers: tuple[dict[str, Any], ...] = (
        {"alg": "none"},
        {"alg": "HS256", "kid": "ops"},
        {"alg": "EdDSA", "kid": ["ops"]},
        {"alg": "EdDSA", "kid": "ops", "crit": ["b64"], "b64": False},
        {"alg": "EdDSA", "kid": "ops", "jwk": {"kty": "OKP", "x": THIEF.public}},
    )
    head = _part(rng.choice(headers))
    return b".".join((head, *token.split(b".")[1:]))


def plain(rng: random.Random, _token: bytes, claims: dict[str, Any]) -> bytes:
    """Not signed at all."""
    return rng.choice((json.dumps(claims).encode(), _unsigned(claims), rng.randbytes(200)))


def wrong_claim(rng: random.Random, _token: bytes, claims: dict[str, Any]) -> bytes:
    """Signed by whoever may, and nonsense."""
    name = rng.choice(("jti", "aud", "iat", "exp", "verb", "target", "params", "rollout", "new"))
    value = rng.choice([each for each in WRONG if (name, each) not in (("params", {}),)])
    if name in ("exp", "rollout", "target") and value is None:
        value = "none"
    return OPS.sign({**claims, name: value})


MUTATIONS: tuple[Callable[[random.Random, bytes, dict[str, Any]], bytes], ...] = (
    *(flipped, flipped, flipped, flipped, cut, cut, doubled, doubled, mixed, other_header, plain),
    *(stolen, wrong_claim),
)


def _part(content: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")


def _unsigned(claims: dict[str, Any]) -> bytes:
    return b".".join((_part({"alg": "EdDSA", "kid": "ops"}), _part(claims), b""))


async def test_none_of_a_million_fuzzed_envelopes_reaches_a_driver(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    async with remote_house(tmp_path, 4, ring(OPS)) as house:
        sent = 0
        while sent < ENVELOPES:
            sent += await _some(house, rng)
        calls = [call for miner in house.inside.miners.values() for call in miner.script.calls]
        assert calls == []
        reasons = Counter(house.remote.refused)
        said = house.claims("mining.pause", {"all": True})  # and the way is open all the while
        house.say(OPS.sign(said), said["jti"])
        async with asyncio.timeout(10):
            while not all(m.script.calls for m in house.inside.miners.values()):
                await asyncio.sleep(0.01)
    print(f"\n{sent} envelopes with seed {SEED}: {dict(reasons.most_common())}")
    assert {"bad_signature", "malformed", "unsigned", "id_mismatch"} <= set(reasons)


async def _some(house: RemoteHouse, rng: random.Random) -> int:
    """Say some; whatever is answered is a rejection."""
    claims = house.claims("mining.pause", {"all": True})
    token = OPS.sign(claims)
    said = 0
    for _ in range(AT_ONCE):
        payload = rng.choice(MUTATIONS)(rng, token, claims)
        if payload != token:
            said += 1
            house.say(payload, claims["jti"])
    async with asyncio.timeout(30):
        while house.remote.waiting:
            await asyncio.sleep(0)
    states = [state for topic, state in house.told() if topic.endswith("/state")]
    assert {state["state"] for state in states} <= {"rejected"}, states
    return said
