"""The agent's end of `stoker-gpu`'s socket: asks, follows events, connects anew when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.errors import AccessDenied, BadReply, DeviceTimeout, DriverError, Unreachable
from drivers.gpu.answers import (
    Done,
    Event,
    Failed,
    Inventoried,
    Scanned,
    ServerMessage,
    Statement,
    WasSet,
    Welcome,
)
from drivers.gpu.framing import ANSWER_LIMIT_BYTES, Frames, FrameTooLarge, frame
from drivers.gpu.protocol import (
    VERSION,
    BadMessage,
    Follow,
    Hello,
    Inventory,
    Release,
    Request,
    Reset,
    Resume,
    Scan,
    Set,
    Status,
    Tier,
    decode_server_message,
    encode,
)
from drivers.gpu.wants import Setting

CONNECT_S = 5.0
GRACE_S = 2.0
"""How much longer than `stoker-gpu` itself an answer is waited for."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0

_A = TypeVar("_A", bound=msgspec.Struct)
Told = Callable[[Event], None]


class GpuClient:
    """One connection, kept up by `run`. Any number of requests at the same time."""

    def __init__(
        self,
        path: Path,
        *,
        told: Told | None = None,
        name: str = "stoker",
        wait: Wait | None = None,
        after: tuple[str, int] = ("", 0),
    ) -> None:
        """`told` is called with each event, those included that came while nobody was connected.

        `after` is the `heard` of an earlier client: what it was told is not told again.
        """
        self._path = path
        self._told = told
        self._name = name
        self._wait = wait or _jittered
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[ServerMessage]] = {}
        self._next_id = 1
        self._epoch, self._seen = after
        self.connected = asyncio.Event()
        self.missed = 0
        """Events whose numbers were never seen."""
        self.problem: DriverError | None = Unreachable("not connected yet")
        """Why there is no connection."""

    @property
    def heard(self) -> tuple[str, int]:
        """How far events were told: the epoch, and the number in it."""
        return self._epoch, self._seen

    async def run(self) -> None:
        """Keep connected until cancelled."""
        failures = 0
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    reader = await self._connect(stack)
                    failures = 0
                    await self._hear(reader)
                self.problem = Unreachable(f"{self._path}: stoker-gpu hung up")
            except DriverError as error:
                self.problem = error
            failures += 1
            await asyncio.sleep(self._wait(failures))

    # --- what can be asked -------------------------------------------------------------------

    async def inventory(self, within_s: float = 30.0) -> Inventoried:
        """All GPUs that were ever seen."""
        request = Inventory(id=self._id(), within_s=within_s)
        return await self._ask(request, within_s, Inventoried)

    async def scan(
        self, tiers: tuple[Tier, ...], uuids: tuple[str, ...] | None = None, within_s: float = 15.0
    ) -> Scanned:
        """Read values of some GPUs, or of all."""
        request = Scan(id=self._id(), tiers=tiers, uuids=uuids, within_s=within_s)
        return await self._ask(request, within_s, Scanned)

    async def set(self, uuid: str, setting: Setting, within_s: float = 15.0) -> WasSet:
        """Set one thing on one GPU."""
        request = Set(id=self._id(), uuid=uuid, setting=setting, within_s=within_s)
        return await self._ask(request, within_s, WasSet)

    async def reset(self, uuid: str, within_s: float = 90.0) -> Done:
        """Reset one GPU; the others are let go meanwhile."""
        request = Reset(id=self._id(), uuid=uuid, within_s=within_s)
        return await self._ask(request, within_s + 30.0, Done)

    async def release(self, for_s: float = 600.0, reason: str = "") -> Done:
        """Have all GPUs let go, for so long at the most."""
        request = Release(id=self._id(), for_s=for_s, reason=reason)
        return await self._ask(request, 15.0, Done)

    async def resume(self) -> Done:
        """Have them taken up again."""
        return await self._ask(Resume(id=self._id()), 5.0, Done)

    async def status(self) -> Statement:
        """How `stoker-gpu` fares."""
        return await self._ask(Status(id=self._id()), 5.0, Statement)

    # --- the connection ----------------------------------------------------------------------

    def _id(self) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        return number

    async def _ask(self, request: Request, within_s: float, kind: type[_A]) -> _A:
        if self._writer is None or self._writer.is_closing():
            raise self.problem or Unreachable(f"{self._path}: not connected")
        answer: asyncio.Future[ServerMessage] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answer
        try:
            self._writer.write(frame(encode(request)))
            async with asyncio.timeout(within_s + GRACE_S):
                message = await answer
        except TimeoutError:
            late = DeviceTimeout(f"stoker-gpu did not answer within {within_s:.0f} s")
            late.sent = True
            raise late from None
        finally:
            self._waiting.pop(request.id, None)
        if isinstance(message, Failed):
            raise message.problem.error()
        if not isinstance(message, kind):
            raise BadReply(f"stoker-gpu answered {type(message).__name__}")
        return message

    async def _connect(self, stack: contextlib.AsyncExitStack) -> asyncio.StreamReader:
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_unix_connection(self._path)
        except PermissionError as error:
            raise AccessDenied(None, f"{self._path}: {error.strerror}") from error
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{self._path}: {error.strerror or 'no answer'}") from error
        stack.callback(self._lost, writer)
        writer.write(frame(encode(Hello(VERSION, self._name))))
        self._frames = Frames(ANSWER_LIMIT_BYTES)
        self._writer = writer
        return reader

    def _lost(self, writer: asyncio.StreamWriter) -> None:
        self.connected.clear()
        self._writer = None
        writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                broken = Unreachable("the connection to stoker-gpu broke")
                broken.sent = True
                answer.set_exception(broken)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                for payload in self._frames.feed(data):
                    self._take(decode_server_message(payload))
        except (OSError, FrameTooLarge, BadMessage) as error:
            raise Unreachable(f"{self._path}: {error}") from error

    def _take(self, message: ServerMessage) -> None:
        if isinstance(message, Event):
            self._tell(message)
        elif isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, Failed) and message.id is None:
            raise message.problem.error()
        else:
            answer = self._waiting.get(message.id or 0)
            if answer is not None and not answer.done():
                answer.set_result(message)

    def _welcomed(self, welcome: Welcome) -> None:
        self.problem = None
        self.connected.set()
        if self._told is not None and self._writer is not None:
            follow = Follow(id=self._id(), epoch=self._epoch, after=self._seen)
            self._writer.write(frame(encode(follow)))
        if welcome.epoch != self._epoch:
            self._epoch, self._seen = welcome.epoch, 0

    def _tell(self, event: Event) -> None:
        if event.seq <= self._seen:
            return
        self.missed += event.seq - self._seen - 1
        self._seen = event.seq
        if self._told is not None:
            self._told(event)


Wait = Callable[[int], float]
"""How long to wait after so many failures in a row."""


def _jittered(failures: int) -> float:
    most_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))
    return random.uniform(most_s / 2, most_s)
