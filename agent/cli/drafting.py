"""What is to be sent, as the options of `stoker send` say it, made into the claims of a command."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from agent.command.params import Params, checked
from agent.command.targets import parse
from agent.command.verbs import VERBS
from agent.errors import AgentError
from agent.remote.claims import Claims, CommandId
from agent.remote.node_verbs import NODE_VERBS, READ_NOW

READ_EXPIRY_S = 60.0
_OWN = ("kind", "make", "model", "firmware", "state")
_WAVE_KEYS = {"wave": "wave", "pause": "pause_s", "stop": "stop_above"}


class Draft(msgspec.Struct, frozen=True):
    """A command before it is signed."""

    claims: dict[str, Any]
    """What is not said is not there."""
    expires_at: float


def draft(
    arguments: argparse.Namespace, *, site: str, command_id: str, sender: str, now: float
) -> Draft:
    """The claims; raises `AgentError` naming the option that is wrong."""
    verb = _known(arguments.verb)
    begins = _moment(arguments.not_before, now) if arguments.not_before else None
    counted_from = now if begins is None else max(now, begins)
    expires_s = arguments.expires
    if expires_s is not None and not 0 < expires_s < math.inf:
        raise AgentError(f"--expires: expected seconds, found {expires_s:g}")
    said = {
        "jti": _checked_id(command_id, "--id"),
        "aud": f"{site}/{arguments.node}" if arguments.node else site,
        "iss": sender,
        "iat": now,
        "nbf": begins,
        "exp": None if expires_s is None else counted_from + expires_s,
        "verb": verb,
        "target": _target(verb, arguments.target, arguments.max_targets),
        "params": _params(verb, arguments.param, arguments.params),
        "dry_run": arguments.dry_run,
        "supersedes": [_checked_id(each, "--supersedes") for each in arguments.supersedes],
        "rollout": _rollout(arguments.rollout),
    }
    claims = {name: value for name, value in said.items() if value}
    try:
        msgspec.convert(claims, Claims)
    except msgspec.ValidationError as error:
        raise AgentError(f"{verb}: {error}") from None
    return Draft(claims, said["exp"] or counted_from + _expiry_s(verb))


# --- verbs and their parameters --------------------------------------------------------------


def _known(verb: str) -> str:
    if verb not in VERBS and verb not in NODE_VERBS and verb != READ_NOW:
        known = ", ".join((*VERBS, READ_NOW, *NODE_VERBS))
        raise AgentError(f"unknown verb {verb!a}; known: {known}")
    return verb


def _expiry_s(verb: str) -> float:
    row = VERBS.get(verb) or NODE_VERBS.get(verb)
    return row.expiry_s if row else READ_EXPIRY_S


def _params(verb: str, pairs: Sequence[str], text: str | None) -> dict[str, Any]:
    given = _object(text) if text else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise AgentError(f"--param {pair!a}: expected name=value")
        given[name] = _json(value) if value[:1] in ("[", "{") else value
    row = VERBS.get(verb) or NODE_VERBS.get(verb)
    kind = row.params if row else Params
    try:
        # what is typed is text: "3000" stands for a number where the verb wants one
        found = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError:
        found = checked(verb, given, kind)
    read = msgspec.to_builtins(found)
    return {name: read[name] if isinstance(each, str) else each for name, each in given.items()}


def _object(text: str) -> dict[str, Any]:
    found = _json(text)
    if not isinstance(found, dict):
        raise AgentError(f"--params: expected an object, found {text[:40]!a}")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AgentError(f"no JSON: {text[:40]!a}: {error}") from None


# --- the target ------------------------------------------------------------------------------


def _target(verb: str, specs: Sequence[str], max_targets: int | None) -> dict[str, Any] | None:
    if verb in NODE_VERBS:
        if specs or max_targets is not None:
            raise AgentError(f"{verb} is for nodes, not for devices: leave --target out")
        return None
    if not specs:
        raise AgentError(f"{verb}: say for which devices with --target (`all` has to be said)")
    found = _claim(_values([_conditions(spec) for spec in specs]))
    return found if max_targets is None else {**found, "max_targets": max_targets}


def _conditions(spec: str) -> list[tuple[str, str]]:
    """The keys and values of one --target; none for `all`."""
    conditions = parse(spec).conditions
    # ids keep their case: a serial has one
    written = [part.rpartition("=")[2].strip() for part in spec.split(",")]
    return [
        (each.key, text if each.key == "id" else each.value)
        for each, text in zip(conditions, written, strict=False)
    ]


def _values(said: Sequence[list[tuple[str, str]]]) -> dict[str, list[str]]:
    """By key the values of which one must fit."""
    keys = [key for conditions in said for key, _ in conditions]
    lists = len(said) > 1 and all(len(each) == 1 for each in said) and len(set(keys)) == 1
    if not lists and (len(said) > 1 or len(set(keys)) < len(keys)):
        raise AgentError(
            "--target: several of them add up, as ids or as values of one key; "
            "conditions that must all hold stand in one, joined by commas, each key once"
        )
    found: dict[str, list[str]] = {}
    for conditions in said:
        for key, value in conditions:
            found.setdefault(key, []).append(value)
    return found


def _claim(values: dict[str, list[str]]) -> dict[str, Any]:
    if not values:
        return {"all": True}
    if "address" in values:
        raise AgentError("--target: a command names devices by their id, not by their address")
    ids = {"ids": values.pop("id")} if "id" in values else {}
    own = {key: _one_of(values.pop(key)) for key in _OWN if key in values}
    tags = {"tags": {key: _one_of(each) for key, each in values.items()}} if values else {}
    return {**ids, **own, **tags}


def _one_of(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


# --- times, ids, waves -------------------------------------------------------------------------


def _moment(text: str, now: float) -> float:
    """`+600` seconds from now, or a time with its zone."""
    try:
        if text.startswith("+"):
            return now + float(text[1:])
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise AgentError(
            f"--not-before {text!a}: expected a time with its zone (2026-01-31T06:00:00Z), or +600"
        )
    return found.timestamp()


def _checked_id(text: str, option: str) -> str:
    try:
        return msgspec.convert(text, CommandId)
    except msgspec.ValidationError:
        raise AgentError(
            f"{option} {text!a}: expected up to 64 letters, digits, '.', '_', ':' and '-'"
        ) from None


def _rollout(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() not in _WAVE_KEYS:
            raise AgentError(f"--rollout {part!a}: expected wave=100,pause=60,stop=0.05")
        found[_WAVE_KEYS[name.strip()]] = _figure(name, value)
    if "wave" not in found:
        raise AgentError("--rollout: say how many devices are a wave (wave=100)")
    return {**found, "wave": int(found["wave"])}


def _figure(name: str, text: str) -> float:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise AgentError(f"--rollout: {name}={text!a} is no number") from None
