"""Whether this host has GPUs, from what the kernel module shows. Calls nothing of the driver."""

from __future__ import annotations

from pathlib import Path

SHOWN = Path("/proc/driver/nvidia/gpus")
"""A directory for each GPU that the loaded module drives."""


def present() -> bool:
    """True where the module is loaded and drives at least one."""
    return SHOWN.is_dir() and any(SHOWN.iterdir())
