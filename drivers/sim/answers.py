"""From a request to an answer: access, joining and form, the same in every dialect."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drivers.sim import protocol
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Request, Row, Section


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer to be sent, and what the log says about it."""

    body: bytes
    command: str = ""
    ghs: float | None = None
    elapsed: int | None = None
    malformed: bool = False
    after_s: float = 0.0
    """How much longer than usual the machine takes to answer, as the site's pace scales it."""
    silent: bool = False
    """It hangs up without a word."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a command is answered from."""

    machine: Machine
    now: Snapshot
    parameter: str | None = None


class Command(msgspec.Struct, frozen=True):
    """One command of a dialect.

    `answer` gives the code, the words of its message and the rows. Commands that write
    have none: no machine of this site lets anybody write on its RPC port.
    """

    answer: Callable[[Asked], tuple[int, tuple[object, ...], tuple[Row, ...]]] | None
    section: str | None = None
    headed: bool = True
    joinable: bool = True
    shows_rate: bool = False
    shows_uptime: bool = False


class Dialect(msgspec.Struct, frozen=True):
    """How a family of firmwares answers."""

    commands: dict[str, Command]
    joins: bool = True
    hides_name: bool = False
    """Leaves its name out of "Invalid command", as cgminer does since 4.11."""
    glues_stats: bool = False
    """Forgets the comma between the two objects of `stats`."""
    rate_digits: int = 2
    """Digits of the 5 s rate in GH/s, as it stands in an answer."""
    new_api: Callable[[str, Machine, Snapshot], Row | None] | None = None


def reply_to(dialect: Dialect, machine: Machine, data: bytes, now: float) -> Reply:
    """Answer the bytes of one request as this machine does at this moment."""
    request = protocol.parse_request(data)
    moment = machine.at(now)
    if request.error is not None:
        return Reply(_encode(request, _refusal(dialect, machine, moment, request.error, "command")))
    if request.new_api and dialect.new_api:
        body = dialect.new_api(request.command, machine, moment)
        if body is not None:
            encoded = msgspec.json.encode(body) + b"\0"
            return _reply(dialect, request, encoded, moment, rated=request.command != "pools")
    if "+" in request.command and dialect.joins:
        return _joined(dialect, machine, request, moment)
    section = _section(dialect, machine, moment, request.command, request.parameter)
    encoded = _encode(request, section)
    command = dialect.commands.get(request.command)
    answered = section.rows and command
    return _reply(
        dialect,
        request,
        encoded,
        moment,
        rated=bool(answered and command and command.shows_rate),
        timed=bool(answered and command and command.shows_uptime),
        glued=bool(answered and dialect.glues_stats and request.json),
    )


def glue(body: bytes) -> bytes:
    """Lose the comma between the objects of a list, as some firmwares' `stats` do."""
    return body.replace(b"},{", b"}{")


def _joined(dialect: Dialect, machine: Machine, request: Request, moment: Snapshot) -> Reply:
    names = protocol.split_joined(request.command)
    sections = {name: _section(dialect, machine, moment, name, None, joined=True) for name in names}
    encode = protocol.encode_joined_json if request.json else protocol.encode_joined_text
    known = [dialect.commands[n] for n in names if n in dialect.commands and sections[n].rows]
    return _reply(
        dialect,
        request,
        encode(sections),
        moment,
        rated=any(command.shows_rate for command in known),
        timed=any(command.shows_uptime for command in known),
        glued=dialect.glues_stats and request.json and "stats" in names,
    )


def _reply(
    dialect: Dialect,
    request: Request,
    body: bytes,
    moment: Snapshot,
    *,
    rated: bool,
    timed: bool = True,
    glued: bool = False,
) -> Reply:
    glued = glued and b"},{" in body and "stats" in request.command
    return Reply(
        body=glue(body) if glued else body,
        command=request.command,
        ghs=round(moment.ghs_5s, dialect.rate_digits) if rated else None,
        elapsed=moment.uptime_s if timed else None,
        malformed=glued,
    )


def _section(
    dialect: Dialect,
    machine: Machine,
    moment: Snapshot,
    name: str,
    parameter: str | None,
    *,
    joined: bool = False,
) -> Section:
    command = dialect.commands.get(name)
    if command is None:
        return _refusal(dialect, machine, moment, 14)
    allowed = "*" in machine.model.commands or name in machine.model.commands
    if command.answer is None or not allowed or (joined and not command.joinable):
        return _refusal(dialect, machine, moment, 45, name)
    code, words, rows = command.answer(Asked(machine, moment, parameter))
    state = protocol.status(code, moment.now, machine.model.description, *words)
    return Section(state, command.section if rows else None, rows, command.headed)


def _refusal(
    dialect: Dialect, machine: Machine, moment: Snapshot, code: int, *words: object
) -> Section:
    hidden = code == 14 and dialect.hides_name
    description = "" if hidden else machine.model.description
    return Section(protocol.status(code, moment.now, description, *words))


def _encode(request: Request, section: Section) -> bytes:
    return protocol.encode_json(section) if request.json else protocol.encode_text(section)
