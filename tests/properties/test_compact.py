"""Compact frames: whatever is read and whatever is lost, no decoder shows what was not there."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.telemetry.compact import ChainEncoder
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.frame_check import BadFrame
from agent.telemetry.thinning import Thinner
from drivers.model import Reading
from tests.readings import HEAD, agrees, plain, readings
from tests.unit.test_compact import miner

FRAMES = st.lists(st.lists(readings(), max_size=4), min_size=1, max_size=6)


def reference() -> ModuleType:
    path = Path(__file__).parents[2] / "docs" / "reference_decoder.py"
    spec = importlib.util.spec_from_file_location("reference_decoder", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = reference()


class Sent:
    """Frames of one stream with the readings in them; some begin a chain."""

    def __init__(self, frames: list[list[Reading]], starts: set[int], *, exact: bool) -> None:
        encoder = ChainEncoder("n1", "boot", "telemetry", exact=exact)
        self.by_seq: dict[int, Reading] = {}
        self.payloads: list[bytes] = []
        self.chains: list[int] = []
        for index, frame in enumerate(frames):
            seq = len(self.by_seq) + 1
            if index in starts or not index:
                encoder.begin(seq)
            self.chains.append(self.chains[-1] + (index in starts) if index else 0)
            self.payloads.append(encoder.encode(frame, seq))
            self.by_seq.update(enumerate(frame, seq))


def content(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in HEAD}


@settings(deadline=None, max_examples=50)
@given(frames=FRAMES, starts=st.sets(st.integers(0, 5), max_size=2))
def test_exact_frames_decode_to_the_very_json(frames: list[Any], starts: set[int]) -> None:
    sent, decoder = Sent(frames, starts, exact=True), ChainDecoder()
    rows = [row for payload in sent.payloads for row in decoder.decode(payload)]
    assert [row["seq"] for row in rows] == list(sent.by_seq)
    for row in rows:
        assert tuple(row)[:4] == HEAD
        encoded = msgspec.json.encode(content(row))
        assert encoded == msgspec.json.encode(sent.by_seq[row["seq"]])


@settings(deadline=None, max_examples=100)
@given(
    frames=FRAMES,
    starts=st.sets(st.integers(0, 5), max_size=2),
    lost=st.sets(st.integers(0, 5), max_size=3),
)
def test_what_is_shown_lies_within_the_deadband_whatever_is_lost(
    frames: list[Any], starts: set[int], lost: set[int]
) -> None:
    sent, decoder = Sent(frames, starts, exact=False), ChainDecoder()
    broken: set[int] = set()
    for index, payload in enumerate(sent.payloads):
        if index in lost:
            broken.add(sent.chains[index])
            continue
        rows = decoder.decode(payload)
        assert all(agrees(sent.by_seq[row["seq"]], row) for row in rows)
        if sent.chains[index] not in broken:
            assert len(rows) == len(frames[index])


@settings(deadline=None, max_examples=50)
@given(
    frames=FRAMES,
    starts=st.sets(st.integers(0, 5), max_size=2),
    lost=st.sets(st.integers(0, 5), max_size=2),
    exact=st.booleans(),
)
def test_the_reference_decoder_agrees(
    frames: list[Any], starts: set[int], lost: set[int], exact: bool
) -> None:
    sent = Sent(frames, starts, exact=exact)
    ours, theirs = ChainDecoder(), REFERENCE.Decoder()
    for index, payload in enumerate(sent.payloads):
        if index not in lost:
            assert theirs.readings(payload) == ours.decode(payload)


@settings(deadline=None, max_examples=50)
@given(frames=FRAMES, lost=st.sets(st.integers(0, 5), max_size=1), exact=st.booleans())
def test_thinned_rows_are_some_of_the_real_ones(
    frames: list[Any], lost: set[int], exact: bool
) -> None:
    sent, decoder, thinner = Sent(frames, set(), exact=exact), ChainDecoder(), Thinner(300)
    whole = [payload for index, payload in enumerate(sent.payloads) if index not in lost]
    real = {row["seq"]: row for payload in whole for row in decoder.decode(payload)}
    made = [frame for payload in whole for frame in thinner.feed(payload)] + thinner.finish()
    kept = [row for frame in made for row in ChainDecoder().decode(frame.payload)]
    assert all(row == real[row["seq"]] for row in kept)
    assert {row["device_id"] for row in kept} == {row["device_id"] for row in real.values()}
    fed = sum(len(frame) for index, frame in enumerate(frames) if index not in lost)
    assert len(kept) + thinner.lost == fed


@settings(deadline=None)
@given(st.lists(st.binary(max_size=64) | st.just(b""), max_size=3), st.data())
def test_hostile_bytes_are_one_error(noise: list[bytes], data: st.DataObject) -> None:
    encoder = ChainEncoder("n1", "boot", "telemetry", exact=False)
    payload = encoder.encode([data.draw(readings())], 1)
    at = data.draw(st.integers(0, len(payload)))
    for spoiled in (payload[:at] + b"".join(noise) + payload[at:], b"".join(noise)):
        with contextlib.suppress(BadFrame):
            ChainDecoder().decode(spoiled)


def test_the_oracle_tells_right_from_wrong() -> None:
    row = plain(miner())
    assert agrees(miner(), row)
    with pytest.raises(AssertionError):
        agrees(miner(), {**row, "shares_accepted": 6})
