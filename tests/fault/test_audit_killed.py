"""kill -9 while the audit is written, again and again: nothing that was promised is missing."""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
import time
from pathlib import Path

from agent.store.audit_chain import Head
from agent.store.audit_files import end_of, paths, streams
from agent.store.audit_verify import verify

KILLS = 30
WRITER = """
import asyncio, random, sys
from pathlib import Path
from agent.clock import SystemClock
from agent.store.audit import AuditLog

async def main():
    async with AuditLog(Path(sys.argv[1]), SystemClock(), file_bytes=3_000_000) as audit:
        noted = int(sys.argv[2])
        while True:
            for _ in range(random.randrange(1, 30)):
                noted += 1
                words = "x" * int(10 ** random.uniform(0, 5.5))
                audit.note("local:ana", "test", {"number": noted, "words": words})
            await audit.write()
            print(noted, audit.head, flush=True)

asyncio.run(main())
"""


def killed(directory: Path, noted: int, rng: random.Random) -> list[str]:
    """The last that a writer said before it was killed at some moment: a number and a head."""
    command = [sys.executable, "-c", WRITER, str(directory), str(noted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        try:
            lines = [writer.stdout.readline() for _ in range(rng.randrange(1, 6))]
            assert all(lines), "the writer ended by itself"
            select.select([writer.stdout], [], [], rng.uniform(0, 0.02))
            time.sleep(rng.uniform(0, 0.01))  # any moment will do
        finally:
            writer.kill()
        lines += writer.stdout.read().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return whole[-1].split()


def test_nothing_that_was_written_is_missing_and_nobody_is_accused(tmp_path: Path) -> None:
    directory, rng = tmp_path / "audit", random.Random(6)
    noted, torn = 0, 0
    for _ in range(KILLS):
        number, head = killed(directory, noted, rng)
        verdict = verify(streams(paths(directory)), Head.parse(head))
        assert verdict.finding is None
        torn += verdict.torn is not None
        assert verdict.head == end_of(directory).head
        numbers = [record["number"] for record in _noted(directory)]
        assert numbers == list(range(1, len(numbers) + 1))  # each once, in order
        assert len(numbers) >= int(number)
        noted = len(numbers)
    cuts = [record for record in _contents(directory) if "bytes" in record]
    assert torn - 1 <= len(cuts) <= torn  # the last one was not cut off yet


def _contents(directory: Path) -> list[dict]:
    lines = b"".join(path.read_bytes() for path in paths(directory)).split(b"\n")[:-1]
    return [json.loads(line)["content"] for line in lines]


def _noted(directory: Path) -> list[dict]:
    return [content for content in _contents(directory) if "number" in content]
