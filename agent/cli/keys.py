"""`stoker keys new|show|revoke`: who may order from afar."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.table import Table

from agent.cli.key_tables import checked, table
from agent.cli.show import plain, printer
from agent.cli.signing import private_key
from agent.config import public_keys
from agent.config.commands import Commands, Revoked, SigningKey
from agent.config.load import DEFAULT_PATH, load
from agent.errors import AgentError, ConfigError
from agent.remote.rights import in_words

CONF_D = DEFAULT_PATH.parent / "conf.d"
APPLY = "`systemctl reload stoker` on every node makes it count at once"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys`."""
    parser = subparsers.add_parser("keys", help="who may order from afar: make, show, revoke keys")
    parts = parser.add_subparsers(metavar="new|show|revoke", required=True)
    _add_new(parts.add_parser("new", help="make a key, and the table that lets it in"))
    show = parts.add_parser("show", help="the keys of a configuration, or the one in a file")
    show.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a key, private or public")
    show.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=run_show)
    revoke = parts.add_parser("revoke", help="have a key count no more")
    revoke.add_argument("id", metavar="ID")
    revoke.add_argument("--reason", required=True, metavar="WHY")
    revoke.add_argument(
        "--conf-d", type=Path, default=CONF_D, metavar="DIR", help="default: %(default)s"
    )
    revoke.set_defaults(run=run_revoke)


def _add_new(parser: argparse.ArgumentParser) -> None:
    several: dict[str, Any] = {"nargs": "+", "default": []}
    parser.add_argument("name", metavar="NAME", help="the id of the key")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="of NAME.key")
    parser.add_argument("--owner", metavar="WHO", help="two keys of one owner are one person")
    parser.add_argument(
        *("--verbs", "--verb"), nargs="+", required=True, metavar="VERB", help="as mining.*"
    )
    parser.add_argument("--approves", metavar="VERB", help="as the second person", **several)
    parser.add_argument("--kinds", metavar="KIND", help="of devices: asic, gpu ...", **several)
    parser.add_argument(
        "--tag", action="append", default=[], metavar="KEY=VALUE", help="that devices must have"
    )
    parser.add_argument("--max-targets", type=int, metavar="N", help="devices of one command")
    parser.add_argument(
        "--conf-d", type=Path, metavar="DIR", help="write the table there; else it is printed"
    )
    parser.set_defaults(run=run_new)


# --- new ---------------------------------------------------------------------------------


def run_new(arguments: argparse.Namespace) -> int:
    """Make a key; nothing that exists is written over."""
    key = Ed25519PrivateKey.generate()
    text = table("commands.key", _values(arguments, key))
    drop_in = (arguments.conf_d or Path()) / f"key-{arguments.name}.toml"
    checked(text, drop_in)
    if arguments.conf_d:
        _check_free(arguments.conf_d, arguments.name)
    file: Path = arguments.out / f"{arguments.name}.key"
    _write_new(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    print(f"{file}: the private key; whoever has it may order, no node needs it", file=sys.stderr)
    if arguments.conf_d:
        _let_in(drop_in, text, file)
    else:
        print(text, end="")
    return 0


def _let_in(drop_in: Path, text: str, private: Path) -> None:
    try:
        _write_new(drop_in, text.encode(), 0o644)
    except AgentError:
        private.unlink()
        raise
    printer().print(plain(f"{drop_in}: what it may do; {APPLY}"))


def _values(arguments: argparse.Namespace, key: Ed25519PrivateKey) -> dict[str, Any]:
    return {
        "id": arguments.name,
        "owner": arguments.owner,
        "public_key": public_keys.encode(key.public_key().public_bytes_raw()),
        "verbs": arguments.verbs,
        "approves": arguments.approves,
        "kinds": arguments.kinds,
        "tags": dict(map(_tag, arguments.tag)),
        "max_targets": arguments.max_targets,
    }


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise AgentError(f"--tag {text!a}: expected KEY=VALUE")
    return key, value


def _check_free(conf_d: Path, name: str) -> None:
    """Two keys of one id are a fault that no node would start with."""
    commands = _beside(conf_d)
    if commands and any(key.id == name for key in commands.key):
        raise AgentError(f"a key is called {name} already; give another name")


# --- show --------------------------------------------------------------------------------


def run_show(arguments: argparse.Namespace) -> int:
    """Print the ring, or the public key of a file."""
    if arguments.file:
        found = _facts(_public_key(arguments.file))
        if arguments.json:
            return _print_json(found)
        for name, value in found.items():
            print(f'{name} = "{value}"')
        return 0
    rows = list(_rows(load(arguments.config).commands, datetime.now(UTC)))
    return _print_json(rows) if arguments.json else _print_ring(rows)


def _print_ring(rows: list[dict[str, str | None]]) -> int:
    if not rows:
        print("nobody may order from afar: there is no [[commands.key]]")
        return 0
    columns = ("id", "owner", "fingerprint", "rights", "state")
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(plain(row[column]) for column in columns))
    printer().print(shown)
    return 0


