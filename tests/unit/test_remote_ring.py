"""Whose command it is, and what he may do."""

from __future__ import annotations

import json
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.verbs import VERBS
from agent.config.commands import NODE_VERB_NAMES, Commands
from agent.config.load import load
from agent.config.locations import Location
from agent.config.public_keys import encode
from agent.remote.envelope import parse, sign
from agent.remote.rate import Bucket
from agent.remote.reasons import Reason, Rejected
from agent.remote.rights import names
from agent.remote.ring import Key, Ring
from tests.devices import device_at
from tests.unit.test_config_load import SITE, write

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CLAIMS: dict[str, Any] = {"jti": "c-1", "aud": "north", "iat": 1, "verb": "locate"}
SAFE = [name for name, verb in VERBS.items() if not verb.dangerous]
DANGEROUS = [name for name, verb in VERBS.items() if verb.dangerous]


def public(private: Ed25519PrivateKey = PRIVATE) -> str:
    return encode(private.public_key().public_bytes_raw())


def given(key_id: str = "ops", private: Ed25519PrivateKey = PRIVATE, **rights: Any) -> Any:
    return {"id": key_id, "public_key": public(private), "verbs": ["locate"], **rights}


def ring(*keys: dict[str, Any], **tables: Any) -> Ring:
    return Ring(msgspec.convert({"key": keys, **tables}, Commands))


def only(**rights: Any) -> Key:
    return verified(ring(given(**rights)))


def verified(
    found: Ring, key_id: str = "ops", private: Ed25519PrivateKey = PRIVATE, now: datetime = NOW
) -> Key:
    return found.verify(parse(sign(CLAIMS, private, key_id)), now)


