"""The forms on the wire, from outside: topics, payloads, numbers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest
import zstandard

from agent.mqtt.topics import Topics
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.forms import BATCH_LIMIT, FORMS, Form
from drivers.model import MinerReading
from tests.properties.test_compact import REFERENCE
from tests.unit.test_compact import AT, miner

TOPICS = Topics("site-1", "n1")
ROOT = "stoker/v1/site-1"


def polls(count: int) -> list[MinerReading]:
    return [
        miner(device_id=f"asic-{at % 3}", taken_at=AT + timedelta(seconds=at), shares_accepted=at)
        for at in range(count)
    ]


def form(name: str) -> tuple[Form, ChainEncoder]:
    made = FORMS[name](TOPICS, "boot-1")
    return made, ChainEncoder("n1", "boot-1", "telemetry", exact=made.exact)


@pytest.mark.parametrize("name", FORMS)
def test_names_are_those_of_the_configuration(name: str) -> None:
    assert form(name)[0].name == name
    assert set(FORMS) == {"json", "json-batch", "compact"}


def test_json_is_one_numbered_message_for_each_reading() -> None:
    json, _ = form("json")
    messages = json.live(polls(3), 1, b"")
    for number, (message, reading) in enumerate(zip(messages, polls(3), strict=True), 1):
        said = msgspec.json.decode(message.payload)
        assert list(said)[:5] == ["node", "boot_id", "stream", "seq", "device_id"]
        assert (said["node"], said["boot_id"], said["seq"]) == ("n1", "boot-1", number)
        assert said["taken_at"] == msgspec.to_builtins(reading.taken_at)
    assert messages[1].topic == f"{ROOT}/device/asic-1/telemetry"
    assert [(message.first_seq, message.count) for message in messages] == [(1, 1), (2, 1), (3, 1)]


def test_json_history_is_what_live_would_have_been() -> None:
    json, encoder = form("json")
    decoder = ChainDecoder()
    seq = 1
    for _ in range(3):
        frame = encoder.encode(polls(4), seq)
        live, late = json.live(polls(4), seq, frame), json.history(frame, decoder, seq, 4)
        assert [message.payload for message in late] == [message.payload for message in live]
        assert [message.first_seq for message in late] == [seq, seq + 1, seq + 2, seq + 3]
        assert late[1].topic == f"{ROOT}/device/asic-1/telemetry/hist"
        seq += 4


def test_batches_hold_up_to_500_lines() -> None:
    batch, encoder = form("json-batch")
    readings = polls(BATCH_LIMIT + 20)
    frame = encoder.encode(readings, 7)
    live = batch.live(readings, 7, frame)
    late = batch.history(frame, ChainDecoder(), 7, len(readings))
    assert [(each.first_seq, each.count) for each in live] == [(7, 500), (507, 20)]
    assert {each.topic for each in live} == {f"{ROOT}/batch/n1/live"}
    assert {each.topic for each in late} == {f"{ROOT}/batch/n1/hist"}
    assert [each.payload for each in late] == [each.payload for each in live]
    lines = zstandard.ZstdDecompressor().decompress(live[1].payload).splitlines()
    singles = form("json")[0].live(readings, 7, b"")
    assert lines == [message.payload for message in singles[500:]]


def test_compact_is_the_frame_itself() -> None:
    compact, encoder = form("compact")
    frame = encoder.encode(polls(2), 9)
    (live,) = compact.live(polls(2), 9, frame)
    (late,) = compact.history(frame, ChainDecoder(), 9, 2)
    assert (live.topic, live.payload) == (f"{ROOT}/batch/n1/live", frame)
    assert (late.topic, late.payload) == (f"{ROOT}/batch/n1/hist", frame)
    assert (late.first_seq, late.count) == (9, 2)


def test_an_unsound_reading_does_not_spoil_its_neighbours() -> None:
    for name in ("json", "json-batch"):
        made, encoder = form(name)
        readings = [miner(), miner(mode="\udc80"), miner()]
        live = made.live(readings, 1, b"")
        late = made.history(encoder.encode(readings, 1), ChainDecoder(), 1, 3)
        assert [each.payload for each in live] == [each.payload for each in late]


def test_a_receiver_tells_the_batch_encodings_apart() -> None:
    decoder = REFERENCE.Decoder()
    expected = [msgspec.json.decode(m.payload) for m in form("json")[0].live(polls(2), 1, b"")]
    for name in ("json-batch", "compact"):
        made, encoder = form(name)
        (message,) = made.live(polls(2), 1, encoder.encode(polls(2), 1))
        rows = decoder.readings(message.payload)
        assert [(row["seq"], row["shares_accepted"]) for row in rows] == [(1, 0), (2, 1)]
        for row, said in zip(rows, expected, strict=True):
            assert said["boards"][0].items() <= row["boards"][0].items()
            assert {name for name, value in row.items() if value not in (None, [])} == set(said)


def test_live_and_history_are_written_at_once_in_two_threads() -> None:
    made, encoder = form("json-batch")
    readings = polls(300)
    frame = encoder.encode(readings, 1)
    over = threading.Event()

    def tell_history() -> int:
        told = 0
        while not over.is_set():
            told += len(made.history(frame, ChainDecoder(), 1, len(readings)))
        return told

    with ThreadPoolExecutor(1) as thread:
        history = thread.submit(tell_history)
        live = [made.live(readings, 1, b"")[0].payload for _ in range(100)]
        over.set()
        assert history.result() > 0
    assert len(set(live)) == 1
