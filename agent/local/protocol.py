"""What is said on the control socket: one JSON object a line, in both directions.

A request names what it wants (`op`); the answer is `{"ok": ...}` or `{"error": "..."}`; for
`watch` one such line for every reading until the client hangs up, for `act` one for every result.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

PortName = Literal["rpc_port", "web_port", "side_port", "framed_port"]
LINE_LIMIT_BYTES = 64 * 1024
_NEED_TARGET = frozenset({"act", "lock", "unlock", "quarantine", "lift"})


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. Ports stand for those of the range; a target is what `stoker act` takes.

    The address of `read` may be the id of a device that is known.
    """

    op: Literal[
        "status", "read", "watch", "gpus", "act",
        "lock", "unlock", "locks", "quarantine", "lift",
    ]  # fmt: skip
    address: str | None = None
    ports: dict[PortName, Annotated[int, msgspec.Meta(ge=1, le=65_535)]] = {}
    driver: str | None = None
    target: str = ""
    verb: str = ""
    params: dict[str, Any] = {}
    reason: str = ""


def parse(line: bytes) -> Request:
    """Read a request; raises ValueError with a sentence that says what is wrong."""
    try:
        request = msgspec.json.decode(line, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a request: {error}") from None
    if request.op == "read" and not request.address:
        raise ValueError("read needs an address")
    if request.op in _NEED_TARGET and not request.target:
        raise ValueError(f"{request.op} needs a target")
    return request


def answer(content: bytes) -> bytes:
    """A line that carries an encoded result."""
    return b'{"ok":%b}\n' % content


def refusal(problem: str) -> bytes:
    """A line that says why not."""
    return msgspec.json.encode({"error": problem}) + b"\n"
