"""docs/encodings.md: its frames decode to what it says, and its deadbands are those in force."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
import zstandard

from agent.telemetry.columns import DEADBANDS
from agent.telemetry.compact_decoder import ChainDecoder
from tests.properties.test_compact import REFERENCE

TEXT = (Path(__file__).parents[2] / "docs" / "encodings.md").read_text()


def test_its_frames_decode_to_what_it_says() -> None:
    blocks = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    payloads = [
        zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(json.loads(block)))
        for block in blocks
    ]
    ours, theirs = ChainDecoder(), REFERENCE.Decoder()
    (first,), (second,) = (ours.decode(payload) for payload in payloads)
    assert [theirs.readings(payload) for payload in payloads] == [[first], [second]]
    assert (first["fans"], second["fans"]) == (
        [{"index": 5, "rpm": 5040}],
        [{"index": 5, "rpm": 5400}],
    )
    assert second["uptime_s"] - first["uptime_s"] == pytest.approx(10.004)


def test_its_deadbands_are_those_in_force() -> None:
    for name, band in DEADBANDS.items():
        if band is None or name.startswith("_") or name not in TEXT:
            continue
        (relative,) = re.findall(rf"^\|[^|]*`{name}`.*\|([^|]*)\|$", TEXT, re.MULTILINE)
        assert relative.strip() == (f"{band.relative * 100:g} %" if band.relative else ""), name
