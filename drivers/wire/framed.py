"""Frames of a length and JSON: what Whatsminers speak on port 4433 since late 2024.

A frame is four bytes of length, least first, and that many bytes of JSON, both ways. A request
names its command in `cmd`; its answer repeats it in `desc`, says in `code` how it went (0 is
well) and carries the content, or the reason of a refusal, in `msg`. Source: MicroBT's API 3
manual (apidoc.whatsminer.com, 2025-11); the meaning of codes from recordings of refusals.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
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
)
from drivers.wire import cgminer
from drivers.wire.deadline import Deadline

ANSWER_LIMIT_BYTES = 1 << 19
_LENGTH = struct.Struct("<I")

DONE = 0
INVALID_COMMAND = -2
NO_PERMISSION = -4
_REFUSALS: dict[int, type[Refused]] = {INVALID_COMMAND: Unsupported, NO_PERMISSION: AccessDenied}
"""-1 is a failure of the command, -3 a missing parameter: plain refusals."""


class Question(msgspec.Struct, frozen=True):
    """A command and its parameter, such as `get.miner.status` and `summary`."""

    command: str
    parameter: str | None = None

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"{self.command}|{self.parameter}" if self.parameter else self.command


def request(command: str, parameter: object = None, **signed: object) -> bytes:
    """Build a request frame; `signed` is what a writing command proves itself with."""
    message: dict[str, Any] = {"cmd": command, **signed}
    if parameter is not None:
        message["param"] = parameter
    body = msgspec.json.encode(message)
    return _LENGTH.pack(len(body)) + body


def length_of(start: bytes) -> int | None:
    """How many bytes the frame that starts so has in all; None before its length is there."""
    if len(start) < _LENGTH.size:
        return None
    return _LENGTH.size + int(_LENGTH.unpack_from(start)[0])


def decode(frame: bytes, command: str) -> cgminer.Answer:
    """The answer in a frame; bytes beyond its length are not looked at.

    Raises `BadReply` for anything but an answer to `command`, and the fitting `Refused` where
    the device says no.
    """
    length = length_of(frame)
    if length is None or length > len(frame):
        raise BadReply("half a frame", frame)
    answer = cgminer.decode(frame[_LENGTH.size : length])
    _check(answer.reply, command, frame)
    return answer


def _check(reply: dict[str, Any], command: str, frame: bytes) -> None:
    """Raise what the answer's code says, or that it answers something else."""
    if "code" not in reply and "STATUS" in reply:
        cgminer.checked(reply)  # the words of API 2 in a frame
        return
    code = reply.get("code")
    if isinstance(code, str) and code.lstrip("-").isdecimal() and len(code) < 10:
        code = int(code)
    if isinstance(code, bool) or not isinstance(code, int):
        raise BadReply("no code", frame)
    asked = reply.get("desc")
    if isinstance(asked, str) and asked and asked != command:
        raise BadReply(f"an answer to {asked[:40]} instead of {command}", frame)
    if code != DONE:
        reason = reply.get("msg")
        words = reason if isinstance(reason, str) and reason else "no reason given"
        raise _REFUSALS.get(code, Refused)(code, words[:200])


class FramedRpc:
    """Asks one device; remembers whether it answers more than one question a connection."""

    __slots__ = ("_clock", "_deadline_s", "_endpoint", "_wire", "talks")

    def __init__(self, endpoint: Endpoint, wire: Wire, clock: Clock, deadline_s: float) -> None:
        self._endpoint = endpoint
        self._wire = wire
        self._clock = clock
        self._deadline_s = deadline_s
        self.talks: bool | None = None
        """Whether the firmware keeps a connection for the next question; None until seen."""

    async def ask_all(
        self, questions: Sequence[Question], *, deadline: Deadline | None = None
    ) -> cgminer.Report:
        """Ask several questions, on one connection where the firmware allows it.

        One that fails is named in `errors`; raises only where none brought anything.
        """
        deadline = deadline or Deadline(self._clock, self._deadline_s)
        replies: dict[str, Any] = {}
        errors: dict[str, DriverError] = {}
        cut: list[str] = []
        left = list(questions)
        singly = self.talks is False
        while left:
            several = left[:1] if singly else left
            try:
                frames = await self._converse(several, deadline)
            except DriverError as error:
                if len(several) > 1 and self._singly_may_help(error):
                    singly = True
                    continue
                errors[left.pop(0).name] = error
                if isinstance(error, DeviceTimeout | Unreachable | NoResources):
                    break  # the next one would fare no better
                continue
            left = left[len(frames) :]
            for question, frame in zip(several, frames, strict=False):
                try:
                    answer = decode(frame, question.command)
                except DriverError as error:
                    errors[question.name] = error
                    continue
                replies[question.name] = answer.reply
                cut += [question.name] if answer.cut else []
        if not replies:
            raise next(iter(errors.values()))
        return cgminer.Report(replies, errors, tuple(cut))

    async def tell(
        self, command: str, parameter: object, signed: Mapping[str, object], *, deadline: Deadline
    ) -> str:
        """Give an order on a connection of its own; the device's words, or what it raises."""
        frames = await self._wire.converse(
            self._endpoint.address,
            self._endpoint.framed_port,
            [request(command, parameter, **signed)],
            length_of=length_of,
            deadline_s=deadline.left_s(),
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
        return str(decode(frames[0], command).reply.get("msg", ""))

    def _singly_may_help(self, error: DriverError) -> bool:
        """True where several questions on one connection may have been too much."""
        if isinstance(error, DeviceTimeout) and self.talks is None:
            self.talks = False  # it holds the connection, and its tongue
            return True
        return isinstance(error, BadReply)

    async def _converse(self, questions: Sequence[Question], deadline: Deadline) -> list[bytes]:
        """The answers to as many of the questions as the device takes on one connection."""
        # Of an unknown firmware: leave time for single questions should it fall silent.
        share = 0.5 if len(questions) > 1 and self.talks is None else 1.0
        frames = await self._wire.converse(
            self._endpoint.address,
            self._endpoint.framed_port,
            [request(question.command, question.parameter) for question in questions],
            length_of=length_of,
            deadline_s=deadline.left_s(share),
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
        if len(questions) > 1 and self.talks is None:
            self.talks = len(frames) == len(questions)
        return frames