def rejected(call: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as caught:
        call()
    return caught.value.reason, caught.value.words


# --- whose command -----------------------------------------------------------------------


def test_the_key_that_signed_is_found() -> None:
    found = ring(given("ops", owner="Ana"), given("b", OTHER))
    assert (verified(found).id, verified(found).owner) == ("ops", "Ana")
    assert (verified(found, "b", OTHER).id, verified(found, "b", OTHER).owner) == ("b", None)
    assert verified(found) is verified(found) is found.key("ops")
    assert found.key("c") is None


def test_openssl_signs_for_a_key_that_openssl_made(tmp_path: Path) -> None:
    private, message, signature = (tmp_path / name for name in ("ops.key", "m", "s"))
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    pub = ["openssl", "pkey", "-in", private, "-pubout", "-out", tmp_path / "ops.pub"]
    subprocess.run(pub, check=True)
    table = '[[commands.key]]\nid = "ops"\npublic_key_file = "ops.pub"\nverbs = ["*"]\n'
    found = Ring(load(write(tmp_path, SITE + table)).commands)

    def part(content: bytes) -> bytes:
        return urlsafe_b64encode(content).rstrip(b"=")

    header = part(json.dumps({"alg": "EdDSA", "kid": "ops"}).encode())
    message.write_bytes(header + b"." + part(json.dumps(CLAIMS).encode()))
    call = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", message]
    subprocess.run([*call, "-out", signature], check=True)
    payload = message.read_bytes() + b"." + part(signature.read_bytes())
    assert found.verify(parse(payload), NOW).id == "ops"


def test_unknown_keys_and_foreign_signatures() -> None:
    found = ring(given())
    assert rejected(lambda: verified(found, "b")) == (
        Reason.UNKNOWN_KEY,
        "no key is called b at this node",
    )
    assert rejected(lambda: verified(found, "OPS"))[0] is Reason.UNKNOWN_KEY
    assert rejected(lambda: verified(found, "unsigned"))[0] is Reason.UNKNOWN_KEY
    assert rejected(lambda: verified(found, "ops", OTHER))[0] is Reason.BAD_SIGNATURE
    assert rejected(lambda: verified(ring()))[0] is Reason.UNKNOWN_KEY


def test_a_key_signs_under_its_own_id_alone() -> None:
    found = ring(given("ops"), given("b", OTHER))
    assert rejected(lambda: verified(found, "b"))[0] is Reason.BAD_SIGNATURE


def test_a_signature_is_of_its_bytes() -> None:
    head, _, signature = sign(CLAIMS, PRIVATE, "ops").split(b".")
    _, claims, _ = sign({**CLAIMS, "verb": "mining.pause"}, PRIVATE, "ops").split(b".")
    payload = b".".join([head, claims, signature])
    assert rejected(lambda: ring(given()).verify(parse(payload), NOW))[0] is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
@pytest.mark.parametrize("keys", [[given()], []])
@pytest.mark.parametrize("now", [NOW, datetime(1970, 1, 1, tzinfo=UTC)])
def test_a_revoked_key_counts_at_no_time(at: str, keys: list[Any], now: datetime) -> None:
    """Not even where the clock is behind, or its table is gone."""
    found = ring(*keys, revoked=[{"id": "ops", "at": at, "reason": "laptop lost"}])
    reason, words = rejected(lambda: verified(found, now=now))
    assert reason is Reason.REVOKED_KEY
    assert words == f"key ops was revoked at {at.replace('Z', '+00:00')}: laptop lost"
    assert found.key("ops") is None


def test_of_two_revocations_the_first_is_told() -> None:
    at = "2026-01-01T00:00:00Z"
    two = [{"id": "ops", "at": at, "reason": reason} for reason in ("lost", "again")]
    _, words = rejected(lambda: verified(ring(given(), revoked=two)))
    assert words.endswith(": lost")


def test_a_key_counts_between_its_dates() -> None:
    found = ring(given(not_before=NOW, not_after=NOW + timedelta(days=1)))
    second = timedelta(seconds=1)
    assert rejected(lambda: verified(found, now=NOW - second)) == (
        Reason.REVOKED_KEY,
        "key ops counts only from 2026-06-01T12:00:00+00:00 on",
    )
    assert verified(found, now=NOW).id == "ops"
    assert verified(found, now=NOW + timedelta(days=1)).id == "ops"
    after = NOW + timedelta(days=1) + second
    assert rejected(lambda: verified(found, now=after))[0] is Reason.REVOKED_KEY


def test_a_forger_does_not_learn_when_a_key_counts() -> None:
    found = ring(given(not_after=NOW - timedelta(days=1)))
    assert rejected(lambda: verified(found, "ops", OTHER))[0] is Reason.BAD_SIGNATURE


def test_what_is_not_signed_is_somebody_only_where_configured() -> None:
    plain = parse(json.dumps(CLAIMS).encode())
    reason, words = rejected(lambda: ring(given()).verify(plain, NOW))
    assert reason is Reason.UNSIGNED
    assert "[commands.unsigned]" in words
    found = ring(given(), unsigned={"verbs": ["locate"]})
    nobody = found.verify(plain, NOW)
    assert (nobody.id, nobody.owner) == ("unsigned", None)
    assert nobody is found.key("unsigned")
    assert not nobody.may_approve("locate")
    assert (found.takes_unsigned, ring().takes_unsigned) == (True, False)
    assert ring().key("unsigned") is None


# --- verbs -------------------------------------------------------------------------------


def may(verb: str, now: datetime = NOW, **rights: Any) -> bool:
    try:
        only(**rights).permit(verb, now)
    except Rejected as error:
        return error.reason is not Reason.NOT_PERMITTED
    return True


@pytest.mark.parametrize("verb", [*SAFE, *NODE_VERB_NAMES])
def test_a_star_is_every_verb_that_is_not_dangerous(verb: str) -> None:
    assert may(verb, verbs=["*"])
    assert may(verb, verbs=[verb])
    assert not may(verb, verbs=["read.now" if verb == "locate" else "locate"])


@pytest.mark.parametrize("verb", DANGEROUS)
def test_a_dangerous_verb_has_to_be_named(verb: str) -> None:
    group = verb.partition(".")[0]
    assert not may(verb, verbs=["*", f"{group}.*"])
    assert may(verb, verbs=[verb])
    _, words = rejected(lambda: only(verbs=["*"]).permit(verb, NOW))
    assert words == f"key ops: {verb} is dangerous: its verbs have to name it in full"
    assert not only(approves=["*", f"{group}.*"]).may_approve(verb)
    assert only(approves=[verb]).may_approve(verb)


def test_a_group_is_what_stands_before_the_dot() -> None:
    assert may("mining.pause", verbs=["mining.*"])
    assert not may("power.limit", verbs=["mining.*"])
    assert not names(["power.*"], "powerful.limit")
    assert not may("locate", verbs=["mining.*", "power.*"])
    _, words = rejected(lambda: only(verbs=["mining.*", "locate"]).permit("power.limit", NOW))
    assert words == "key ops: power.limit is not among its verbs (mining.*, locate)"


def test_who_approves_may_say_so() -> None:
    assert may("command.approve", approves=["pools.set"])
    assert not may("command.approve")
    assert not may("command.cancel", approves=["pools.set"])
    assert only(approves=["pools.*"]).may_approve("pools.set")
    assert not only(approves=["pools.*"]).may_approve("locate")
    assert not only(verbs=["*", "command.approve"]).may_approve("locate")


@pytest.mark.parametrize(
    ("hours", "clock", "allowed"),
    [
        ("06:00-22:00", "06:00", True),
        ("06:00-22:00", "05:59", False),
        ("06:00-22:00", "21:59", True),
        ("06:00-22:00", "22:00", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "12:00", False),
        ("12:00-00:00", "23:59", True),
        ("12:00-00:00", "00:00", False),
    ],
)
def test_hours_may_wrap_midnight(hours: str, clock: str, allowed: bool) -> None:
    hour, minute = map(int, clock.split(":"))
    now = datetime(2026, 6, 1, hour, minute, 59, tzinfo=UTC)
    assert may("locate", now, hours=hours) is allowed


def test_hours_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=9))
    key = only(hours="06:00-22:00")
    key.permit("locate", datetime(2026, 6, 1, 15, 0, tzinfo=east))
    _, words = rejected(lambda: key.permit("locate", datetime(2026, 6, 1, 14, 0, tzinfo=east)))
    assert words == "key ops: its hours are 06:00-22:00 UTC, it is 05:00"


