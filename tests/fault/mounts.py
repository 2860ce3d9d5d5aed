"""A small file system of its own, for disks that fill up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(point: Path, size: str) -> Iterator[Path]:
    """A tmpfs of a size as mount(8) takes it; skips the test where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    point.mkdir(exist_ok=True)
    options = ("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(point))
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)