def _facts(raw: bytes) -> dict[str, str]:
    return {"public_key": public_keys.encode(raw), "fingerprint": public_keys.fingerprint(raw)}


def _rows(commands: Commands, now: datetime) -> Iterator[dict[str, str | None]]:
    revoked = {each.id: each for each in reversed(commands.revoked)}
    for key in commands.key:
        yield {
            "id": key.id,
            "owner": key.owner,
            **_facts(public_keys.decode(key.public_key or "")),
            "rights": in_words(key),
            "state": _state(key, revoked.pop(key.id, None), now),
        }
    blank = dict.fromkeys(("owner", "public_key", "fingerprint", "rights"))
    for each in revoked.values():
        yield {"id": each.id, **blank, "state": _revoked(each)}
    if commands.unsigned:
        rights = in_words(commands.unsigned)
        yield {**blank, "id": "unsigned", "rights": rights, "state": "anybody: nothing is signed"}


def _state(key: SigningKey, revoked: Revoked | None, now: datetime) -> str:
    if revoked:
        return _revoked(revoked)
    if key.not_before and now < key.not_before:
        return f"counts from {key.not_before.isoformat()}"
    if key.not_after:
        ends = key.not_after.isoformat()
        return f"ended {ends}" if now > key.not_after else f"counts until {ends}"
    return "counts"


def _revoked(revoked: Revoked) -> str:
    return f"revoked {revoked.at.isoformat()}: {revoked.reason}"


def _public_key(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        if b"PRIVATE KEY" in content:
            return private_key(file).public_key().public_bytes_raw()
        return public_keys.read(content)
    except OSError as error:
        raise AgentError(f"{file}: {error.strerror or error}") from None
    except public_keys.BadPublicKey as error:
        raise AgentError(f"{file}: {error}") from None


def _print_json(found: Any) -> int:
    json.dump(found, sys.stdout, indent=2)
    print()
    return 0


# --- revoke ------------------------------------------------------------------------------


def run_revoke(arguments: argparse.Namespace) -> int:
    """Write the table that revokes a key; the key's own stays, so that its name stays taken."""
    conf_d: Path = arguments.conf_d
    values = {"id": arguments.id, "at": datetime.now(UTC), "reason": arguments.reason}
    text = table("commands.revoked", values)
    file = conf_d / f"revoked-{arguments.id}.toml"
    checked(text, file)
    _check_counts(conf_d, arguments.id)
    _write_new(file, text.encode(), 0o644)
    printer().print(plain(f"{file}: {arguments.id} is revoked; {APPLY}"))
    return 0


def _check_counts(conf_d: Path, key_id: str) -> None:
    """A slip in the id would leave the key as it is."""
    commands = _beside(conf_d)
    if commands is None:
        return
    if all(key.id != key_id for key in commands.key):
        known = ", ".join(key.id for key in commands.key) or "none"
        raise AgentError(f"no key is called {key_id}; there are: {known}")
    for each in commands.revoked:
        if each.id == key_id:
            raise AgentError(f"{key_id} was {_revoked(each)}")


def _beside(conf_d: Path) -> Commands | None:
    """The tables of the configuration that a conf.d belongs to; None where it cannot be read."""
    try:
        return load(conf_d.absolute().parent / DEFAULT_PATH.name).commands
    except ConfigError as error:
        # an emergency does not wait for a configuration that is in order
        print(f"not looked at what stands there: {error}", file=sys.stderr)
        return None


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Put a whole file there at once, on disk when it returns; one that exists is left alone."""
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "wb") as new:
                os.fchmod(new.fileno(), mode)
                new.write(content)
                new.flush()
                os.fsync(new.fileno())
            os.link(name, file)
        finally:
            os.unlink(name)
        _sync_directory(file.parent)
    except FileExistsError:
        raise AgentError(f"{file}: exists already") from None
    except OSError as error:
        raise AgentError(f"{file}: {error.strerror or error}") from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
