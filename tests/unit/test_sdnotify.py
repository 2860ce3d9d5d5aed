"""What systemd is told."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import sdnotify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_words(systemd: socket.socket) -> None:
    assert sdnotify.ready("working")
    assert sdnotify.status("3 of 4")
    assert sdnotify.watchdog()
    assert sdnotify.stopping("bye")
    told = [systemd.recv(4096).decode() for _ in range(4)]
    assert told == [
        "READY=1\nSTATUS=working",
        "STATUS=3 of 4",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=bye",
    ]
    assert sdnotify.reloading()
    assert systemd.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_a_status_is_one_assignment(systemd: socket.socket) -> None:
    sdnotify.status("a\nMAINPID=1")
    assert systemd.recv(4096) == b"STATUS=a MAINPID=1"


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"stoker-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        assert sdnotify.watchdog()
        assert sock.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "/no/such/socket"])
def test_without_systemd_nothing_happens(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not sdnotify.ready("x")


@pytest.mark.parametrize(
    ("limit", "watched", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", "self", 15.0),
        ("30000000", "1", None),
        ("x", None, None),
        ("0", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_s_interval(
    limit: str | None,
    watched: str | None,
    expected: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", watched)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "self" else value)
    assert sdnotify.watchdog_interval_s() == expected
