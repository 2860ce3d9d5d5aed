"""Messages as bytes: every one carries (node, boot_id, stream, seq), so that a consumer can
drop what it has seen and notice what is missing. Pure.
"""  # noqa: D205

from __future__ import annotations

from typing import Any

import msgspec

from agent.fleet.events import Event
from drivers.model import Reading

_encoder = msgspec.json.Encoder()


class Stream:
    """One numbered stream of messages of this boot."""

    def __init__(self, name: str, node: str, boot_id: str) -> None:
        self.name = name
        head = msgspec.json.encode({"node": node, "boot_id": boot_id, "stream": name})
        self._head = head[:-1] + b',"seq":'
        self.seq = 0
        """The number of the last message."""

    def wrap(self, content: bytes) -> bytes:
        """Put the head of the next message before the members of an encoded object."""
        self.seq += 1
        return b"%b%d,%b" % (self._head, self.seq, content[1:])

    def reading(self, reading: Reading) -> bytes:
        """The next message of the stream: head and reading as one flat object."""
        return self.wrap(_encoder.encode(reading))

    def event(self, event: Event) -> bytes:
        """The next message of the stream: head and event as one flat object."""
        return self.wrap(_encoder.encode(event))

    def record(self, record: msgspec.Struct | dict[str, Any]) -> bytes:
        """The next message of the stream: head and any object with at least one member."""
        return self.wrap(_encoder.encode(record))
