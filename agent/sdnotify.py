"""Words to systemd through its notification socket; never raises, silent without systemd."""

from __future__ import annotations

import os
import socket
import time

_SEND_WAIT_S = 0.5  # the socket's queue is long; the event loop must not hang on PID 1


def ready(status: str) -> bool:
    """Say that start-up is over; False where nobody was told."""
    return _notify("READY=1", _status(status))


def status(text: str) -> bool:
    """Set the line that `systemctl status` shows."""
    return _notify(_status(text))


def watchdog() -> bool:
    """Say that the agent is alive."""
    return _notify("WATCHDOG=1")


def reloading() -> bool:
    """Say that the configuration is being read again; `ready` ends it."""
    # Type=notify-reload (systemd 253) wants the time, older ones ignore it
    return _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping(status: str) -> bool:
    """Say that the agent is on its way down."""
    return _notify("STOPPING=1", _status(status))


def watchdog_interval_s() -> float | None:
    """Seconds between calls of `watchdog`: half of WatchdogSec; None where it is off."""
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", ""))
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    if limit_us <= 0 or watched != os.getpid():
        return None
    return limit_us / 2_000_000


def _status(text: str) -> str:
    # a newline would start an assignment of its own
    return "STATUS=" + " ".join(text.split())


def _notify(*assignments: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_SEND_WAIT_S)
            sock.sendto("\n".join(assignments).encode(errors="replace"), address)
    except OSError:
        return False
    return True
