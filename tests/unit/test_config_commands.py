"""The tables of `[commands]`: what is taken, and which fault is said of which file and key."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from agent.command.verbs import VERBS
from agent.config.advice import advice
from agent.config.commands import NODE_VERB_NAMES, Commands
from agent.config.load import load
from agent.config.public_keys import encode
from tests.unit.test_config_load import SITE, refusal, write

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = encode(PRIVATE.public_key().public_bytes_raw())
OTHER = encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key(key_id: str = "ops", public_key: str = PUBLIC, *lines: str, verbs: str = '"locate"') -> str:
    return "\n".join(
        [
            "[[commands.key]]",
            f'id = "{key_id}"',
            f'public_key = "{public_key}"',
            f"verbs = [{verbs}]",
            *lines,
            "",
        ]
    )


def commands(directory: Path, text: str, **drop_ins: str) -> Commands:
    return load(write(directory, SITE + text, **drop_ins)).commands


def test_without_tables_nobody_may_order(tmp_path: Path) -> None:
    found = commands(tmp_path, "")
    assert found == Commands()
    assert (found.key, found.unsigned, found.clock_skew_s) == ((), None, 30.0)


def test_all_that_can_be_said_of_a_key(tmp_path: Path) -> None:
    lines = (
        'owner = "Ana"',
        'approves = ["device.factory_reset", "mining.*", "*"]',
        'kinds = ["asic", "pdu"]',
        'tags = { hall = "B" }',
        "max_targets = 500",
        'hours = "22:00-06:00"',
        "per_minute = 0.5",
        "not_before = 2026-01-01T00:00:00+02:00",
        "not_after = 2027-01-01T00:00:00Z",
    )
    (found,) = commands(tmp_path, key("ops", PUBLIC, *lines)).key
    assert (found.id, found.owner, found.public_key) == ("ops", "Ana", PUBLIC)
    assert (found.kinds, found.tags, found.max_targets) == (("asic", "pdu"), {"hall": "B"}, 500)
    assert (found.hours, found.per_minute) == ("22:00-06:00", 0.5)
    assert found.not_before == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert found.not_after == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_key_in_a_file_is_in_place_once_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "ops.pub").write_bytes(PEM)
    text = '[[commands.key]]\nid = "ops"\npublic_key_file = "ops.pub"\nverbs = ["*"]\n'
    (found,) = commands(tmp_path, text).key
    assert found.public_key == PUBLIC
    assert found.public_key_file == str(tmp_path / "ops.pub")


def test_keys_and_revocations_of_several_files_append(tmp_path: Path) -> None:
    revoked = '[[commands.revoked]]\nid = "{}"\nat = 2026-01-01T00:00:00Z\nreason = "lost"\n'
    found = commands(
        tmp_path,
        key(),
        **{"key-b": key("b", OTHER), "revoked-b": revoked.format("b"), "r": revoked.format("ops")},
    )
    assert [each.id for each in found.key] == ["ops", "b"]
    assert [each.id for each in found.revoked] == ["ops", "b"]


def test_two_people_may_revoke_one_key(tmp_path: Path) -> None:
    """The second file must not keep the first from counting."""
    revoked = '[[commands.revoked]]\nid = "ops"\nat = 2026-01-01T00:00:00Z\nreason = "lost"\n'
    assert len(commands(tmp_path, key() + revoked, a=revoked).revoked) == 2


def test_the_verbs_are_those_of_the_tables() -> None:
    assert not set(NODE_VERB_NAMES) & set(VERBS)
    assert len(set(NODE_VERB_NAMES)) == len(NODE_VERB_NAMES)


@pytest.mark.parametrize("verb", [*VERBS, *NODE_VERB_NAMES, "*", "power.*", "command.*"])
def test_every_verb_and_pattern_is_taken(tmp_path: Path, verb: str) -> None:
    assert commands(tmp_path, key(verbs=f'"{verb}"')).key[0].verbs == (verb,)


WRONG: dict[str, tuple[str, str, str]] = {
    "no verbs": (key(verbs=""), "key[0].verbs", "name what may be ordered"),
    "an unknown verb": (
        key(verbs='"locate", "mining.puase"'),
        "key[0].verbs[1]",
        "no verb is called 'mining.puase'; did you mean mining.pause?",
    ),
    "a pattern of nothing": (key(verbs='"mine.*"'), "key[0].verbs[0]", "no verb is called"),
    "half a pattern": (key(verbs='"mining*"'), "key[0].verbs[0]", "no verb is called"),
    "half a word": (key(verbs='"min.*"'), "key[0].verbs[0]", "no verb is called 'min.*'"),
    "nothing for a verb": (key(verbs='""'), "key[0].verbs[0]", "no verb is called ''"),
    "a dot for a verb": (key(verbs='".*"'), "key[0].verbs[0]", "no verb is called '.*'"),
    "in other letters": (key(verbs='"LOCATE"'), "key[0].verbs[0]", "no verb is called 'LOCATE'"),
    "unknown approvals": (
        key("ops", PUBLIC, 'approves = ["x"]'),
        "key[0].approves[0]",
        "no verb is called 'x'; known are mining.pause,",
    ),
    "two people for what is unknown": (
        '[commands]\ntwo_person = ["mining.*"]',
        "two_person[0]",
        "no verb is called 'mining.*'",
    ),
    "two people for approvals": (
        '[commands]\ntwo_person = ["locate", "command.approve"]',
        "two_person[1]",
        "can not wait for approval",
    ),
    "no verbs at all": (
        f'[[commands.key]]\nid = "a"\npublic_key = "{PUBLIC}"',
        "key[0].verbs",
        "missing; expected an array of strings",
    ),
    "no id": ('[[commands.key]]\nverbs = ["*"]', "key[0].id", "missing; expected a word"),
    "a bad id": (key("a/b"), "key[0].id", "expected a word of up to 64 letters"),
    "the id of nobody": (key("unsigned"), "key[0].id", "unsigned is what commands without a key"),
    "an id again": (key() + key("ops", OTHER), "key[1].id", "another key is called ops already"),
    "a key again": (
        key() + key("b", PUBLIC + "="),
        "key[1].public_key",
        "is the key of ops too",
    ),
    "no key": (
        '[[commands.key]]\nid = "a"\nverbs = ["*"]',
        "key[0]",
        "give either public_key or public_key_file",
    ),
    "two keys in one": (
        key("ops", PUBLIC, 'public_key_file = "x"'),
        "key[0]",
        "give either public_key or public_key_file",
    ),
    "a file that is missing": (
        '[[commands.key]]\nid = "a"\nverbs = ["*"]\npublic_key_file = "x"',
        "key[0].public_key_file",
        "x: no such file",
    ),
    "a path that is none": (
        '[[commands.key]]\nid = "a"\nverbs = ["*"]\npublic_key_file = "a\\u0000b"',
        "key[0].public_key_file",
        "null byte",
    ),
    "a weak key": (key("a", "A" * 43), "key[0].public_key", "is a weak key"),
    "a slip in a key": (key("a", PUBLIC[:-2]), "key[0].public_key", "expected the 32 bytes"),
    "a kind of nothing": (
        key("a", PUBLIC, 'kinds = ["miner"]'),
        "key[0].kinds[0]",
        'expected one of "asic", "gpu", "pdu", "ups", "sensor", "host", found the string \'miner\'',
    ),
    "no targets": (key("a", PUBLIC, "max_targets = 0"), "key[0].max_targets", "from 1 to 1000000"),
    "odd hours": (
        key("a", PUBLIC, 'hours = "6-22"'),
        "key[0].hours",
        'expected hours (UTC) such as "06:00-22:00", found the string',
    ),
    "late hours": (key("a", PUBLIC, 'hours = "06:00-24:00"'), "key[0].hours", "expected hours"),
    "no hours": (key("a", PUBLIC, 'hours = "06:00-06:00"'), "key[0].hours", "no time at all"),
    "never": (key("a", PUBLIC, "per_minute = 0"), "key[0].per_minute", "a number above 0"),
    "a time without a zone": (
        key("a", PUBLIC, "not_after = 2026-01-01T00:00:00"),
        "key[0].not_after",
        "expected a date and time such as 2026-01-31T06:00:00Z, found the date or time",
    ),
    "a day": (key("a", PUBLIC, "not_before = 2026-01-01"), "key[0].not_before", "date and time"),
    "over before it began": (
        key("a", PUBLIC, "not_after = 2026-01-01T00:00:00Z", "not_before = 2026-01-01T00:00:00Z"),
        "key[0].not_after",
        "must be later than not_before",
    ),
    "revoked for no reason": (
        '[[commands.revoked]]\nid = "a"\nat = 2026-01-01T00:00:00Z\nreason = ""',
        "revoked[0].reason",
        "a string of 1 to 200 characters",
    ),
    "revoked, but when": ('[[commands.revoked]]\nid = "a"', "revoked[0].at", "missing"),
    "nobody, with a key": (
        f'[commands.unsigned]\nverbs = ["*"]\npublic_key = "{PUBLIC}"',
        "unsigned.public_key",
        "unknown key",
    ),
    "nobody, approving": (
        '[commands.unsigned]\nverbs = ["*"]\napproves = ["*"]',
        "unsigned.approves",
        "unknown key",
    ),
    "nobody, nothing": ("[commands.unsigned]", "unsigned.verbs", "missing"),
    "nobody, unknown": (
        '[commands.unsigned]\nverbs = ["reboot"]',
        "unsigned.verbs[0]",
        "did you mean device.reboot?",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_named_with_file_and_key(tmp_path: Path, name: str) -> None:
    text, where, problem = WRONG[name]
    found = refusal(write(tmp_path, SITE, keys=text))
    assert found.where == str(tmp_path / "conf.d" / "keys.toml")
    assert found.key == f"commands.{where}"
    assert problem in found.problem


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.OpenSSH])
def test_a_private_key_in_the_place_of_a_public_one(tmp_path: Path, form: PrivateFormat) -> None:
    secret = PRIVATE.private_bytes(Encoding.PEM, form, NoEncryption())
    (tmp_path / "ops.key").write_bytes(secret)
    text = '[[commands.key]]\nid = "a"\nverbs = ["*"]\npublic_key_file = "ops.key"'
    found = refusal(write(tmp_path, SITE + text))
    assert (found.key, "is a private key" in found.problem) == (
        "commands.key[0].public_key_file",
        True,
    )
    pasted = key("a", secret.decode().replace("\n", "\\n"))
    found = refusal(write(tmp_path, SITE + pasted))
    assert (found.key, "is a private key" in found.problem) == ("commands.key[0].public_key", True)
    assert secret.decode().splitlines()[1] not in str(found)
    found = refusal(write(tmp_path, SITE + pasted.replace("public_key", "public_key_file")))
    assert found.problem == "expected the path of a file, found what stands in one"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "ops.pub").write_bytes(PEM)
    (tmp_path / "ops.pub").chmod(stat.S_IWUSR)
    text = '[[commands.key]]\nid = "ops"\npublic_key_file = "ops.pub"\nverbs = ["*"]\n'
    assert "may not be read" in refusal(write(tmp_path, SITE + text)).problem


# --- advice ------------------------------------------------------------------------------

QUIET = '[[range]]\naddresses = "127.0.0.1"\n'


def said(directory: Path, text: str) -> list[str]:
    found = advice(load(write(directory, SITE + QUIET + text)))
    return [sentence.partition(":")[0] for sentence in found]


REVOKED = '[[commands.revoked]]\nid = "{}"\nat = 2026-01-01T00:00:00Z\nreason = "lost"\n'


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        ("[[control.allow]]", ["commands.key"]),
        ("[[control.allow]]\n" + key(), []),
        ('[[control.allow]]\n[commands.unsigned]\nverbs = ["locate"]', ["commands.unsigned"]),
        (key(verbs='"*"'), ["commands.key[0].max_targets"]),
        (key("ops", PUBLIC, "max_targets = 9", verbs='"*"'), []),
        (key(verbs='"mining.*"'), []),
        ('[commands]\ntwo_person = ["locate"]\n' + key(), ["commands.two_person"]),
        (
            '[commands]\ntwo_person = ["locate"]\n' + key("ops", PUBLIC, 'approves = ["*"]'),
            [],
        ),
        (key() + REVOKED.format("ops"), []),
        (key() + REVOKED.format("opps"), ["commands.revoked[0].id"]),
    ],
)
def test_what_is_probably_not_meant(tmp_path: Path, text: str, keys: list[str]) -> None:
    assert said(tmp_path, text) == keys
