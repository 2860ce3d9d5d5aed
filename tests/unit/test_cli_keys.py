"""`stoker keys` as a shell sees it."""

from __future__ import annotations

import argparse
import json
import os
import stat
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli import keys
from agent.config import public_keys
from agent.config.load import load
from agent.errors import AgentError, ConfigError
from agent.remote.envelope import parse, sign
from agent.remote.reasons import Reason, Rejected
from agent.remote.ring import Ring
from tests.unit.test_config_load import SITE, write

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def stoker(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    keys.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["keys", *map(str, words)])
    code = arguments.run(arguments)
    assert isinstance(code, int)
    return code


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration with a conf.d."""
    write(tmp_path, SITE, empty="")
    return tmp_path


def ring(site: Path) -> Ring:
    return Ring(load(site / "stoker.toml").commands)


def new(site: Path, name: str, *words: str) -> Path:
    assert stoker("new", name, "--out", site, "--conf-d", site / "conf.d", *words) == 0
    return site / f"{name}.key"


# --- new ---------------------------------------------------------------------------------


def test_a_new_key_signs_what_the_node_takes(site: Path) -> None:
    file = new(site, "ops", "--verbs", "locate")
    payload = sign({"jti": "a"}, keys.private_key(file), "ops")
    key = ring(site).verify(parse(payload), NOW)
    key.permit("locate", NOW)
    with pytest.raises(Rejected):
        key.permit("mining.pause", NOW)


def test_all_that_can_be_said(site: Path) -> None:
    words = ["--verbs", "mining.*", "locate", "--approves", "pools.set", "--kinds", "asic", "pdu"]
    more = [
        "--tag",
        "hall=B",
        "--tag",
        'a "b"=c\\d',
        "--max-targets",
        "500",
        "--owner",
        "Ána 'x' 🔑",
    ]
    new(site, "ops", *words, *more)
    (found,) = load(site / "stoker.toml").commands.key
    assert (found.verbs, found.approves) == (("mining.*", "locate"), ("pools.set",))
    assert (found.kinds, found.tags) == (("asic", "pdu"), {"hall": "B", 'a "b"': "c\\d"})
    assert (found.max_targets, found.owner) == (500, "Ána 'x' 🔑")


def test_files_have_the_modes_that_they_need(site: Path) -> None:
    """The private one is its owner's; what root writes to conf.d the agent can read."""
    before = os.umask(0o077)
    try:
        file = new(site, "ops", "--verbs", "*")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((site / "conf.d" / "key-ops.toml").stat().st_mode) == 0o644
    assert sorted(path.name for path in site.rglob("*") if path.is_file()) == [
        *("empty.toml", "key-ops.toml", "ops.key", "stoker.toml")
    ]


def test_openssl_reads_what_we_write(site: Path) -> None:
    file = new(site, "ops", "--verbs", "*")
    call = ["openssl", "pkey", "-in", file, "-pubout"]
    pem = subprocess.run(call, check=True, capture_output=True).stdout
    (found,) = load(site / "stoker.toml").commands.key
    assert public_keys.encode(public_keys.read(pem)) == found.public_key


def test_without_a_place_the_table_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stoker("new", "ops", "--out", tmp_path, "--verbs", "*", "--tag", "hall=B") == 0
    shown = capsys.readouterr()
    assert str(tmp_path / "ops.key") in shown.err
    table = tomllib.loads(shown.out)
    (key,) = table["commands"]["key"]
    assert (key["id"], key["verbs"], key["tags"]) == ("ops", ["*"], {"hall": "B"})
    assert load(write(tmp_path, SITE + shown.out)).commands.key[0].id == "ops"
    assert "PRIVATE" not in shown.out + shown.err


def test_nothing_is_written_over(site: Path) -> None:
    file = new(site, "ops", "--verbs", "*")
    content = file.read_bytes()
    with pytest.raises(AgentError, match="called ops already"):
        new(site, "ops", "--verbs", "*")
    with pytest.raises(AgentError, match=r"ops\.key: exists already"):
        stoker("new", "ops", "--out", site, "--verbs", "*")
    assert file.read_bytes() == content


def test_a_key_that_cannot_be_let_in_leaves_nothing_behind(site: Path) -> None:
    (site / "conf.d" / "key-ops.toml").write_text("")
    with pytest.raises(AgentError, match="exists already"):
        new(site, "ops", "--verbs", "*")
    assert not (site / "ops.key").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a/b", "--verbs", "*"], "expected a word of up to 64"),
        (["../a", "--verbs", "*"], "expected a word of up to 64"),
        (["unsigned", "--verbs", "*"], "without a key"),
        (["ops", "--verbs", "puase"], "no verb is called 'puase'"),
        (["ops", "--verbs", "*", "--kinds", "miner"], "expected one of"),
        (["ops", "--verbs", "*", "--max-targets", "0"], "from 1 to 1000000"),
        (["ops", "--verbs", "*", "--tag", "hall"], "expected KEY=VALUE"),
        (["ops", "--verbs", "*", "--owner", "a\nb"], "can be printed"),
        (["ops", "--verbs", "*", "--owner", "\udcff"], "can be printed"),
    ],
)
def test_a_slip_makes_no_key(site: Path, words: list[str], problem: str) -> None:
    with pytest.raises((AgentError, ConfigError), match=problem.replace("*", r"\*")):
        new(site, *words)
    assert not list(site.rglob("*.key"))


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="No such file or directory"):
        stoker("new", "ops", "--out", tmp_path / "none", "--verbs", "*")


# --- show --------------------------------------------------------------------------------


