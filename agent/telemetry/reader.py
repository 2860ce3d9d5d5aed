"""Reads every form in which telemetry goes over the wire, for whoever watches."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.forms import lines_of
from agent.telemetry.frame_check import BadFrame, unpack

_PLAIN = b"{"


class Reader:
    """Payloads in, readings out; keeps what compact frames build upon."""

    def __init__(self) -> None:
        self._decoder = ChainDecoder()

    def readings(self, payload: bytes) -> list[dict[str, Any]]:
        """The readings of a message, as objects of JSON; none where it is something else.

        Whoever publishes garbage on our topics costs only that message.
        """
        try:
            found = self._found(payload)
        except (BadFrame, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []
        return [reading for reading in found if isinstance(reading, dict)]

    def _found(self, payload: bytes) -> list[Any]:
        if payload.startswith(_PLAIN):
            return [msgspec.json.decode(payload)]
        lines = lines_of(unpack(payload))
        return self._decoder.decode(payload) if lines is None else lines
