"""The journal is killed while it writes, and written on a disk that fills up."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.store.journal import Entry, Journal, StoreError
from tests.fault.mounts import small_file_system

WRITER = """
import asyncio, sys
from pathlib import Path
from agent.clock import SystemClock
from agent.store.journal import Entry, Journal

def entry(command_id):
    return Entry(id=command_id, digest="0" * 64, received_at=1.0, expires_at=2.0, keep_until=9e9,
                 state="accepted", final=False, token=command_id.encode() * 50, record=b"r")

async def main():
    async with Journal(Path(sys.argv[1]), SystemClock()) as journal:
        async def accept(run):
            for number in range(10_000):
                command_id = f"{run}-{number}"
                await journal.put([entry(command_id)], {command_id: [command_id, "asic-1"]})
                print("put", command_id, flush=True)
                await journal.mark(command_id, "asic-1")
                print("mark", command_id, flush=True)
                journal.note_result(command_id, "asic-1", command_id.encode())
                await journal.flush()
                print("result", command_id, flush=True)
        await asyncio.gather(*map(accept, range(8)))

asyncio.run(main())
"""


def killed(path: Path, after_lines: int) -> dict[str, list[str]]:
    """What a writer said was on disk before it was killed, by what it was."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    said: dict[str, list[str]] = {"put": [], "mark": [], "result": []}
    try:
        for _ in range(after_lines):
            what, command_id = process.stdout.readline().split()
            said[what].append(command_id)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    for line in process.stdout:  # what it said until the kill
        if line.endswith("\n"):
            what, command_id = line.split()
            said[what].append(command_id)
    process.stdout.close()
    return said


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_that_returned_is_lost_by_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "commands.db"
    said = killed(path, random.Random(seed).randint(1, 1500))
    async with Journal(path, SystemClock()) as journal:
        there = {each.id: each for each in await journal.entries()}
        assert set(said["put"]) <= set(there)
        for command_id in said["put"]:
            assert there[command_id].token == command_id.encode() * 50
            assert await journal.targets(command_id) == (command_id, "asic-1")
        for command_id in said["mark"]:
            assert list(await journal.marks(command_id)) == ["asic-1"]
        for command_id in said["result"]:
            assert await journal.results(command_id) == [command_id.encode()]


# --- a full disk ----------------------------------------------------------------------------------


def entry(command_id: str, token: bytes = b"signed") -> Entry:
    return Entry(
        id=command_id,
        digest="0" * 64,
        received_at=1.0,
        expires_at=2.0,
        keep_until=9e9,
        state="accepted",
        final=False,
        token=token,
        record=b"record",
    )


def fill(point: Path) -> Path:
    """Leave no room on a file system."""
    ballast = point / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return ballast


async def test_a_full_disk_is_told_at_once_and_written_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_file_system(tmp_path / "small", "2m") as point:
        async with Journal(point / "commands.db", SystemClock()) as journal:
            await journal.put([entry("before")])
            ballast = fill(point)
            async with asyncio.timeout(3):
                with pytest.raises(StoreError, match="full"):
                    await journal.put([entry("large", bytes(400_000))])
            journal.note_result("before", "asic-1", b"r" * 300)
            ballast.unlink()
            await journal.put([entry("after")])
            assert [each.id for each in await journal.entries()] == ["before", "after"]
            assert await journal.results("before") == [b"r" * 300]


async def test_it_opens_on_a_full_disk_with_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_file_system(tmp_path / "small", "1m") as point:
        path = point / "commands.db"
        async with Journal(path, SystemClock()) as journal:
            await journal.put([entry("before")], {"before": ["asic-1"]})
            born_at = journal.born_at
        ballast = fill(point)
        async with Journal(path, SystemClock()) as journal:
            assert "cannot be written" in caplog.text
            assert journal.born_at == born_at
            assert await journal.targets("before") == ("asic-1",)
            with pytest.raises(StoreError):
                await journal.put([entry("refused", bytes(200_000))])
            ballast.unlink()
            await journal.put([entry("after")])
        async with Journal(path, SystemClock()) as journal:
            assert [each.id for each in await journal.entries()] == ["before", "after"]


async def test_one_that_cannot_be_begun_is_named(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", "64k") as point:
        fill(point)
        with pytest.raises(StoreError, match=r"commands\.db"):
            async with Journal(point / "commands.db", SystemClock()):
                pass