def test_the_ring_is_shown_in_words(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new(site, "ops", "--verbs", "mining.*", "--tag", "hall=B", "--max-targets", "5", "--owner", "A")
    new(site, "boss", "--verbs", "locate", "--approves", "pools.set")
    (site / "conf.d" / "a.toml").write_text('[commands.unsigned]\nverbs = ["read.now"]\n')
    stoker("revoke", "boss", "--reason", "left us", "--conf-d", site / "conf.d")
    capsys.readouterr()
    assert stoker("show", "--config", site / "stoker.toml") == 0
    text = capsys.readouterr().out
    assert "may mining.*; on hall=B; at most 5 of them; 60 a minute" in text
    assert "may locate; may approve pools.set; on all devices; 60 a minute" in text
    assert ": left us" in text
    assert "anybody: nothing is signed" in text
    assert stoker("show", "--config", site / "stoker.toml", "--json") == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ops"]["owner"] == "A"
    assert rows["ops"]["state"] == "counts"
    assert rows["boss"]["state"].startswith("revoked 20")
    raw = public_keys.decode(rows["ops"]["public_key"])
    assert rows["ops"]["fingerprint"] == public_keys.fingerprint(raw)


def test_nobody_is_shown_as_nobody(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stoker("show", "--config", site / "stoker.toml") == 0
    assert capsys.readouterr().out.startswith("nobody may order from afar")
    assert stoker("show", "--config", site / "stoker.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("dates", "state"),
    [
        ("not_before = 2099-01-01T00:00:00Z", "counts from 2099-01-01"),
        ("not_after = 2099-01-01T00:00:00Z", "counts until 2099-01-01"),
        ("not_after = 2001-01-01T00:00:00Z", "ended 2001-01-01"),
    ],
)
def test_when_a_key_counts(
    site: Path, dates: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new(site, "ops", "--verbs", "*")
    table = site / "conf.d" / "key-ops.toml"
    table.write_text(table.read_text() + dates)
    assert stoker("show", "--config", site / "stoker.toml", "--json") == 0
    shown = capsys.readouterr().out
    (row,) = json.loads(shown[shown.index("[\n") :])
    assert row["state"].startswith(state)


def test_the_public_key_of_a_file(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = new(site, "ops", "--verbs", "*")
    (key,) = load(site / "stoker.toml").commands.key
    call = ["openssl", "pkey", "-in", file, "-pubout"]
    pem = subprocess.run(call, check=True, capture_output=True).stdout
    (site / "ops.pub").write_bytes(pem)
    for each in (file, site / "ops.pub"):
        capsys.readouterr()
        assert stoker("show", each) == 0
        text = capsys.readouterr().out
        assert f'public_key = "{key.public_key}"' in text
        assert stoker("show", each, "--json") == 0
        assert json.loads(capsys.readouterr().out)["public_key"] == key.public_key
    (site / "nonsense").write_text("nonsense")
    with pytest.raises(AgentError, match="nonsense: expected a PEM public key"):
        stoker("show", site / "nonsense")
    with pytest.raises(AgentError, match="none: No such file"):
        stoker("show", site / "none")


# --- revoke ------------------------------------------------------------------------------


def revoke(site: Path, name: str, reason: str = 'laptop "lost"') -> int:
    return stoker("revoke", name, "--reason", reason, "--conf-d", site / "conf.d")


def test_a_revoked_key_counts_no_more(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = new(site, "ops", "--verbs", "*")
    payload = sign({"jti": "a"}, keys.private_key(file), "ops")
    ring(site).verify(parse(payload), NOW)
    assert revoke(site, "ops") == 0
    assert "systemctl reload stoker" in capsys.readouterr().out
    with pytest.raises(Rejected) as caught:
        ring(site).verify(parse(payload), NOW)
    assert caught.value.reason is Reason.REVOKED_KEY
    assert 'laptop "lost"' in caught.value.words
    written = site / "conf.d" / "revoked-ops.toml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o644
    assert abs(load(site / "stoker.toml").commands.revoked[0].at - datetime.now(UTC)).seconds < 60


def test_a_slip_in_the_id_is_said(site: Path) -> None:
    new(site, "ops", "--verbs", "*")
    with pytest.raises(AgentError, match="no key is called opps; there are: ops"):
        revoke(site, "opps")
    assert ring(site).key("ops") is not None
    assert not list((site / "conf.d").glob("revoked*"))


def test_a_key_is_revoked_once(site: Path) -> None:
    new(site, "ops", "--verbs", "*")
    revoke(site, "ops", "lost")
    with pytest.raises(AgentError, match=r"ops was revoked .*: lost"):
        revoke(site, "ops", "again")


@pytest.mark.parametrize("broken", ["[mqtt]\nport = 0\n", "nonsense", None])
def test_a_broken_configuration_does_not_stop_it(
    site: Path, broken: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    new(site, "ops", "--verbs", "*")
    if broken is None:
        (site / "stoker.toml").unlink()
    else:
        (site / "stoker.toml").write_text(SITE + broken)
    assert revoke(site, "ops") == 0
    assert "not looked at" in capsys.readouterr().err
    (site / "stoker.toml").write_text(SITE)
    assert ring(site).key("ops") is None


@pytest.mark.parametrize("words", [("a/b", "x"), ("ops", ""), ("ops", "x" * 201), ("ops", "a\nb")])
def test_what_the_nodes_would_not_read_is_not_written(site: Path, words: tuple[str, str]) -> None:
    new(site, "ops", "--verbs", "*")
    with pytest.raises(AgentError):
        revoke(site, *words)
    assert load(site / "stoker.toml").commands.revoked == ()