# --- devices -----------------------------------------------------------------------------

PLACE = Location(rack="B7", tags={"hall": "North"})


@pytest.mark.parametrize(
    ("rights", "covered"),
    [
        ({}, True),
        ({"kinds": ["asic"]}, True),
        ({"kinds": ["gpu", "asic"]}, True),
        ({"kinds": ["gpu"]}, False),
        ({"tags": {"rack": "b7"}}, True),
        ({"tags": {"hall": "NORTH", "rack": "B7"}}, True),
        ({"tags": {"hall": "North", "rack": "B8"}}, False),
        ({"tags": {"row": "1"}}, False),
        ({"tags": {"make": "bitmain"}}, True),
        ({"kinds": ["gpu"], "tags": {"rack": "B7"}}, False),
    ],
)
def test_a_key_covers_its_kinds_and_tags(rights: dict[str, Any], covered: bool) -> None:
    device = device_at(place=PLACE, make="Bitmain")
    assert only(**rights).covers(device) is covered


def test_how_many_at_once() -> None:
    assert (only().max_targets, only(max_targets=5).max_targets) == (None, 5)


# --- how often ---------------------------------------------------------------------------


def taken(key: Key, at: float, most: int = 100) -> int:
    for count in range(most):
        try:
            key.take(at)
        except Rejected:
            return count
    return most


def test_so_many_a_minute_and_as_many_at_once() -> None:
    key = only(per_minute=6)
    assert taken(key, 1000.0) == 6
    assert rejected(lambda: key.take(1000.0)) == (
        Reason.RATE_LIMITED,
        "key ops: more than 6 commands a minute; the next in 10.0 s",
    )
    assert [taken(key, at) for at in (1009.9, 1010.1, 1015.0, 1030.1, 2000.0)] == [0, 1, 0, 2, 6]


def test_no_window_holds_more_than_its_share() -> None:
    key = only(per_minute=30)
    times = [tick / 10 for tick in range(6000) if taken(key, tick / 10, 1)]
    for begin in range(0, 540, 7):
        assert sum(begin <= at < begin + 60 for at in times) <= 60
    assert len(times) == pytest.approx(30 + 30 * 10, abs=2)


def test_what_is_allowed_every_other_minute_happens() -> None:
    bucket = Bucket(0.5)
    assert (bucket.take(0.0), bucket.take(60.0), bucket.take(121.0)) == (0.0, 60.0, 0.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(0.0) > 0
    assert bucket.take(59.0) > 0
    assert bucket.take(61.0) == 0.0


def after_reload(old: dict[str, Any], new: dict[str, Any]) -> int:
    """What a key may still take when all was taken before the ring was made anew."""
    former, latter = ring(given(per_minute=5, **old)), ring(given(**{"per_minute": 5, **new}))
    assert taken(verified(former), 0.0) == 5
    latter.adopt(former)
    private = OTHER if new.get("public_key") else PRIVATE
    return taken(verified(latter, private=private), 0.0)


@pytest.mark.parametrize(
    ("new", "left"),
    [
        ({}, 0),
        ({"verbs": ["*"]}, 0),
        ({"owner": "Ana"}, 0),
        ({"per_minute": 7}, 7),
        ({"public_key": public(OTHER)}, 5),
    ],
)
def test_a_reload_gives_nobody_more(new: dict[str, Any], left: int) -> None:
    assert after_reload({}, new) == left


def test_what_is_not_signed_goes_on_counting_too() -> None:
    plain, unsigned = parse(json.dumps(CLAIMS).encode()), {"verbs": ["locate"], "per_minute": 3}
    former, latter = ring(unsigned=unsigned), ring(given("b"), unsigned=unsigned)
    assert taken(former.verify(plain, NOW), 0.0) == 3
    latter.adopt(former)
    assert taken(latter.verify(plain, NOW), 0.0) == 0
    assert taken(verified(latter, "b"), 0.0) == 60
    ring().adopt(former)


def test_keys_count_apart() -> None:
    found = ring(given("ops", per_minute=2), given("b", OTHER, per_minute=2))
    assert taken(verified(found), 0.0) == 2
    assert taken(verified(found, "b", OTHER), 0.0) == 2
