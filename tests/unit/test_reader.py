"""One reader for every form; garbage costs only itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import zstandard

from agent.mqtt.topics import Topics
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.forms import FORMS
from agent.telemetry.reader import Reader
from drivers.mock import mock_identity
from drivers.model import MinerReading, State
from tests.fakes import START

AT = datetime.fromtimestamp(START, UTC)
READINGS = [
    MinerReading(device_id=identity.id, kind=identity.kind, taken_at=AT, state=State.MINING)
    for identity in map(mock_identity, range(1, 4))
]


@pytest.mark.parametrize("name", list(FORMS))
def test_each_form_is_read(name: str) -> None:
    form = FORMS[name](Topics("s", "n1"), "boot")
    frame = ChainEncoder("n1", "boot", "telemetry", exact=form.exact).encode(READINGS, 1)
    reader = Reader()
    found = [
        reading
        for message in form.live(READINGS, 1, frame)
        for reading in reader.readings(message.payload)
    ]
    assert [(each["seq"], each["device_id"], each["state"]) for each in found] == [
        (number, reading.device_id, "mining") for number, reading in enumerate(READINGS, 1)
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"a":',
        b"\x00\xff",
        b"[1]",
        zstandard.compress(b"{\n"),
        zstandard.compress(b"[]"),
    ],
)
def test_garbage_is_nothing(payload: bytes) -> None:
    assert Reader().readings(payload) == []
