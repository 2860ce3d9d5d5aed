"""LuxOS on port 4028: joined commands, sessions and orders. Source: Luxor's API documentation."""

from __future__ import annotations

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.dialects.luxos_orders import OPEN, WITH_SESSION, No, Take
from drivers.sim.dialects.luxos_rows import COMMANDS
from drivers.sim.face import Face
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row, parse_request, split_joined

SESSION_S = 60.0
_RATED = frozenset({"summary", "stats"})


def respond(machine: Machine, data: bytes, at: float) -> Reply:
    """Answer a request; several commands may be joined, if none takes a parameter."""
    request, now = parse_request(data), machine.at(at)
    if request.error is not None:
        return _reply(_refused(machine, now, request.error, "Invalid JSON"))
    if "+" in request.command:
        names = split_joined(request.command)
        body: Row = {name: [_answer(machine, now, name, None)] for name in names}
        return _reply(body | {"id": 1}, request.command, now)
    words = (request.parameter or "").split(",")
    if request.command in WITH_SESSION:
        return _ordered_in_session(machine, now, request.command, words)
    if request.command in OPEN:
        return _ordered(machine, now, request.command, OPEN[request.command], words)
    body = _answer(machine, now, request.command, request.parameter)
    return _reply(body, request.command, now)


def _reply(body: Row, command: str = "", now: Snapshot | None = None) -> Reply:
    rated = now is not None and bool(_RATED & set(command.split("+")))
    return Reply(
        body=msgspec.json.encode(body) + b"\0",
        command=command,
        ghs=round(now.ghs_5s, 2) if rated and now else None,
        elapsed=now.uptime_s if rated and now else None,
    )


def _answer(machine: Machine, now: Snapshot, name: str, parameter: str | None) -> Row:
    if name in ("logon", "logoff", "session"):
        return _session(machine, now, name, parameter)
    made = COMMANDS.get(name)
    if made is None:
        return _refused(machine, now, 14, f"Invalid command '{name}'")
    code, words, sections = made(machine, now)
    return {**sections, "STATUS": [_status(machine, now, "S", code, words)], "id": 1}


def _ordered_in_session(machine: Machine, now: Snapshot, name: str, words: list[str]) -> Reply:
    """The session is the first word; using it keeps it open."""
    _expire(machine, now)
    if words[0] not in machine.sessions:
        return _reply(_refused(machine, now, 400, "Invalid session"), name)
    machine.sessions[words[0]] = now.now
    return _ordered(machine, now, name, WITH_SESSION[name], words[1:])


def _ordered(machine: Machine, now: Snapshot, name: str, take: Take, words: list[str]) -> Reply:
    told = take(machine, words)
    if isinstance(told, No):
        return _reply(_refused(machine, now, told.code, told.words), name)
    heard = machine.hear(name, told.change, now.now, after_s=told.after_s)
    if not heard.answers:
        return Reply(b"", name, silent=True)
    if not heard.consents:
        return _reply(_refused(machine, now, 300, f"Command {name} failed"), name)
    status = {"STATUS": [_status(machine, now, "S", told.code, told.words)], "id": 1}
    return _reply({**(told.sections or {}), **status}, name)


def _expire(machine: Machine, now: Snapshot) -> None:
    for token, used_at in list(machine.sessions.items()):
        if now.now - used_at > SESSION_S:
            del machine.sessions[token]


def _session(machine: Machine, now: Snapshot, name: str, parameter: str | None) -> Row:
    """One session at a time; it ends after a minute without use."""
    _expire(machine, now)
    active = next(iter(machine.sessions), "")
    if name == "logon":
        if active:
            return _refused(machine, now, 402, "Another session is active")
        active = machine.miner_id[:8]
        machine.sessions[active] = now.now
    elif name == "logoff":
        if parameter != active:
            return _refused(machine, now, 400, "Invalid session")
        machine.sessions.clear()
        return {"STATUS": [_status(machine, now, "S", 317, "Session dropped")], "id": 1}
    code = 316 if name == "logon" else 319
    status = _status(machine, now, "S", code, "Session information")
    return {"SESSION": [{"SessionID": active}], "STATUS": [status], "id": 1}


def _refused(machine: Machine, now: Snapshot, code: int, words: str) -> Row:
    return {"STATUS": [_status(machine, now, "E", code, words)], "id": 1}


def _status(machine: Machine, now: Snapshot, letter: str, code: int, words: str) -> Row:
    return {
        "Code": code,
        "Description": f"LUXminer {machine.model.firmware}",
        "Msg": words,
        "STATUS": letter,
        "When": int(now.now),
    }


FACE = Face(rpc=respond)
