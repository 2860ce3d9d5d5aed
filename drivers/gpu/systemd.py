"""What systemd gives and is told: a listening socket, readiness, signs of life."""

from __future__ import annotations

import os
import socket

_FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)
_SEND_WAIT_S = 0.5  # the event loop must not hang on PID 1


def inherited_socket() -> socket.socket | None:
    """The socket that systemd listens on for us, where it does."""
    try:
        ours = int(os.environ.pop("LISTEN_PID", "")) == os.getpid()
        count = int(os.environ.pop("LISTEN_FDS", "0"))
    except ValueError:
        return None
    os.environ.pop("LISTEN_FDNAMES", None)
    if not ours or count < 1:
        return None
    sock = socket.socket(fileno=_FIRST_DESCRIPTOR)
    sock.set_inheritable(False)
    return sock


def notify(*assignments: str) -> None:
    """Tell systemd; silent where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_SEND_WAIT_S)
            sock.sendto("\n".join(assignments).encode(errors="replace"), address)
    except OSError:
        return


def watchdog_interval_s() -> float | None:
    """Seconds between signs of life: half of WatchdogSec; None where it is off."""
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", ""))
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return limit_us / 2_000_000 if limit_us > 0 and watched == os.getpid() else None
