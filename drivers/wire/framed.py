"""Frames of a length and JSON: what Whatsminers speak on port 4433 since late 2024.

A frame is four bytes of length, least first, and that many bytes of JSON, both ways.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

ANSWER_LIMIT_BYTES = 1 << 19
_LENGTH = struct.Struct("<I")


def request(command: str, parameter: object = None) -> bytes:
    """Build a request frame."""
    message: dict[str, Any] = {"cmd": command}
    if parameter is not None:
        message["param"] = parameter
    body = msgspec.json.encode(message)
    return _LENGTH.pack(len(body)) + body


def length_of(start: bytes) -> int | None:
    """How many bytes the frame that starts so has in all; None before its length is there."""
    if len(start) < _LENGTH.size:
        return None
    return _LENGTH.size + int(_LENGTH.unpack_from(start)[0])
