"""Messages as bytes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from agent.fleet.events import Event
from agent.telemetry.encode import Stream
from drivers.model import Fan, Fault, Kind, MinerReading, PowerSource, State

READING = MinerReading(
    device_id="asic-020000000001",
    kind=Kind.ASIC,
    taken_at=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    state=State.MINING,
    uptime_s=86_400.5,
    hashrate_ths=110.000001,
    power_w=3250.0,
    power_source=PowerSource.METERED,
    hw_errors=2**53 + 1,
    faults=(Fault("E1", 'says "} ,{" \\ \u0000 \u2028 °C'),),
)


def test_a_reading_is_its_head_and_the_readings_own_bytes():
    message = Stream("telemetry", "n1", "b-1").record(READING)
    head = b'{"node":"n1","boot_id":"b-1","stream":"telemetry","seq":1,'
    assert message == head + msgspec.json.encode(READING)[1:]


def test_it_is_json_from_which_the_same_reading_comes_back():
    message = Stream("telemetry", "n1", "b-1").record(READING)
    content = msgspec.json.decode(message)
    assert [content.pop(key) for key in ("node", "boot_id", "stream", "seq")] == [
        "n1",
        "b-1",
        "telemetry",
        1,
    ]
    assert content == msgspec.json.decode(msgspec.json.encode(READING))
    assert msgspec.json.decode(message, type=MinerReading) == READING


def test_every_stream_counts_for_itself():
    one, two = Stream("telemetry", "n1", "b"), Stream("event", "n1", "b")
    numbers = [msgspec.json.decode(one.record(READING))["seq"] for _ in range(12)]
    assert numbers == list(range(1, 13))
    assert one.seq == 12
    event = Event(name="device.found", at=READING.taken_at, message="m", details={"a": [1, None]})
    content = msgspec.json.decode(two.record(event))
    assert (content["seq"], content["stream"], content["details"]) == (1, "event", {"a": [1, None]})


def test_names_are_encoded_not_pasted():
    message = Stream("s", 'n"1\\', 'b"').record(Fan(index=1))
    assert msgspec.json.decode(message) == {
        "node": 'n"1\\',
        "boot_id": 'b"',
        "stream": "s",
        "seq": 1,
        "index": 1,
        "rpm": None,
        "duty_percent": None,
    }


def test_what_is_not_known_is_null_and_never_zero():
    bare = msgspec.structs.replace(READING, power_w=None, power_source=None, hw_errors=None)
    content = msgspec.json.decode(Stream("telemetry", "n", "b").record(bare))
    assert (content["power_w"], content["power_source"], content["hw_errors"]) == (None,) * 3
