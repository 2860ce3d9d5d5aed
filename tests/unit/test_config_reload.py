"""What differs between two configurations, and what of it can be applied at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.config.load import load
from agent.config.reload import Changes, changes
from tests.unit.test_config_commands import OTHER, PEM, key
from tests.unit.test_config_load import SITE, write

OLD = f'{SITE}[node]\nname = "edge-1"\n'
ALLOW = '[[control.allow]]\nverbs = ["locate"]\n'
RANGE = '[[range]]\naddresses = "10.{}.0.0/24"\n'


def between(directory: Path, old: str, new: str) -> Changes:
    return changes(load(write(directory, OLD + old)), load(write(directory, OLD + new)))


@pytest.mark.parametrize("text", ["", ALLOW + key() + RANGE.format(1)])
def test_nothing_differs_from_itself(tmp_path: Path, text: str) -> None:
    assert between(tmp_path, text, text) == Changes((), ())


CHANGES: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "a key more": ("", key(), ("commands.key",), ()),
    "a key less": (key(), "", ("commands.key",), ()),
    "a key's rights": (key(), key(verbs='"mining.*"'), ("commands.key",), ()),
    "another key": (key(), key("ops", OTHER), ("commands.key",), ()),
    "revoked": (
        "",
        '[[commands.revoked]]\nid = "a"\nat = 2026-01-01T00:00:00Z\nreason = "x"',
        ("commands.revoked",),
        (),
    ),
    "unsigned": ("", '[commands.unsigned]\nverbs = ["*"]', ("commands.unsigned",), ()),
    "unsigned rights": (
        '[commands.unsigned]\nverbs = ["*"]',
        '[commands.unsigned]\nverbs = ["locate"]',
        ("commands.unsigned.verbs",),
        (),
    ),
    "two people, clocks": (
        "",
        '[commands]\ntwo_person = ["locate"]\nclock_skew_s = 5',
        ("commands.two_person", "commands.clock_skew_s"),
        (),
    ),
    "what is allowed": ("", ALLOW, ("control.allow",), ()),
    "how fast": ("", "[control]\nstarts_per_minute = 1", (), ("control.starts_per_minute",)),
    "the level": ("", '[log]\nlevel = "debug"', ("log.level",), ()),
    "the broker": ("", "[mqtt]\nport = 8883\n[mqtt.tls]", (), ("mqtt.port", "mqtt.tls")),
    "its certificates": ("[mqtt.tls]", "[mqtt]", (), ("mqtt.tls",)),
    "a range more": ("", RANGE.format(1), (), ("range",)),
    "another range": (RANGE.format(1), RANGE.format(2), (), ("range",)),
    "both": (
        "",
        RANGE.format(1) + ALLOW + "[polling]\ninterval_s = 10",
        ("control.allow",),
        ("polling.interval_s", "range"),
    ),
    "the default, written out": ("", "[polling]\ninterval_s = 60\n[away]", (), ()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_named(tmp_path: Path, name: str) -> None:
    old, new, live, restart = CHANGES[name]
    found = between(tmp_path, old, new)
    assert (sorted(found.live), sorted(found.restart)) == (sorted(live), sorted(restart))


def test_the_site_and_the_node_need_a_restart(tmp_path: Path) -> None:
    old = load(write(tmp_path, OLD))
    new = load(write(tmp_path, '[site]\nname = "south"\n[node]\nname = "edge-2"\n'))
    assert changes(old, new) == Changes((), ("site.name", "node.name"))


def test_tables_within_tables(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    found = between(tmp_path, "[mqtt.tls]", '[mqtt.tls]\nca_file = "ca.pem"')
    assert found == Changes((), ("mqtt.tls.ca_file",))


def test_another_key_in_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "ops.pub").write_bytes(PEM)
    text = '[[commands.key]]\nid = "ops"\npublic_key_file = "ops.pub"\nverbs = ["*"]\n'
    old = load(write(tmp_path, OLD + text))
    assert changes(old, load(tmp_path / "stoker.toml")) == Changes((), ())
    other = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ops.pub").write_bytes(other.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    assert changes(old, load(tmp_path / "stoker.toml")) == Changes(("commands.key",), ())
