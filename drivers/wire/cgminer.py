"""The cgminer API on the wire: requests, answers, status and joined commands.

Sources: cgminer's API-README and api.c (4.x). One request per connection, no length, no
request id; the server receives once and closes after its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from drivers.api import Clock, Endpoint, Wire
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    Unsupported,
    WrongProtocol,
)
from drivers.wire import text_form
from drivers.wire.deadline import Deadline
from drivers.wire.repair import REPAIR_LIMIT_CHARS, mend, patched, read_lenient

ANSWER_LIMIT_BYTES = 1 << 19
TRIES_TO_JOIN = 3
REQUEST_LIMIT_BYTES = 4095  # api.c: recv(c, buf, TMPBUFSIZ - 1)

INVALID_COMMAND = 14
ACCESS_DENIED = 45
GOOD_LETTERS = frozenset("SIW")  # success, information, warning; E and F are failures
_SINGULAR = {"RESTART", "BYE"}  # answers of `restart` and `quit`: a bare word as STATUS


class Answer(msgspec.Struct, frozen=True):
    """A decoded answer, and whether the device sent less than it began."""

    reply: dict[str, Any]
    cut: bool = False


class Status(msgspec.Struct, frozen=True):
    """The STATUS of a reply: its letter (S, I, W, E, F), code and words."""

    letter: str
    code: int | None
    message: str

    @property
    def good(self) -> bool:
        """True for success, information and warning."""
        return self.letter in GOOD_LETTERS


def request(command: str, parameter: str | int | float | None = None) -> bytes:
    """Build a request; raises ValueError where the firmware could not receive it whole."""
    message: dict[str, Any] = {"command": command}
    if parameter is not None:
        message["parameter"] = parameter
    raw = msgspec.json.encode(message)
    if len(raw) > REQUEST_LIMIT_BYTES:
        raise ValueError(f"request of {len(raw)} bytes, the firmware takes {REQUEST_LIMIT_BYTES}")
    return raw


@cache
def _report_request(commands: tuple[str, ...]) -> bytes:
    """The request for a driver's report commands: made once for all its devices."""
    return request("+".join(commands))


def decode(raw: bytes) -> Answer:
    """Decode an answer: strictly first, leniently where that fails. Raises `BadReply`."""
    try:
        reply = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = patched(raw.partition(b"\0")[0]) if len(raw) <= REPAIR_LIMIT_CHARS else None
        if not isinstance(reply, dict):
            return _decode_leniently(raw)
    if not isinstance(reply, dict):
        raise BadReply("the answer is not an object", raw)
    return Answer(reply)


def _decode_leniently(raw: bytes) -> Answer:
    if raw.startswith((b"HTTP/", b"<")):
        raise WrongProtocol("an HTTP server answers", raw)
    text = raw.partition(b"\0")[0].decode("utf-8", "replace")
    if len(text) > REPAIR_LIMIT_CHARS:
        raise BadReply(f"malformed and over {REPAIR_LIMIT_CHARS} characters", raw)
    if text_form.is_text_form(text):
        return Answer(text_form.read(text))
    try:
        return Answer(msgspec.json.decode(mend(text), type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError):
        return Answer(*read_lenient(text))


def status_of(reply: dict[str, Any]) -> Status:
    """The status of a reply in any of its shapes: a list of one, an object, or a word.

    Raises `BadReply` where there is none.
    """
    found = reply.get("STATUS")
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, str):
        # Whatsminer: {"STATUS":"S","When":..,"Code":131,"Msg":..}; cgminer: {"STATUS":"RESTART"}
        letter = "S" if found in _SINGULAR else found[:1]
        return Status(letter, _code(reply), str(reply.get("Msg", found)))
    if isinstance(found, dict):
        return Status(str(found.get("STATUS", ""))[:1], _code(found), str(found.get("Msg", "")))
    raise BadReply(f"no STATUS among {sorted(map(str, reply))[:5]}")


def _code(status: dict[str, Any]) -> int | None:
    code = status.get("Code", status.get("code"))
    if isinstance(code, str) and code.isdecimal() and len(code) < 10:
        return int(code)  # firmwares write numbers as words here and there
    return code if isinstance(code, int) else None


