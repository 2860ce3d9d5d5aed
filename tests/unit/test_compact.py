"""Compact frames from outside: what changes, what stays, and what a decoder can know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import zstandard

from agent.telemetry.compact import ChainEncoder
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.frame_check import FRAME_BYTES, BadFrame, checked
from drivers.model import Board, Fan, Kind, MinerReading, Pool, State

AT = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def miner(**changes: Any) -> MinerReading:
    reading = MinerReading(
        device_id="asic-a",
        kind=Kind.ASIC,
        taken_at=AT,
        state=State.MINING,
        uptime_s=1000.0,
        hashrate_ths=100.0,
        shares_accepted=5,
        boards=(Board(index=0, chip_temp_c=60.0), Board(index=1, chip_temp_c=61.0)),
        fans=(Fan(0, 5000),),
        pools=(Pool(url="stratum+tcp://a:3333", accepted=5),),
    )
    return msgspec.structs.replace(reading, **changes)


class Line:
    """An encoder, and a decoder that gets all it makes."""

    def __init__(self, *, exact: bool = False) -> None:
        self.encoder = ChainEncoder("n1", "boot-1", "telemetry", exact=exact)
        self.decoder = ChainDecoder()
        self.seq = 1

    def through(self, *readings: MinerReading) -> list[dict[str, Any]]:
        return self.decoder.decode(self.made(*readings))

    def made(self, *readings: MinerReading) -> bytes:
        payload = self.encoder.encode(readings, self.seq)
        self.seq += len(readings)
        return payload

    def told(self, *readings: MinerReading) -> int:
        """How many values a frame of these holds."""
        payload = self.made(*readings)
        self.decoder.decode(payload)
        return len(checked(payload).val)


def test_a_row_is_numbered_and_whole() -> None:
    line = Line()
    first, second = line.through(miner(), miner(device_id="asic-b"))
    assert list(first)[:4] == ["node", "boot_id", "stream", "seq"]
    assert (first["node"], first["boot_id"], first["stream"]) == ("n1", "boot-1", "telemetry")
    assert (first["seq"], second["seq"]) == (1, 2)
    assert second["device_id"] == "asic-b"
    assert second["boards"][1]["chip_temp_c"] == 61.0
    assert second["boards"][1]["serial"] is None
    assert second["faults"] == []


def test_what_stays_within_its_deadband_is_not_told() -> None:
    line = Line()
    line.through(miner())
    near = miner(taken_at=AT + timedelta(seconds=10), uptime_s=1011.0, hashrate_ths=101.5)
    assert line.told(near) == 0
    assert line.told(miner(hashrate_ths=103.0)) == 1


def test_errors_do_not_add_up() -> None:
    line = Line()
    for step in range(100):
        rate = 100.0 + step * 0.7
        (row,) = line.through(miner(hashrate_ths=rate))
        assert abs(row["hashrate_ths"] - rate) <= rate * 0.02


def test_counters_are_exact() -> None:
    line = Line()
    for count in (5, 6, 2**63, 2**64 - 1, 2**90, 0, 7):
        (row,) = line.through(miner(shares_accepted=count))
        assert row["shares_accepted"] == count


def test_none_zero_and_unchanged_differ() -> None:
    line = Line()
    line.through(miner())
    assert line.through(miner(fans=(Fan(0, 0),)))[0]["fans"][0]["rpm"] == 0
    assert line.through(miner(fans=(Fan(0, 30),)))[0]["fans"][0]["rpm"] == 30
    assert line.through(miner(fans=(Fan(0, None),)))[0]["fans"][0]["rpm"] is None
    assert line.told(miner(fans=(Fan(0, None),))) == 0


@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), float("nan")])
def test_what_json_has_no_word_for_is_null(odd: float) -> None:
    line = Line()
    for rate, shown in ((100.0, 100.0), (odd, None), (odd, None), (100.0, 100.0)):
        assert line.through(miner(hashrate_ths=rate))[0]["hashrate_ths"] == shown


@pytest.mark.parametrize("huge", [2**63, 2**90, -(2**70)])
def test_huge_integers_with_a_deadband_come_and_go(huge: int) -> None:
    line = Line()
    for rpm in (5000, huge, huge + 1, 5000, 0, huge):
        (row,) = line.through(miner(fans=(Fan(0, rpm),)))
        assert row["fans"][0]["rpm"] == pytest.approx(rpm, rel=0.03)


def test_uptime_is_told_as_a_start() -> None:
    line = Line()
    line.through(miner())
    for passed_s in (60, 3600):
        later = miner(taken_at=AT + timedelta(seconds=passed_s), uptime_s=1000.0 + passed_s)
        assert line.through(later)[0]["uptime_s"] == pytest.approx(1000.0 + passed_s, abs=2)
    (booted,) = line.through(miner(taken_at=AT + timedelta(hours=2), uptime_s=3.0))
    assert booted["uptime_s"] == pytest.approx(3.0, abs=2)


def test_parts_that_come_and_go_begin_a_device_anew() -> None:
    line = Line()
    line.through(miner())
    assert line.through(miner(boards=()))[0]["boards"] == []
    (row,) = line.through(miner())
    assert [board["chip_temp_c"] for board in row["boards"]] == [60.0, 61.0]


def test_exact_frames_tell_int_from_float() -> None:
    line = Line(exact=True)
    for rate in (100.0, 100, 100.0, 100.25):
        (row,) = line.through(miner(hashrate_ths=rate))
        assert (type(row["hashrate_ths"]), row["hashrate_ths"]) == (type(rate), rate)


def test_one_unsound_reading_is_set_right_and_the_others_stay() -> None:
    line = Line()
    bad = miner(device_id="asic-b", mode="\udc80", shares_accepted=2**200)
    first, second, third = line.through(miner(), bad, miner(device_id="asic-c"))
    assert (first["missing"], third["missing"]) == ([], [])
    assert second["mode"] == "\\udc80"
    assert second["shares_accepted"] is None
    assert set(second["missing"]) == {"mode", "shares_accepted"}
    assert line.through(bad)[0]["mode"] == "\\udc80"


def test_an_unsound_name_still_has_its_rows() -> None:
    (row,) = Line().through(miner(device_id="asic-\ud800"))
    assert row["device_id"] == "asic-\\ud800"


def test_a_gap_hides_devices_until_the_next_chain() -> None:
    line = Line()
    line.through(miner())
    line.made(miner(shares_accepted=6))
    assert line.through(miner(shares_accepted=7)) == []
    assert line.decoder.unknown == 1
    line.encoder.begin(line.seq)
    assert line.through(miner(shares_accepted=8))[0]["shares_accepted"] == 8


def test_a_repeated_frame_does_not_disturb_its_chain() -> None:
    line = Line()
    line.through(miner())
    second = line.made(miner(shares_accepted=6))
    assert line.decoder.decode(second)[0]["shares_accepted"] == 6
    assert line.decoder.decode(second) == []
    assert line.through(miner(shares_accepted=7))[0]["shares_accepted"] == 7


def test_a_chain_sent_again_from_its_beginning_is_decoded_again() -> None:
    line = Line()
    frames = [line.made(miner(shares_accepted=count)) for count in range(3)]
    for _ in range(2):
        seen = [row["shares_accepted"] for each in frames for row in line.decoder.decode(each)]
        assert seen == [0, 1, 2]


def test_history_beside_live() -> None:
    line = Line()
    old = [line.made(miner(shares_accepted=count)) for count in range(3)]
    line.encoder.begin(line.seq)
    new = [line.made(miner(shares_accepted=count)) for count in range(3, 6)]
    both = [frame for pair in zip(new, old, strict=True) for frame in pair]
    seen = [row["shares_accepted"] for each in both for row in line.decoder.decode(each)]
    assert seen == [3, 0, 4, 1, 5, 2]


def test_rows_with_numbers_of_their_own() -> None:
    encoder = ChainEncoder("n1", "boot-1", "telemetry", exact=True, thinned_s=300)
    rows = ChainDecoder().decode(encoder.encode([miner(), miner()], 7, seqs=[7, 30]))
    assert [row["seq"] for row in rows] == [7, 30]


def packed(**changes: Any) -> bytes:
    raw = zstandard.ZstdDecompressor().decompress(Line().made(miner(), miner(device_id="asic-b")))
    frame = {**msgspec.msgpack.decode(raw), **changes}
    return zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(frame))


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"dev": [0]},
        {"at": [2**62, 2**62]},
        {"tick": 0},
        {"many": [-1]},
        {"row": [9]},
        {"cols": [0, ["boards.99999.x"]]},
        {"cols": [0, ["boards.x"]]},
        {"shapes": [0, [[5]]]},
        {"shapes": [0, [["a", ["b", "c", "d"]]]]},
        {"code": [3], "many": [1], "row": [0], "val": ["x"]},
        {"code": [1], "many": [1], "row": [0], "val": ["x"]},
        {"code": [1], "many": [1], "row": [0], "val": ["9" * 5000]},
        {"code": [0], "many": [1], "row": [0], "val": [float("nan")]},
        {"code": [0], "many": [1], "row": [0], "val": [b"bytes"]},
        {"code": [31], "many": [1], "row": [0], "val": [1]},
        {"cols": [0, ["boards"]], "code": [1], "many": [1], "row": [0], "val": [2000]},
        {"node": 5},
    ],
)
def test_frames_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        ChainDecoder().decode(packed(**changes))


def test_many_parts_in_many_rows_are_refused() -> None:
    rows = 1000
    bomb = packed(
        dev=[0] * rows,
        at=[1] * rows,
        keys=[0],
        kinds=[0],
        cols=[0, ["boards"]],
        code=[1],
        many=[1],
        row=[0],
        val=[1000],
    )
    with pytest.raises(BadFrame):
        ChainDecoder().decode(bomb)


@pytest.mark.parametrize("told", [True, False])
def test_what_unpacks_to_too_much_is_refused(told: bool) -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=told)
    bomb = compressor.compress(b"\0" * (FRAME_BYTES + 1))
    with pytest.raises(BadFrame):
        ChainDecoder().decode(bomb)


def test_a_frame_says_nothing_of_its_machine_in_clear() -> None:
    assert len(Line().made(miner())) < 700
