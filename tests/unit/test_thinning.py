"""Thinning: which rows stay, that they stay as they are, and what is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent.telemetry.compact import ChainEncoder
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.thinning import ThinFrame, Thinner
from drivers.model import MinerReading
from tests.unit.test_compact import AT, miner

PERIOD_S = 300


def site(minutes: int, devices: int = 3) -> list[list[MinerReading]]:
    """One frame a minute with a reading of each device."""
    return [
        [
            miner(
                device_id=f"asic-{device}",
                taken_at=AT + timedelta(minutes=minute, seconds=device),
                shares_accepted=100 * device + minute,
                hashrate_ths=90.0 + minute,
            )
            for device in range(devices)
        ]
        for minute in range(minutes)
    ]


def encoded(frames: list[list[MinerReading]], *, exact: bool) -> list[bytes]:
    encoder, seq, made = ChainEncoder("n1", "b", "telemetry", exact=exact), 1, []
    for frame in frames:
        made.append(encoder.encode(frame, seq))
        seq += len(frame)
    return made


def thinned(payloads: list[bytes], period_s: int = PERIOD_S) -> tuple[Thinner, list[ThinFrame]]:
    thinner = Thinner(period_s)
    frames = [frame for payload in payloads for frame in thinner.feed(payload)]
    return thinner, frames + thinner.finish()


def rows_of(payloads: list[bytes]) -> list[dict[str, Any]]:
    decoder = ChainDecoder()
    return [row for payload in payloads for row in decoder.decode(payload)]


@pytest.mark.parametrize("exact", [True, False])
def test_the_last_reading_of_each_period_stays_as_it_was(exact: bool) -> None:
    payloads = encoded(site(20), exact=exact)
    before = {row["seq"]: row for row in rows_of(payloads)}
    thinner, frames = thinned(payloads)
    after = rows_of([frame.payload for frame in frames])
    assert all(row == before[row["seq"]] for row in after)
    assert [row["seq"] for row in after] == [
        minute * 3 + device + 1 for minute in (4, 9, 14, 19) for device in range(3)
    ]
    assert thinner.lost == 60 - len(after)
    assert (thinner.lost_first_seq, thinner.lost_last_seq) == (1, 57)


def test_frames_say_what_is_in_them() -> None:
    (frame,) = thinned(encoded(site(6), exact=True))[1]
    rows = rows_of([frame.payload])
    assert (frame.seq, frame.last_seq, frame.count) == (rows[0]["seq"], rows[-1]["seq"], 6)
    assert frame.first_at == (AT + timedelta(minutes=4)).timestamp()
    assert frame.last_at == (AT + timedelta(minutes=5, seconds=2)).timestamp()


def test_thinned_is_thinned_again() -> None:
    _, frames = thinned(encoded(site(120), exact=False))
    thinner, hourly = thinned([frame.payload for frame in frames], 3600)
    assert sum(frame.count for frame in hourly) == 6
    assert thinner.lost == 3 * 24 - 6


def test_many_rows_make_several_frames() -> None:
    _, frames = thinned(encoded(site(21, devices=400), exact=True))
    assert sum(frame.count for frame in frames) == 2000
    assert max(frame.count for frame in frames) <= 1000
    assert len(rows_of([frame.payload for frame in frames])) == 2000


def test_a_missing_frame_loses_what_depends_on_it() -> None:
    payloads = encoded(site(20), exact=True)
    before = {row["seq"]: row for row in rows_of(payloads)}
    thinner, frames = thinned(payloads[:7] + payloads[8:])
    after = rows_of([frame.payload for frame in frames])
    assert all(row == before[row["seq"]] for row in after)
    assert thinner.lost == 57 - len(after)
    assert {row["seq"] for row in after} == {13, 14, 15, 19, 20, 21}


def test_nothing_stays_of_nothing() -> None:
    assert thinned([])[1] == []
