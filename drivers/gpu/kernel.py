"""What the kernel says of a process that does not answer: its state, and what it waits in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

GONE = "X"
UNKILLABLE = ("D", "Z", GONE)
"""Waiting in the kernel for a device, where no signal gets through; or dead already."""


class KernelState(NamedTuple):
    """State letter as in proc_pid_stat(5), and the kernel's function, empty where it is hidden."""

    state: str
    waits_in: str


def kernel_state(pid: int, root: Path = Path("/proc")) -> KernelState:
    """The state of a process's first thread, which is the one that calls the driver."""
    thread = root / str(pid) / "task" / str(pid)
    return KernelState(parse_state(_text(thread / "stat")), _wchan(_text(thread / "wchan")))


def parse_state(stat: str) -> str:
    """The state in a line of /proc/<pid>/stat; the name before it may hold anything."""
    words = stat.rpartition(")")[2].split()
    return words[0] if words else GONE


def _wchan(text: str) -> str:
    return "" if text in ("0", "") else text


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
