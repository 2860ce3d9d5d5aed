"""Follows the kernel's log through journalctl, a child process, without any privilege.

Membership in the group `systemd-journal` or `adm` suffices, where reading the kernel's buffer
itself wants a capability on most distributions. A child, since the library maps the journal's
files: a disk that does not answer would hold whoever reads them, and journalctl has ended upon
files that journald was removing (systemd#43649). It is begun anew then, behind the last line that
was handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.fleet.kernel_lines import KernelLine, Place, Resumption, Splitter, arguments, parse
from drivers.api import Memory

log = logging.getLogger("stoker.kernel-log")

Take = Callable[[str, float], bool | None]
"""Told of each line and when it was written (seconds since the epoch); true where it matters:
the place behind one that does is on disk before the next is handed on."""

MEMORY_KEY = "kernel-log.place"
PROGRAM = "journalctl"
_MACHINE_ID = Path("/etc/machine-id")
_CHUNK_BYTES = 64 * 1024
_WORDS_BYTES = 400
_ENVIRONMENT = {"LC_ALL": "C", "SYSTEMD_COLORS": "0"}


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take."""

    first_line_s: float = 30.0
    """A kernel has always said something: who shows nothing for so long may not read it."""
    renewed_s: float = 3600.0
    """Whether a silent child sleeps or is deaf cannot be seen, and a new one costs milliseconds."""
    saved_s: float = 10.0
    """How often the place is written while lines come that do not matter."""
    end_s: float = 2.0
    soonest_s: float = 1.0
    latest_s: float = 600.0
    """How long to wait before the next child, at the most."""


class Unreadable(Exception):
    """The log cannot be read, or not any more; says why."""


class _PlaceGone(Exception):
    """The line that was read last is not in the journal any more."""


