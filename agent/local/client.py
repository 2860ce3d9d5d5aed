"""The other end of the control socket, for the command line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import AgentError

ANSWER_S = 30.0


class NoAgent(AgentError):
    """No agent listens on the control socket."""


def ask(path: Path, **request: Any) -> Any:
    """Ask one thing; raises `NoAgent`, or `AgentError` with the agent's words."""
    with _connect(path) as sock:
        sock.settimeout(ANSWER_S)
        for line in _lines(sock, request):
            return _content(line)
    raise AgentError("the agent hung up without an answer")


def follow(path: Path) -> Iterator[dict[str, Any]]:
    """Every reading from now on, as the agent publishes it."""
    with _connect(path) as sock:
        for line in _lines(sock, {"op": "watch"}):
            yield _content(line)


def stream(path: Path, **request: Any) -> Iterator[dict[str, Any]]:
    """Everything that a request brings, until the agent has said all."""
    with _connect(path) as sock:
        for line in _lines(sock, request):
            yield _content(line)


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        raise NoAgent(f"no agent at {path}: {error.strerror}") from None
    return sock


def _lines(sock: socket.socket, request: dict[str, Any]) -> Iterator[bytes]:
    sock.sendall(msgspec.json.encode(request) + b"\n")
    with sock.makefile("rb") as stream:
        yield from stream


def _content(line: bytes) -> Any:
    reply = msgspec.json.decode(line)
    if "error" in reply:
        raise AgentError(reply["error"])
    return reply["ok"]
