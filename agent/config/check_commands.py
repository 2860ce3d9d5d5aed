"""What must hold of the keys that commands are signed with, and of what they may do."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import msgspec

from agent.config import public_keys
from agent.config.commands import UNSIGNED, VERB_NAMES, Commands, Rights, SigningKey
from agent.config.files import trouble
from agent.config.merge import Blame, Key
from agent.config.public_keys import BadPublicKey

_AT: Key = ("commands",)


def complete_commands(commands: Commands, blame: Blame) -> Commands:
    """The tables with every public key in place, once every rule holds; raises `ConfigError`."""
    _check_two_person(commands, blame)
    for at, rights in _all_rights(commands):
        _check_verbs(rights.verbs, (*at, "verbs"), blame)
        _check_hours(rights, at, blame)
    keys = tuple(_completed(key, (*_AT, "key", at), blame) for at, key in enumerate(commands.key))
    _check_different(keys, blame)
    return msgspec.structs.replace(commands, key=keys)


def _all_rights(commands: Commands) -> Iterator[tuple[Key, Rights]]:
    for at, key in enumerate(commands.key):
        yield (*_AT, "key", at), key
    if commands.unsigned:
        yield (*_AT, "unsigned"), commands.unsigned


# --- verbs and hours ---------------------------------------------------------------------


def _check_two_person(commands: Commands, blame: Blame) -> None:
    at = (*_AT, "two_person")
    for position, verb in enumerate(commands.two_person):
        if verb not in VERB_NAMES:
            raise blame.error((*at, position), _unknown(verb))
        if verb == "command.approve":
            raise blame.error((*at, position), "approvals can not wait for approval")


def _check_verbs(verbs: tuple[str, ...], at: Key, blame: Blame) -> None:
    if not verbs:
        raise blame.error(at, 'name what may be ordered, such as ["mining.*"]')
    _check_patterns(verbs, at, blame)


def _check_patterns(patterns: tuple[str, ...], at: Key, blame: Blame) -> None:
    for position, pattern in enumerate(patterns):
        if pattern != "*" and not _meets(pattern):
            raise blame.error((*at, position), _unknown(pattern))


def _meets(pattern: str) -> bool:
    if pattern.endswith(".*"):
        return any(verb.startswith(pattern[:-1]) for verb in VERB_NAMES)
    return pattern in VERB_NAMES


def _unknown(verb: str) -> str:
    near = get_close_matches(verb, VERB_NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(VERB_NAMES)}"
    return f"no verb is called {verb[:60]!a}; {hint}"


def _check_hours(rights: Rights, at: Key, blame: Blame) -> None:
    if rights.hours:
        begin, _, end = rights.hours.partition("-")
        if begin == end:
            problem = f"{rights.hours} is no time at all; leave it out for the whole day"
            raise blame.error((*at, "hours"), problem)


# --- keys --------------------------------------------------------------------------------


def _completed(key: SigningKey, at: Key, blame: Blame) -> SigningKey:
    if key.id == UNSIGNED:
        raise blame.error((*at, "id"), f"{UNSIGNED} is what commands without a key go by")
    _check_patterns(key.approves, (*at, "approves"), blame)
    if key.not_before and key.not_after and key.not_before >= key.not_after:
        raise blame.error((*at, "not_after"), "must be later than not_before")
    raw = _public_key(key, at, blame)
    return msgspec.structs.replace(key, public_key=public_keys.encode(raw))


def _public_key(key: SigningKey, at: Key, blame: Blame) -> bytes:
    if (key.public_key is None) == (key.public_key_file is None):
        raise blame.error(at, "give either public_key or public_key_file")
    if key.public_key is not None:
        try:
            return public_keys.decode(key.public_key)
        except BadPublicKey as error:
            raise blame.error((*at, "public_key"), str(error)) from None
    path = str(key.public_key_file)
    if "-----BEGIN" in path:  # not shown: it may be a private one
        problem = "expected the path of a file, found what stands in one"
        raise blame.error((*at, "public_key_file"), problem)
    try:
        return public_keys.read(Path(path).read_bytes())
    except OSError as error:
        problem = trouble(error)
    except ValueError as error:  # a `BadPublicKey`, or a NUL in the path
        problem = str(error)
    raise blame.error((*at, "public_key_file"), f"{path}: {problem}")


def _check_different(keys: tuple[SigningKey, ...], blame: Blame) -> None:
    ids: set[str] = set()
    owners: dict[str | None, str] = {}
    for at, key in enumerate(keys):
        here: Key = (*_AT, "key", at)
        if key.id in ids:
            raise blame.error((*here, "id"), f"another key is called {key.id} already")
        if other := owners.get(key.public_key):
            given = "public_key_file" if key.public_key_file else "public_key"
            problem = f"is the key of {other} too: whoever holds it would count as two people"
            raise blame.error((*here, given), problem)
        ids.add(key.id)
        owners[key.public_key] = key.id