def checked(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply itself; raises the fitting `Refused` where its status says no."""
    status = status_of(reply)
    if status.good:
        return reply
    raise _refusal(status)


def _refusal(status: Status) -> Refused:
    kinds: dict[int | None, type[Refused]] = {
        INVALID_COMMAND: Unsupported,
        ACCESS_DENIED: AccessDenied,
    }
    return kinds.get(status.code, Refused)(status.code, status.message or "no reason given")


def rows(reply: dict[str, Any], section: str) -> list[dict[str, Any]]:
    """The objects of a section such as `POOLS`; empty where it is absent or of another shape."""
    found = reply.get(section)
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        return []
    return [row for row in found if isinstance(row, dict)]


class Report(msgspec.Struct, frozen=True):
    """What several commands brought: replies by command, and why others are missing."""

    replies: dict[str, Any]
    errors: dict[str, DriverError] = {}
    cut: tuple[str, ...] = ()


class CgminerRpc:
    """Asks one device; remembers whether it understands joined commands."""

    __slots__ = ("_clock", "_deadline_s", "_endpoint", "_unjoined", "_wire", "joins")

    def __init__(self, endpoint: Endpoint, wire: Wire, clock: Clock, deadline_s: float) -> None:
        self._endpoint = endpoint
        self._wire = wire
        self._clock = clock
        self._deadline_s = deadline_s
        self._unjoined = 0
        self.joins: bool | None = None
        """Whether the firmware joins commands; None until it has been seen."""

    async def ask(
        self,
        command: str,
        parameter: str | int | float | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Ask one command; raises what the status or the wire says."""
        left_s = deadline.left_s() if deadline else self._deadline_s
        return checked((await self._exchange(request(command, parameter), left_s)).reply)

    async def ask_all(self, commands: Sequence[str], *, deadline: Deadline | None = None) -> Report:
        """Ask several report commands, in one connection where the firmware allows it.

        A command that fails is named in `errors`; raises only where none brought anything.
        `deadline` is given where more than these commands must fit into one.
        """
        deadline = deadline or Deadline(self._clock, self._deadline_s)
        if self.joins is not False and len(commands) > 1:
            report = await self._ask_joined(commands, deadline)
            if report is not None:
                return report
        return await self._ask_singly(commands, deadline)

    async def _exchange(self, raw: bytes, deadline_s: float) -> Answer:
        return decode(
            await self._wire.exchange(
                self._endpoint.address,
                self._endpoint.rpc_port,
                raw,
                deadline_s=deadline_s,
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        )

    async def _ask_joined(self, commands: Sequence[str], deadline: Deadline) -> Report | None:
        """None where the firmware does not join; it is not asked for that again."""
        # Of an unknown firmware: leave time for single commands should it not even answer.
        left_s = deadline.left_s(1.0 if self.joins else 0.5)
        try:
            answer = await self._exchange(_report_request(tuple(commands)), left_s)
        except (DeviceTimeout, Unreachable, BadReply) as error:
            if self.joins or isinstance(error, WrongProtocol):
                raise
            return None
        report = _split(answer, commands)
        self.joins = report is not None
        return report

    async def _ask_singly(self, commands: Sequence[str], deadline: Deadline) -> Report:
        replies: dict[str, dict[str, Any]] = {}
        errors: dict[str, DriverError] = {}
        cut: list[str] = []
        for command in commands:
            try:
                answer = await self._exchange(_report_request((command,)), deadline.left_s())
                replies[command] = checked(answer.reply)
            except DriverError as error:
                errors[command] = error
                if isinstance(error, DeviceTimeout | Unreachable | WrongProtocol | NoResources):
                    break  # the next one would fare no better
            else:
                cut += [command] if answer.cut else []
        if not replies:
            raise next(iter(errors.values()))
        if self.joins is None and len(replies) > 1:
            self._unjoined += 1
            # Once is a broken connection; a firmware that hangs up on joined commands always does.
            self.joins = False if self._unjoined >= TRIES_TO_JOIN else None
        return Report(replies, errors, tuple(cut))


def _split(answer: Answer, commands: Sequence[str]) -> Report | None:
    """Take a joined answer apart; None where it has the flat form of a single one."""
    if "STATUS" in answer.reply:
        return None
    replies: dict[str, dict[str, Any]] = {}
    errors: dict[str, DriverError] = {}
    for command in commands:
        found = rows(answer.reply, command)
        try:
            if found:
                replies[command] = checked(found[0])
            else:
                errors[command] = BadReply(f"no {command} in the joined answer")
        except DriverError as error:
            errors[command] = error
    if not replies:
        return None
    last = next(reversed(answer.reply)) if answer.reply else ""
    return Report(replies, errors, (last,) if answer.cut and last in replies else ())
