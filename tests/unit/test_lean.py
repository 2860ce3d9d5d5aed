"""What a reading's own message leaves out, and what it never leaves out."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from agent.telemetry.lean import lean_json
from drivers.model import Board, Kind, MinerReading, Pool, State
from drivers.model_gpu import GpuReading, NvLink

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOARDS = (
    Board(index=1, serial="A1", chips=76, chips_expected=76, hw_errors=0),
    Board(index=2, serial="A2"),
)


def said(**fields: object) -> dict[str, object]:
    reading = MinerReading(
        **{"device_id": "d", "kind": Kind.ASIC, "taken_at": AT, "state": State.MINING} | fields  # type: ignore[arg-type]
    )
    return msgspec.json.decode(lean_json(reading))


def test_what_a_firmware_has_no_word_for_is_left_out() -> None:
    assert said(hashrate_ths=0.0, shares_accepted=0, locating=False) == {
        "device_id": "d",
        "kind": "asic",
        "taken_at": "2026-11-24T12:00:00Z",
        "state": "mining",
        "hashrate_ths": 0.0,
        "shares_accepted": 0,
        "locating": False,
    }


def test_where_something_is_missing_what_is_not_there_is_null() -> None:
    found = said(missing=("pools: refused",))
    assert set(found) == set(MinerReading.__struct_fields__)
    assert found["shares_accepted"] is None
    assert found["pools"] == []


def test_of_a_machine_that_does_not_answer_everything_is_null() -> None:
    found = said(state=State.UNREACHABLE)
    assert set(found) == set(MinerReading.__struct_fields__)
    assert found["hashrate_ths"] is None


def test_parts_have_no_nulls_and_nothing_that_never_changes() -> None:
    found = said(boards=BOARDS, pools=(Pool(url="a", accepted=0),), missing=("fans: refused",))
    assert found["boards"] == [{"index": 1, "chips": 76, "hw_errors": 0}, {"index": 2}]
    assert found["pools"] == [{"url": "a", "accepted": 0}]


def gpu(**fields: object) -> dict[str, object]:
    reading = GpuReading(
        **{"device_id": "g", "kind": Kind.GPU, "taken_at": AT, "state": State.OK} | fields  # type: ignore[arg-type]
    )
    return msgspec.json.decode(lean_json(reading))


def test_a_list_of_a_gpu_is_left_out_where_nothing_is_known_and_empty_where_nothing_is_there() -> (
    None
):
    assert "nvlinks" not in gpu()
    assert gpu(nvlinks=())["nvlinks"] == []
    assert gpu(missing=("nvlinks",))["nvlinks"] is None


def test_parts_of_a_gpu_have_no_nulls() -> None:
    links = (NvLink(index=0, active=True, crc_errors=0), NvLink(index=1))
    found = gpu(nvlinks=links, missing=("power_w",))
    assert found["nvlinks"] == [{"index": 0, "active": True, "crc_errors": 0}, {"index": 1}]
