"""The child process as its supervisor holds it. Never waits for it longer than it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from drivers.gpu.cell import Call, new_cell
from drivers.gpu.errands import (
    Errand,
    Noticed,
    Returned,
    encode,
    from_child_decoder,
)
from drivers.gpu.errors import Restarting
from drivers.gpu.framing import ANSWER_LIMIT_BYTES, Frames, frame
from drivers.gpu.kernel import KernelState, kernel_state

COMMAND = (sys.executable, "-I", "-m", "drivers.gpu.child")
_REAP_S = 0.2


class Worker:
    """One child: started at birth, asked one thing at a time, and seen to its end."""

    def __init__(self, told: Callable[[Noticed], None], command: tuple[str, ...] = COMMAND) -> None:
        """Start it; needs a running event loop. Raises OSError where it cannot be started."""
        self._told = told
        ours, theirs = socket.socketpair()
        descriptor, self._cell = new_cell()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own program
                    [*command, str(theirs.fileno()), str(descriptor)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), descriptor),
                )
            except OSError:
                ours.close()
                raise
            finally:
                os.close(descriptor)
        self.pid = self._process.pid
        self.skip: tuple[str, ...] = ()
        """Which GPUs it was told to leave alone."""
        self._waiting: dict[int, asyncio.Future[Returned]] = {}
        self._next_id = 1
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        self.ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = (loop.create_task(self._live(ours)), loop.create_task(self._reap()))

    @property
    def code(self) -> int | None:
        """How it ended: an exit code, or the negative number of a signal."""
        return self._process.poll()

    def ask(self, errand: Callable[[int], Errand]) -> asyncio.Future[Returned]:
        """Ask it; the future fails with `Restarting` where it ends without an answer."""
        answer: asyncio.Future[Returned] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_looked_at)
        if self.ended.is_set():
            answer.set_exception(Restarting("the child that calls the driver has ended"))
            return answer
        number, self._next_id = self._next_id, self._next_id + 1
        self._waiting[number] = answer
        self._send(frame(encode(errand(number))))
        return answer

    def call(self) -> Call:
        """What it calls, or called last."""
        return self._cell.read()

    def called_for_s(self) -> float:
        """How long the present call has been under way; 0 between calls."""
        began_s = self._cell.read().began_s
        return 0.0 if began_s is None else max(0.0, time.monotonic() - began_s)

    def kernel_state(self) -> KernelState:
        """What it does in the kernel's eyes."""
        return kernel_state(self.pid)

    def let_go(self) -> None:
        """Have it end by itself, after what it does now."""
        if self._writer is not None and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    def terminate(self) -> None:
        """Have it end, gently: it lets go of the driver first where it can."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once. Killed in the middle of a call it may leave a GPU unusable."""
        self._process.kill()

    async def gone(self, within_s: float) -> bool:
        """Whether it has ended, after waiting for that."""
        try:
            await asyncio.wait_for(self.ended.wait(), within_s)
        except TimeoutError:
            return False
        return True

    def forget(self) -> None:
        """Give it up; it may live on, in a call that never ends."""
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            self._writer.transport.abort()
        # its destructor would say that it still runs
        self._process.returncode = self._process.returncode or 0

    # --- its life ----------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if self._writer is None:
            self._unsent.append(data)
        elif not self._writer.is_closing():
            self._writer.write(data)

    async def _live(self, ours: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._writer.writelines(self._unsent)
        frames = Frames(ANSWER_LIMIT_BYTES)
        try:
            while data := await reader.read(65536):
                for payload in frames.feed(data):
                    self._take(payload)
        except (OSError, ValueError, msgspec.DecodeError):
            self._process.terminate()
        finally:
            self._writer.close()

    async def _reap(self) -> None:
        """Wait for the process itself: what it started may hold its end of the socket open."""
        await _exit_of(self.pid)
        while self._process.poll() is None:  # noqa: ASYNC110  where the kernel cannot tell
            await asyncio.sleep(_REAP_S)
        self.ended.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Restarting(f"the child that calls the driver {self._how()}"))
        self._waiting.clear()

    def _take(self, payload: bytes) -> None:
        message = from_child_decoder.decode(payload)
        if isinstance(message, Noticed):
            self._told(message)
            return
        answer = self._waiting.pop(message.id, None)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _how(self) -> str:
        code = self.code or 0
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


async def _exit_of(pid: int) -> None:
    """Returns when a child of ours has ended; at once where the kernel cannot tell (before 5.3)."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return
    loop, exited = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _looked_at(future: asyncio.Future[Returned]) -> None:
    """Asyncio complains of failures that nobody waits for; here some are given up."""
    if not future.cancelled():
        future.exception()
