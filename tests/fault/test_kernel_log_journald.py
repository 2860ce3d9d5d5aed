"""The kernel's log through the real journalctl, from a real journald.

Without a journal at hand one is started in a mount namespace of its own. It reads this kernel's
buffer, as the host's own would, and lines are written there that mean nothing to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.fleet.kernel_log import Bounds, KernelLog
from tests.unit.test_kernel_log import Heard, Memory, until

JOURNALD = Path("/lib/systemd/systemd-journald")
GROUP = 4242
ALONE = ("unshare", "--mount", "--propagation", "private")
NOBODY = """\
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 {groups} journalctl "$@"
"""


def _unusable() -> str | None:
    if not JOURNALD.exists() or shutil.which("journalctl") is None:
        return "no journald here"
    if os.geteuid() != 0 or not os.access("/dev/kmsg", os.W_OK):
        return "a journald of our own needs root and the kernel's buffer"
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        return "no mount namespaces here"
    return None


def test_the_journal_of_a_kernel_is_followed(tmp_path):
    """Everything in one go, in a process whose /run is its own."""
    if why := _unusable():
        pytest.skip(why)
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", __name__, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["before"]
    assert found["heard"] == ["one", "two", "three", "four", "five", "six", "seven"]
    assert "insufficient permissions" in found["outsider"]
    assert found["member"] == ["seven"]


# --- inside the namespace --------------------------------------------------------------------


async def _inside(directory: Path) -> dict[str, object]:
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    for place in ("/run/log/journal", "/run/systemd/journal"):
        os.makedirs(place)
    journald = subprocess.Popen([JOURNALD], stderr=subprocess.DEVNULL)
    try:
        return await _walk(directory, journald)
    finally:
        journald.terminate()
        journald.wait(10)


async def _walk(directory: Path, journald: subprocess.Popen[bytes]) -> dict[str, object]:
    await until(lambda: list(Path("/run/log/journal").glob("*/system.journal")))
    mark, memory = f"stoker-test {uuid.uuid4().hex}", Memory()
    heard: list[str] = []
    async with _following(memory) as (_, hears):
        await until(lambda: hears.lines)
        before = len(hears.lines)
        _write(mark, "one", "two")
        heard += await _marked(hears, mark, "two")
        _rotate(journald)
        _write(mark, "three")
        heard += await _marked(hears, mark, "three", after=heard)
    _write(mark, "four")
    async with _following(memory) as (_, hears):
        heard += await _marked(hears, mark, "four")
        os.kill(_journalctl(), signal.SIGKILL)
        _write(mark, "five")
        heard += await _marked(hears, mark, "five", after=["four"])
    _rotate(journald)  # the file with what was read last is gone
    _write(mark, "six", "seven")
    await _until_journal_holds(mark, "seven")
    async with _following(memory) as (_, hears):
        heard += await _marked(hears, mark, "seven")
    outsider, member = await _without_rights(directory, mark)
    return {"before": before, "heard": heard, "outsider": outsider, "member": member}


@contextlib.asynccontextmanager
async def _following(
    memory: Memory, program: str = "journalctl"
) -> AsyncIterator[tuple[KernelLog, Heard]]:
    hears, bounds = Heard(), Bounds(first_line_s=5.0, soonest_s=0.05)
    reader = KernelLog(hears.take, memory, program=program, bounds=bounds)
    task = asyncio.create_task(reader.run())
    try:
        yield reader, hears
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _without_rights(directory: Path, mark: str) -> tuple[str, list[str]]:
    """What somebody outside the journal's group is told, and what a member reads."""
    subprocess.run(["chgrp", "--recursive", str(GROUP), "/run/log/journal"], check=True)
    wrapper = directory / "journalctl"
    directory.parent.chmod(0o755)
    wrapper.write_text(NOBODY.format(groups="--clear-groups"))
    wrapper.chmod(0o755)
    async with _following(Memory(), str(wrapper)) as (reader, _):
        await until(lambda: "permissions" in (reader.problem or ""))
        outsider = reader.problem or ""
    wrapper.write_text(NOBODY.format(groups=f"--groups={GROUP}"))
    async with _following(Memory(), str(wrapper)) as (_, hears):
        member = await _marked(hears, mark, "seven")
    return outsider, member[-1:]


async def _marked(hears: Heard, mark: str, last: str, after: list[str] | None = None) -> list[str]:
    await hears.until(f"{mark}: {last}")
    ours = [text.rpartition(": ")[2] for text in hears.texts if mark in text]
    return ours[len(after or ()) :]


def _write(mark: str, *words: str) -> None:
    for word in words:
        Path("/dev/kmsg").write_text(f"<6>{mark}: {word}\n")


def _rotate(journald: subprocess.Popen[bytes]) -> None:
    """Begin a new file, and remove the old ones."""
    journald.send_signal(signal.SIGUSR2)
    subprocess.run(["journalctl", "--vacuum-files=1"], capture_output=True, check=True)


async def _until_journal_holds(mark: str, word: str) -> None:
    def holds() -> bool:
        asked = ["journalctl", "--output=cat", "_TRANSPORT=kernel"]
        found = subprocess.run(asked, capture_output=True, text=True, check=True)
        return f"{mark}: {word}" in found.stdout

    await until(holds)


def _journalctl() -> int:
    """The child's process."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for task in children for pid in task.read_text().split()]
    return next(pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() == "journalctl\n")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_inside(Path(sys.argv[1])))))
