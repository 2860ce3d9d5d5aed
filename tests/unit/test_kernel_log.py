"""The kernel's log is followed through a child: a stand-in that behaves as journalctl does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.fleet.kernel_log import MEMORY_KEY, Bounds, KernelLog

BOOT, NEXT_BOOT = "b" * 32, "c" * 32
FAST = Bounds(first_line_s=5.0, soonest_s=0.01, latest_s=0.05, end_s=1.0, saved_s=3600.0)
BOOTED_S = 1_795_562_000

STAND_IN = """\
#!{python} -S
import json, os, signal, sys, time
place = {directory!r}
with open(place + "/started", "a") as started:
    started.write(" ".join(sys.argv[1:]) + "\\n")
def said(name):
    try:
        return open(place + "/" + name).read()
    except FileNotFoundError:
        return ""
sys.stderr.write(said("words"))
sys.stderr.flush()
if said("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
cursor = [word[9:] for word in sys.argv if word.startswith("--cursor=")]
boot = "--boot" in sys.argv and said("boot").strip()
where, out = 0, sys.stdout.buffer
if cursor:
    entries = said("journal").splitlines(True)
    cursors = [json.loads(line)["__CURSOR"] if line[0] == "{{" else "" for line in entries]
    if cursor[0] not in cursors:
        if said("refuses"):
            sys.exit("Failed to seek to cursor: Invalid argument")
        time.sleep(3600)
    where = sum(len(line.encode()) for line in entries[: cursors.index(cursor[0])])
if said("ends"):
    sys.exit(int(said("ends")))
with open(place + "/journal", "rb") as journal:
    journal.seek(where)
    while True:
        for line in iter(journal.readline, b""):
            if not boot or boot.encode() in line:
                out.write(line)
        out.flush()
        time.sleep(0.005)
"""


class Journal:
    """A journal in a file, and a journalctl that reads it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = directory / "journalctl"
        self.program.write_text(STAND_IN.format(python=sys.executable, directory=str(directory)))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.written = 0
        (directory / "journal").touch()
        self.boots(BOOT)

    def boots(self, boot_id: str) -> None:
        self.boot = boot_id
        self.say("boot", boot_id)

    def say(self, name: str, content: str) -> None:
        (self.directory / name).write_text(content)

    def write(self, *texts: str, **fields: str) -> None:
        for text in texts:
            self.written += 1
            self.write_raw(
                json.dumps(
                    {
                        "__CURSOR": f"s=1;i={self.written}",
                        "__REALTIME_TIMESTAMP": str((BOOTED_S + self.written) * 1_000_000),
                        "__MONOTONIC_TIMESTAMP": str(self.written * 1_000_000),
                        "_BOOT_ID": self.boot,
                        "MESSAGE": text,
                        **fields,
                    }
                ).encode()
                + b"\n"
            )

    def write_raw(self, raw: bytes) -> None:
        with (self.directory / "journal").open("ab") as journal:
            journal.write(raw)

    @property
    def starts(self) -> list[str]:
        """What it was asked for, start by start."""
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "started").read_text().splitlines()
        return []


class Memory:
    """What the agent keeps on disk."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.writes = 0

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.writes += 1
        self.kept[key] = value

    async def forget(self, key: str) -> None:
        self.kept.pop(key, None)


class Heard:
    """What was handed on. Lines with an exclamation mark matter."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float]] = []
        self._news = asyncio.Event()

    def take(self, text: str, at: float) -> bool:
        if text == "bad":
            raise ValueError("a line that is not understood")
        self.lines.append((text, at))
        self._news.set()
        return "!" in text

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.lines]

    async def until(self, text: str) -> list[str]:
        async with asyncio.timeout(20):
            while text not in self.texts:
                self._news.clear()
                await self._news.wait()
        return self.texts


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@contextlib.asynccontextmanager
async def following(
    journal: Journal, memory: Memory, bounds: Bounds = FAST
) -> AsyncIterator[tuple[KernelLog, Heard]]:
    heard = Heard()
    reader = KernelLog(heard.take, memory, program=str(journal.program), bounds=bounds)
    task = asyncio.create_task(reader.run())
    try:
        yield reader, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


async def test_lines_come_as_they_are_written(journal, memory):
    journal.write("one", "two")
    async with following(journal, memory) as (reader, heard):
        await heard.until("two")
        journal.write("three")
        await heard.until("three")
        assert heard.lines == [(f"{text}", BOOTED_S + n) for n, text in enumerate(
            ["one", "two", "three"], 1)]  # fmt: skip
        assert (reader.problem, reader.lines) == (None, 3)


async def test_a_restart_neither_loses_nor_repeats(journal, memory):
    journal.write("one", "two")
    async with following(journal, memory) as (_, heard):
        await heard.until("two")
    journal.write("three")
    async with following(journal, memory) as (_, heard):
        assert await heard.until("three") == ["three"]


async def test_what_was_written_before_a_reboot_is_read_after_it(journal, memory):
    journal.write("one")
    async with following(journal, memory) as (_, heard):
        await heard.until("one")
    journal.write("the last word")
    journal.boots(NEXT_BOOT)
    journal.write("risen")
    async with following(journal, memory) as (_, heard):
        assert await heard.until("risen") == ["the last word", "risen"]


async def test_the_place_behind_what_matters_is_kept_at_once(journal, memory):
    """As a kill would leave it: what came after it and did not matter may come again."""
    journal.write("one", "alarm!", "three")
    async with following(journal, memory) as (_, heard):
        await heard.until("three")
        killed = Memory()
        killed.kept = dict(memory.kept)
    async with following(journal, killed) as (_, heard):
        assert await heard.until("three") == ["three"]