class KernelLog:
    """Hands on every line of the kernel once, over restarts of journalctl, agent and host."""

    def __init__(
        self,
        take: Take,
        memory: Memory,
        *,
        program: str = PROGRAM,
        bounds: Bounds | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`memory` keeps the place; `program` is what to run for journalctl."""
        self._take = take
        self._memory = memory
        self._program = program
        self._bounds = bounds or Bounds()
        self._rng = rng or random.Random()
        self._place = _remembered(memory)
        self._is_saved = True
        self._saved_at_s = 0.0
        self._cursor_leads_nowhere = False
        self._complained: str | None = None
        self.problem: str | None = "not read yet"
        """Why the log is not read at present."""
        self.lines = 0
        """Handed on."""
        self.gaps = 0
        """How often journald said that it had missed some of the kernel's lines."""
        self.damaged = 0
        """What journalctl wrote that was no line of a log."""

    async def run(self) -> None:
        """Follow until cancelled."""
        failures = 0
        try:
            while True:
                lines = self.lines
                try:
                    await self._follow()
                    failures = 0
                    self._complained = None
                except _PlaceGone:
                    log.info("the journal has lost the line that was read last: on with this boot")
                except Unreadable as error:
                    failures = 1 if self.lines > lines else failures + 1
                    self._complain(str(error))
                    await asyncio.sleep(self._pause_s(failures))
        finally:
            await self._save()

    async def _follow(self) -> None:
        """One child, until it is old enough; raises `Unreadable` where it ends by itself."""
        place = None if self._cursor_leads_nowhere else self._place
        self._cursor_leads_nowhere = False
        child = await self._start(place)
        words = _Words(child)
        try:
            async with asyncio.timeout(self._bounds.renewed_s):
                await self._hear(child, place, words)
        except TimeoutError:
            pass
        finally:
            await self._end(child)
            words.close()

    async def _start(self, place: Place | None) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                self._program,
                *arguments(place, _machine_id()),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                env={**os.environ, **_ENVIRONMENT},
            )
        except OSError as error:
            raise Unreadable(f"{self._program} cannot be started: {error.strerror}") from None

    async def _hear(self, child: Process, place: Place | None, words: _Words) -> None:
        assert child.stdout is not None  # noqa: S101  started with a pipe
        splitter, resumption = Splitter(), Resumption(self._place)
        data = await self._first(child.stdout, place, words)
        while data:
            self._say_readable()
            for line in splitter.feed(data):
                await self._note(line, resumption)
            self.damaged, splitter.left_out = self.damaged + splitter.left_out, 0
            await asyncio.sleep(0)  # a whole boot's log comes at once
            data = await child.stdout.read(_CHUNK_BYTES)
        raise Unreadable(await self._why_ended(child, words))

    async def _first(
        self, output: asyncio.StreamReader, place: Place | None, words: _Words
    ) -> bytes:
        """What it shows first: the line at the place, or the first of this boot."""
        try:
            async with asyncio.timeout(self._bounds.first_line_s):
                data = await output.read(_CHUNK_BYTES)
        except TimeoutError:
            self._cursor_leads_nowhere = place is not None
            if place is not None:
                raise _PlaceGone from None
            self._say_silent(words)
            return await output.read(_CHUNK_BYTES)
        self._cursor_leads_nowhere = place is not None and not data
        return data

    def _say_silent(self, words: _Words) -> None:
        """No line of this boot: all may have been removed since, but then there were some once."""
        if self._place is not None and not words.said:
            self._say_readable()
            return
        why = words.said or "it has none, or we may not read them"
        self._complain(f"the journal shows no lines of the kernel: {why}")

    async def _note(self, raw: bytes, resumption: Resumption) -> None:
        try:
            line = parse(raw)
        except ValueError:
            self.damaged += 1
            return
        if resumption.is_new(line):
            await self._hand_on(line)

    async def _hand_on(self, line: KernelLine) -> None:
        self.lines += 1
        matters: bool | None = False
        if line.is_gap:
            self.gaps += 1
            log.warning("lines of the kernel's log are lost: %s", line.text)
        else:
            matters = self._taken(line)
        self._place, self._is_saved = line.place, False
        now_s = asyncio.get_running_loop().time()
        if matters or now_s - self._saved_at_s >= self._bounds.saved_s:
            self._saved_at_s = now_s
            await self._save()

    def _taken(self, line: KernelLine) -> bool | None:
        """Other programs have a say in what the kernel logs: a line costs itself at the most."""
        try:
            return self._take(line.text, line.at)
        except Exception:
            log.exception("a line of the kernel's log could not be taken: %r", line.text)
            return False

    async def _save(self) -> None:
        if self._is_saved or self._place is None:
            return
        self._is_saved = True
        await self._memory.put(MEMORY_KEY, msgspec.msgpack.encode(self._place))

    # --- how it fares ------------------------------------------------------------------------

    def _complain(self, problem: str) -> None:
        """Once for each problem, until it was read for long."""
        self.problem = problem
        if problem != self._complained:
            log.warning("the kernel's log is not read: %s", problem)
            self._complained = problem

    def _say_readable(self) -> None:
        if self._complained is not None and self.problem is not None:
            log.info("the kernel's log is read")
        self.problem = None

    def _pause_s(self, failures: int) -> float:
        most_s = self._bounds.soonest_s * 2.0 ** min(failures - 1, 20)
        return self._rng.uniform(0.5, 1.0) * min(most_s, self._bounds.latest_s)

    async def _why_ended(self, child: Process, words: _Words) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.end_s):
                await words.all()
                await child.wait()
        return f"{self._program} ended with code {child.returncode}: {words.said or 'no word'}"

    async def _end(self, child: Process) -> None:
        """Have it end; one that does not, since a disk holds it, is left to the kernel."""
        for strike in (child.terminate, child.kill):
            if child.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                strike()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._bounds.end_s):
                    await child.wait()
                    return


class _Words:
    """What a child says beside its output; of much the end."""

    def __init__(self, child: Process) -> None:
        self._raw = b""
        self._task = asyncio.create_task(self._gather(child))

    @property
    def said(self) -> str:
        """So far, in one line."""
        return " ".join(self._raw.decode(errors="replace").split())

    async def all(self) -> None:
        """Wait until it has closed its mouth."""
        await asyncio.wait([self._task])

    def close(self) -> None:
        """Hear no more."""
        self._task.cancel()

    async def _gather(self, child: Process) -> None:
        assert child.stderr is not None  # noqa: S101  started with a pipe
        while data := await child.stderr.read(4096):
            self._raw = (self._raw + data)[-_WORDS_BYTES:]


def _remembered(memory: Memory) -> Place | None:
    kept = memory.get(MEMORY_KEY)
    try:
        return None if kept is None else msgspec.msgpack.decode(kept, type=Place)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _machine_id() -> str | None:
    try:
        return _MACHINE_ID.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
