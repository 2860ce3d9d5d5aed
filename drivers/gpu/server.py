"""The socket of `stoker-gpu`: who comes in, what they ask, and what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

import msgspec

from drivers.errors import DriverError
from drivers.gpu.answers import Done, Event, Failed, Problem, ServerMessage, Welcome, problem_of
from drivers.gpu.errors import Cause
from drivers.gpu.framing import REQUEST_LIMIT_BYTES, Frames, FrameTooLarge, frame
from drivers.gpu.peers import Peers, credentials
from drivers.gpu.protocol import (
    VERSION,
    BadMessage,
    Follow,
    Hello,
    Request,
    decode_client_message,
    encode,
)
from drivers.gpu.ring import Ring

log = logging.getLogger("stoker.gpu")

CLIENTS_MOST = 32
REQUESTS_MOST = 32
"""Of one client at the same time; it is not read from while so many are under way."""
UNREAD_BYTES = 2 * 1024 * 1024
"""A client that leaves so much unread is cut off: what is written for it would be kept for ever."""
HELLO_S = 10.0
LAST_WORDS_S = 1.0

Answer = Callable[[Request], Awaitable[ServerMessage]]


class Server:
    """Serves clients on a listening socket."""

    def __init__(self, peers: Peers, ring: Ring, answer: Answer) -> None:
        self._peers = peers
        self._ring = ring
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._tasks)

    async def run(self, listening: socket.socket) -> None:
        """Serve until cancelled; then clients are cut off."""
        server = await asyncio.start_unix_server(self._serve, sock=listening)
        try:
            await asyncio.Event().wait()
        finally:
            # not `async with server`: from Python 3.12 on that waits until every client leaves
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  streams run their callback in a task
        try:
            if refusal := self._refusal(writer):
                writer.write(frame(encode(Failed(refusal))))
            else:
                await self._converse(task, Client(reader, writer, self._ring, self._answer))
            await _read_to_end(reader, writer)
        except (OSError, asyncio.CancelledError):  # it has gone, or we go
            pass
        finally:
            writer.close()

    async def _converse(self, task: asyncio.Task[None], client: Client) -> None:
        self._tasks.add(task)
        try:
            await client.converse()
        finally:
            self._tasks.discard(task)
            client.close()

    def _refusal(self, writer: asyncio.StreamWriter) -> Problem | None:
        pid, uid, gid = credentials(writer.get_extra_info("socket"))
        if not self._peers.may(uid, gid):
            log.warning("refused: process %d of user %d, group %d", pid, uid, gid)
            return Problem(Cause.NO_PERMISSION, f"user {uid} may not speak to stoker-gpu")
        if len(self._tasks) >= CLIENTS_MOST:
            return Problem(Cause.BUSY, f"{CLIENTS_MOST} clients are connected, which is the most")
        return None


async def _read_to_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give a client time for our last words: a socket closed with something unread is reset."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            if not writer.is_closing():
                writer.write_eof()
            while await reader.read(65536):
                pass


class Client:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ring: Ring,
        answer: Answer,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ring = ring
        self._answer = answer
        self._frames = Frames(REQUEST_LIMIT_BYTES)
        self._room = asyncio.Semaphore(REQUESTS_MOST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeted = False

    async def converse(self) -> None:
        """Take what comes until the client hangs up or says what cannot be understood."""
        try:
            going = True
            async with asyncio.timeout(HELLO_S):
                while going and not self._greeted:
                    going = await self._hear()
            while going:
                going = await self._hear()
        except TimeoutError:
            self._fail(Problem(Cause.BAD_REQUEST, f"no hello within {HELLO_S:.0f} s"))
        except FrameTooLarge as error:
            self._fail(Problem(Cause.BAD_REQUEST, str(error)))

    def close(self) -> None:
        """Answer no more; what was not yet begun for it is dropped."""
        self._ring.leave(self._send)
        for task in self._tasks:
            task.cancel()

    async def _hear(self) -> bool:
        data = await self._reader.read(65536)
        for payload in self._frames.feed(data):
            if not await self._take(payload):
                return False
        return bool(data) and not self._writer.is_closing()

    async def _take(self, payload: bytes) -> bool:
        """Whether to go on."""
        try:
            message = decode_client_message(payload)
        except BadMessage as error:
            self._fail(Problem(Cause.BAD_REQUEST, str(error)), error.id)
            return self._greeted
        if isinstance(message, Hello):
            return self._greet(message)
        if not self._greeted:
            self._fail(Problem(Cause.BAD_REQUEST, "hello has to come first"), message.id)
            return False
        await self._room.acquire()
        if self._writer.is_closing():  # it has gone while we waited
            return False
        task = asyncio.create_task(self._reply(message))
        self._tasks.add(task)
        task.add_done_callback(self._replied)
        return True

    def _replied(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    def _greet(self, hello: Hello) -> bool:
        if hello.version != VERSION:
            words = f"version {hello.version} of the protocol; stoker-gpu speaks {VERSION}"
            self._fail(Problem(Cause.BAD_REQUEST, words))
            return False
        self._greeted = True
        self._send(Welcome(VERSION, self._ring.epoch, self._ring.last))
        return True

    async def _reply(self, request: Request) -> None:
        try:
            if isinstance(request, Follow):
                self._follow(request)
            else:
                self._send(await self._answer(request))
        except DriverError as error:
            self._fail(problem_of(error), request.id)
        except Exception as error:
            log.exception("answering %s failed", type(request).__name__)
            words = f"internal error, see the log: {type(error).__name__}"
            self._fail(Problem(Cause.FAILED, words), request.id)

    def _follow(self, request: Follow) -> None:
        self._ring.leave(self._send)
        self._send(Done(id=request.id))
        for event in self._ring.after(request.epoch, request.after):
            self._send(event)
        self._ring.follow(self._send)

    def _fail(self, problem: Problem, id: int | None = None) -> None:
        self._send(Failed(problem, id))

    def _send(self, message: ServerMessage | Event | msgspec.Struct) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(frame(encode(message)))
        if self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            log.warning("a client leaves its answers unread: it is cut off")
            with contextlib.suppress(OSError):
                self._writer.transport.abort()
