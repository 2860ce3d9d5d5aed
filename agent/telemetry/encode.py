"""Messages as bytes: every one carries (node, boot_id, stream, seq), so that a consumer can
drop what it has seen and notice what is missing. Pure.
"""  # noqa: D205

from __future__ import annotations

import msgspec

_encoder = msgspec.json.Encoder()


class Numbering:
    """Puts what says whose message it is, and which, before the members of an encoded object."""

    def __init__(self, name: str, node: str, boot_id: str) -> None:
        head = msgspec.json.encode({"node": node, "boot_id": boot_id, "stream": name})
        self._head = head[:-1] + b',"seq":'

    def wrap(self, content: bytes, seq: int) -> bytes:
        """An object with at least one member as the message of this number."""
        return b"%b%d,%b" % (self._head, seq, content[1:])


class Stream:
    """One numbered stream of messages of this boot."""

    def __init__(self, name: str, node: str, boot_id: str) -> None:
        self._numbering = Numbering(name, node, boot_id)
        self.seq = 0
        """The number of the last message."""

    def record(self, record: msgspec.Struct) -> bytes:
        """The next message of the stream: head and any struct with at least one member."""
        self.seq += 1
        return self._numbering.wrap(_encoder.encode(record), self.seq)
