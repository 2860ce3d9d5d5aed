"""How what lies in the spool becomes messages of history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.store.segment import Record
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.forms import Form, Message
from agent.telemetry.history import Tell


class ReadingsTeller:
    """Readings, in the form that the configuration names."""

    def __init__(self, form: Form) -> None:
        self.frame_by_frame = not form.exact
        self._form = form

    def begin(self) -> Tell:
        """Begin a chain."""
        decoder = ChainDecoder()

        def tell(record: Record) -> Sequence[Message]:
            return self._form.history(record.payload, decoder, record.seq, record.count)

        return tell


class _Numbered(msgspec.Struct):
    seq: int


_numbered = msgspec.json.Decoder(_Numbered)


def event_frame(lines: Sequence[bytes]) -> bytes:
    """Encoded events as one frame for the spool."""
    return b"\n".join(lines)


class EventsTeller:
    """Events: JSON lines, each of which is one message under the topic of events."""

    frame_by_frame = True

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def begin(self) -> Tell:
        """Events stand by themselves."""
        return lambda record: self.messages(record.payload)

    def messages(self, frame: bytes) -> list[Message]:
        """The messages of a frame, live or as history."""
        return [
            Message(self._topic, line, _numbered.decode(line).seq, 1) for line in frame.split(b"\n")
        ]