async def test_lines_that_do_not_matter_are_not_each_written_to_the_disk(journal, memory):
    journal.write(*(f"line {number}" for number in range(500)))
    async with following(journal, memory) as (_, heard):
        await heard.until("line 499")
    assert memory.writes <= 3


async def test_a_child_that_ends_is_replaced(journal, memory, caplog):
    journal.write("one")
    async with following(journal, memory) as (reader, heard):
        await heard.until("one")
        journal.say("ends", "5")
        journal.say("words", "Failed to iterate through journal: Bad message\n")
        _kill_children()
        await until(lambda: "Bad message" in (reader.problem or ""))
        assert "ended with code 5" in reader.problem
        journal.write("two")
        (journal.directory / "ends").unlink()
        assert await heard.until("two") == ["one", "two"]
        await until(lambda: reader.problem is None)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("Bad message" in text for text in told) == 1


async def test_where_there_is_no_journalctl_it_is_said_once(journal, memory, caplog):
    journal.program.unlink()
    bounds = Bounds(soonest_s=0.001, latest_s=0.002)
    async with following(journal, memory, bounds) as (reader, _):
        await until(lambda: "cannot be started" in (reader.problem or ""))
        await asyncio.sleep(0.1)
        assert len(caplog.records) == 1
    assert "No such file or directory" in caplog.text


async def test_attempts_become_rare(journal, memory):
    journal.say("ends", "1")
    bounds = Bounds(soonest_s=0.1, latest_s=3600.0)
    async with following(journal, memory, bounds) as (reader, _):
        await asyncio.sleep(1.0)
        assert 2 <= len(journal.starts) <= 5
        assert "no word" in reader.problem


async def test_a_journal_that_shows_nothing_is_a_problem_until_it_does(journal, memory, caplog):
    journal.say("words", "Hint: You are currently not seeing messages from the system.\n")
    bounds = Bounds(first_line_s=0.2)
    async with following(journal, memory, bounds) as (reader, heard):
        await until(lambda: "shows no lines" in (reader.problem or ""))
        assert "not seeing messages from the system" in reader.problem
        journal.write("one")
        await heard.until("one")
        assert reader.problem is None
        assert len(journal.starts) == 1


async def test_a_journal_that_lost_what_was_read_is_none(journal, memory, caplog):
    """A kernel may be silent for weeks, and its old lines are removed meanwhile."""
    journal.write("one")
    async with following(journal, memory) as (_, heard):
        await heard.until("one")
    journal.say("journal", "")
    bounds = Bounds(first_line_s=0.3)
    async with following(journal, memory, bounds) as (reader, heard):
        await until(lambda: reader.problem is None)
        assert ["--boot" in start for start in journal.starts] == [True, False, True]
        journal.write("two")
        assert await heard.until("two") == ["two"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("refuses", ["", "yes"], ids=["shows nothing", "is refused"])
async def test_a_cursor_that_leads_nowhere_repeats_nothing(journal, memory, refuses):
    journal.write("one", "two!")
    async with following(journal, memory) as (_, heard):
        await heard.until("two!")
    place = memory.kept[MEMORY_KEY].replace(b"s=1;i=2", b"s=9;i=9")
    assert place != memory.kept[MEMORY_KEY]
    memory.kept[MEMORY_KEY] = place
    journal.say("refuses", refuses)
    journal.write("three")
    async with following(journal, memory, Bounds(first_line_s=0.5, soonest_s=0.01)) as (_, heard):
        assert await heard.until("three") == ["three"]


async def test_a_place_that_cannot_be_read_counts_as_none(journal, memory):
    memory.kept[MEMORY_KEY] = b"\xc1 of a later version"
    journal.write("one")
    async with following(journal, memory) as (_, heard):
        assert await heard.until("one") == ["one"]


async def test_bad_lines_cost_themselves_alone(journal, memory):
    boot = BOOT.encode()
    for raw in (b"-- No entries of %b --", b'{"_BOOT_ID":"%b"}', b"x" * 300_000 + b"%b"):
        journal.write_raw(raw % boot + b"\n\n")
    journal.write("bad", "good")
    async with following(journal, memory) as (reader, heard):
        assert await heard.until("good") == ["good"]
        assert reader.damaged == 3


async def test_what_journald_missed_is_counted_and_not_handed_on(journal, memory, caplog):
    journal.write("Missed 3 kernel messages", MESSAGE_ID="e9bf28e6e834481bb6f48f548ad13606")
    journal.write("one")
    async with following(journal, memory) as (reader, heard):
        assert await heard.until("one") == ["one"]
        assert reader.gaps == 1
    assert "Missed 3 kernel messages" in caplog.text


async def test_an_old_child_is_replaced_by_a_new_one(journal, memory, caplog):
    journal.write("one")
    bounds = Bounds(renewed_s=0.3, soonest_s=3600.0)
    async with following(journal, memory, bounds) as (_, heard):
        await until(lambda: len(journal.starts) >= 3)
        journal.write("two")
        assert await heard.until("two") == ["one", "two"]
    assert not caplog.records


async def test_ending_takes_no_longer_than_a_stubborn_child_is_given(journal, memory):
    journal.say("stubborn", "yes")
    journal.write("one")
    bounds = Bounds(end_s=0.2)
    async with following(journal, memory, bounds) as (_, heard):
        await heard.until("one")
        children = _children()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 2.0
    assert not [pid for pid in children if _is_alive(pid)]


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def _kill_children() -> None:
    for pid in _children():
        if b"journalctl" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, 9)
