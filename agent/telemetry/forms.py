"""The three forms in which telemetry goes over the wire; the spool holds frames in each.

In `json` and `json-batch` the frames are exact, so that history is byte for byte what live
messages would have been.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import zstandard

from agent.mqtt.topics import Topics
from agent.telemetry.columns import sound
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.encode import Numbering
from agent.telemetry.lean import lean_json, lean_json_of_row
from drivers.model import Reading

BATCH_LIMIT = 500
BATCH_LEVEL = 9
"""The least that brings half a second of a small site under 180 bytes a reading."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One MQTT message, and the readings in it: the number of the first, and how many."""

    topic: str
    payload: bytes
    first_seq: int
    count: int


class Form(Protocol):
    """How readings are written for the broker."""

    name: str
    """As the configuration calls it."""
    exact: bool
    """Whether the frames of the spool must hold every change."""

    def live(self, readings: Sequence[Reading], seq: int, frame: bytes) -> list[Message]:
        """The messages of readings that were just taken; `frame` is what the spool gets."""
        ...

    def history(self, frame: bytes, decoder: ChainDecoder, seq: int, count: int) -> list[Message]:
        """The messages of a frame from the spool. Raises BadFrame.

        `decoder` has had the frames of the chain before it; `seq` and `count` are the frame's.
        What cannot be decoded without a frame that is missing is left out, and counted there.
        """
        ...


class Lines:
    """Readings as JSON objects that begin with their number in the stream."""

    def __init__(self, node: str, boot_id: str, stream: str = "telemetry") -> None:
        self._numbering = Numbering(stream, node, boot_id)

    def of(self, readings: Sequence[Reading], seq: int) -> list[bytes]:
        """A line for each, numbered from `seq` on."""
        wrap = self._numbering.wrap
        return [wrap(_encoded(reading), number) for number, reading in enumerate(readings, seq)]


def _encoded(reading: Reading) -> bytes:
    try:
        return lean_json(reading)
    except (UnicodeError, OverflowError):
        return lean_json(sound(reading))


class Json:
    """One message for each reading, under the topic of its device."""

    name = "json"
    exact = True

    def __init__(self, topics: Topics, boot_id: str) -> None:
        self._topics = topics
        self._lines = Lines(topics.node, boot_id)
        self._live_topics: dict[str, str] = {}

    def live(self, readings: Sequence[Reading], seq: int, frame: bytes) -> list[Message]:
        """A message for each reading."""
        lines = self._lines.of(readings, seq)
        return [
            Message(self._topic(reading.device_id), line, number, 1)
            for number, (reading, line) in enumerate(zip(readings, lines, strict=True), seq)
        ]

    def history(self, frame: bytes, decoder: ChainDecoder, seq: int, count: int) -> list[Message]:
        """A message for each row that is known."""
        topic = self._topics.telemetry_history
        return [
            Message(topic(row["device_id"]), lean_json_of_row(row), row["seq"], 1)
            for row in decoder.decode(frame)
        ]

    def _topic(self, device_id: str) -> str:
        topic = self._live_topics.get(device_id)
        if topic is None:
            topic = self._live_topics[device_id] = self._topics.telemetry(device_id)
        return topic


class _Own(threading.local):
    """A compressor for each thread: two at once in one of them end the process."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=BATCH_LEVEL)


class JsonBatch:
    """Up to 500 readings as JSON lines, compressed."""

    name = "json-batch"
    exact = True

    def __init__(self, topics: Topics, boot_id: str) -> None:
        self._topics = topics
        self._lines = Lines(topics.node, boot_id)
        self._own = _Own()

    def live(self, readings: Sequence[Reading], seq: int, frame: bytes) -> list[Message]:
        """A message for each 500 readings."""
        numbers = range(seq, seq + len(readings))
        return self._batches(self._topics.batch_live, numbers, self._lines.of(readings, seq))

    def history(self, frame: bytes, decoder: ChainDecoder, seq: int, count: int) -> list[Message]:
        """A message for each 500 rows that are known."""
        rows = decoder.decode(frame)
        numbers = [row["seq"] for row in rows]
        lines = [lean_json_of_row(row) for row in rows]
        return self._batches(self._topics.batch_history, numbers, lines)

    def _batches(self, topic: str, numbers: Sequence[int], lines: list[bytes]) -> list[Message]:
        messages = []
        for begin in range(0, len(lines), BATCH_LIMIT):
            batch = lines[begin : begin + BATCH_LIMIT]
            payload = self._own.compressor.compress(b"\n".join([*batch, b""]))
            messages.append(Message(topic, payload, numbers[begin], len(batch)))
        return messages


class Compact:
    """The frames of the spool, as they are."""

    name = "compact"
    exact = False

    def __init__(self, topics: Topics, boot_id: str) -> None:
        self._topics = topics

    def live(self, readings: Sequence[Reading], seq: int, frame: bytes) -> list[Message]:
        """The frame."""
        return [Message(self._topics.batch_live, frame, seq, len(readings))]

    def history(self, frame: bytes, decoder: ChainDecoder, seq: int, count: int) -> list[Message]:
        """The frame, not decoded."""
        return [Message(self._topics.batch_history, frame, seq, count)]


FORMS: dict[str, Callable[[Topics, str], Form]] = {
    form.name: form for form in (Json, JsonBatch, Compact)
}


def lines_of(payload: bytes) -> list[dict[str, Any]] | None:
    """The readings of an unpacked `json-batch`; None where it is a compact frame."""
    if not payload.startswith(b"{"):
        return None
    return [msgspec.json.decode(line) for line in payload.splitlines()]
