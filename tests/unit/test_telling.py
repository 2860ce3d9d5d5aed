"""What lies in the spool, made into messages again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.fleet.events import Event
from agent.mqtt.topics import Topics
from agent.store.segment import Record
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.encode import Stream
from agent.telemetry.forms import FORMS
from agent.telemetry.telling import EventsTeller, ReadingsTeller, event_frame
from drivers.model import HostReading, Kind, Reading, State
from tests.fakes import START

TOPICS = Topics("site", "node")
AT = datetime.fromtimestamp(START, UTC)


def record(index: int, seq: int, count: int, payload: bytes) -> Record:
    return Record(index, seq, seq + count - 1, count, START, START, payload)


def test_events_come_back_as_they_were() -> None:
    stream = Stream("event", "node", "boot")
    events = [Event(name=f"test.{n}", at=AT, message="two\nlines", details={}) for n in range(3)]
    lines = [stream.record(event) for event in events]
    told = EventsTeller("topic").begin()(record(0, 1, 3, event_frame(lines)))
    assert [note.payload for note in told] == lines
    assert [(note.topic, note.first_seq, note.count) for note in told] == [
        ("topic", number, 1) for number in (1, 2, 3)
    ]


def readings(count: int) -> list[Reading]:
    return [
        HostReading(
            device_id="host",
            kind=Kind.HOST,
            taken_at=AT + timedelta(seconds=second),
            state=State.OK,
        )
        for second in range(count)
    ]


@pytest.mark.parametrize("name", ["json", "json-batch"])
def test_history_of_readings_is_what_live_would_have_been(name: str) -> None:
    form = FORMS[name](TOPICS, "boot")
    encoder = ChainEncoder("node", "boot", "telemetry", exact=True)
    encoder.begin(1)
    teller = ReadingsTeller(form)
    assert not teller.frame_by_frame
    tell = teller.begin()
    taken = readings(5)
    for index, part in enumerate((taken[:3], taken[3:])):
        seq = 1 + 3 * index
        frame = encoder.encode(part, seq)
        live = form.live(part, seq, frame)
        told = tell(record(index, seq, len(part), frame))
        assert [note.payload for note in told] == [note.payload for note in live]
        assert [note.first_seq for note in told] == [note.first_seq for note in live]


def test_compact_frames_go_as_stored() -> None:
    teller = ReadingsTeller(FORMS["compact"](TOPICS, "boot"))
    assert teller.frame_by_frame
    (note,) = teller.begin()(record(4, 9, 2, b"frame"))
    assert (note.payload, note.first_seq, note.count) == (b"frame", 9, 2)
