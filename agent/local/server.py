"""The control socket: what a person on this host asks the running agent."""

from __future__ import annotations

import asyncio
import logging
import pwd
import socket
import stat
import struct
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

from agent.errors import AgentError
from agent.local.protocol import LINE_LIMIT_BYTES, Request, answer, parse, refusal
from drivers.errors import DriverError

log = logging.getLogger("stoker.local")

SOCKET_MODE = 0o660
"""The owner and the operators' group; the directory decides who may reach it."""
IDLE_S = 60.0
WATCH_QUEUE = 10_000
BUFFER_BYTES = 32_768
"""So much may wait to be sent before it is waited for: an order over a site has 10,000 results."""
SEND_S = 10.0
"""How long a watcher may leave its lines unread."""


class Watchers:
    """Hands every reading to whoever watches; a watcher that does not keep up loses lines."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[bytes]] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """How many watch now."""
        return len(self._queues)

    def show(self, message: bytes) -> None:
        """Show a message to every watcher."""
        if self._queues:
            for queue in self._queues.values():
                queue.append(message)
            self._news.set()

    async def follow(self) -> AsyncGenerator[list[bytes], None]:
        """Batches of messages, as they come."""
        queue: deque[bytes] = deque(maxlen=WATCH_QUEUE)
        self._queues[id(queue)] = queue
        try:
            while True:
                if not queue:
                    self._news.clear()
                    await self._news.wait()
                batch = list(queue)
                queue.clear()
                if batch:
                    yield batch
        finally:
            del self._queues[id(queue)]


Stream = Callable[[Request, str], AsyncIterator[bytes]]
"""Answers a request of a user with any number of lines, each encoded JSON."""


class ControlServer:
    """Serves the control socket until cancelled; `streams` answer what it does not know itself."""

    def __init__(
        self,
        path: Path,
        status: Callable[[], bytes],
        read: Callable[[Request], Awaitable[bytes]],
        watchers: Watchers,
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        self._path = path
        self._streams = streams or {}
        self._status = status
        self._read = read
        self._watchers = watchers
        self._clients: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled; then clients are cut off and the socket file is removed."""
        self._clear_way()
        try:
            server = await asyncio.start_unix_server(
                self._serve, self._path, limit=LINE_LIMIT_BYTES
            )
        except OSError as error:
            raise AgentError(f"control socket {self._path}: {error.strerror}") from error
        self._path.chmod(SOCKET_MODE)
        try:
            await asyncio.Event().wait()
        finally:
            # Not `async with server`: from Python 3.12 on it waits until every watcher leaves.
            server.close()
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            self._path.unlink(missing_ok=True)

    def _clear_way(self) -> None:
        """Remove the socket of an agent that died; refuse where one lives or a file stands."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = self._path.stat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise AgentError(f"control socket {self._path}: something else stands there")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._path))
            except OSError:
                self._path.unlink(missing_ok=True)
                return
        raise AgentError(f"control socket {self._path}: another agent is running")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        try:
            await self._converse(reader, writer)
        except ConnectionError:
            pass
        except TimeoutError:  # it does not read: what is written for it would be kept for ever
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        user = _peer(writer)
        try:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readline()
        except ValueError:
            writer.write(refusal(f"not a request: a line of over {LINE_LIMIT_BYTES} bytes"))
            return
        if line:
            await self._answer(line, user, writer)

    async def _answer(self, line: bytes, user: str, writer: asyncio.StreamWriter) -> None:
        try:
            request = parse(line)
        except ValueError as error:
            writer.write(refusal(str(error)))
            return
        log.debug("local request: %s", request.op, extra={"user": user})
        if request.op == "watch":
            await self._watch(writer)
            return
        try:
            async for content in self._contents(request, user):
                if writer.is_closing():
                    return  # who asked has gone; what was ordered goes on
                writer.write(answer(content))
                if writer.transport.get_write_buffer_size() > BUFFER_BYTES:
                    async with asyncio.timeout(SEND_S):
                        await writer.drain()
        except (DriverError, AgentError) as error:
            writer.write(refusal(f"{type(error).__name__}: {error}"))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("answering %s failed unexpectedly", request.op, extra={"user": user})
            writer.write(refusal(f"internal error, see the log: {type(error).__name__}"))
        async with asyncio.timeout(SEND_S):
            await writer.drain()

    async def _contents(self, request: Request, user: str) -> AsyncIterator[bytes]:
        if request.op == "status":
            yield self._status()
        elif request.op == "read":
            yield await self._read(request)
        elif stream := self._streams.get(request.op):
            async for content in stream(request, user):
                yield content
        else:
            raise AgentError(f"this agent does not know {request.op}")

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        async with aclosing(self._watchers.follow()) as batches:
            async for batch in batches:
                writer.writelines([answer(message) for message in batch])
                async with asyncio.timeout(SEND_S):
                    await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> str:
    """The user at the other end, by the kernel's word."""
    sock = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    try:
        return f"local:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local:{uid}"
