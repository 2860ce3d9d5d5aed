"""The live view."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from agent.cli.board import WORST_ROWS, Board


@pytest.fixture
def board() -> Board:
    return Board("test")


def reading(device_id: str, state: str = "mining", **values: object) -> dict[str, object]:
    return {"device_id": device_id, "state": state, **values}


def shown(board: Board) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(board.table("the end"))
    return console.export_text()


def rows(board: Board) -> list[str]:
    lines = shown(board).partition("worst first")[2].splitlines()
    return [line.strip("│ ").split("│")[0].strip() for line in lines if line.startswith("│")]


def test_empty(board):
    assert board.line() == "0 devices: none yet; 0.00 PH/s; 0 readings"
    assert "the end" in shown(board)


def test_each_device_counts_with_its_last_reading(board):
    board.take(reading("a", hashrate_ths=100.0))
    board.take(reading("a", hashrate_ths=150.0))
    board.take(reading("b", "unreachable", hashrate_ths=None))
    assert board.hashrate_ths() == 150.0
    assert board.states() == {"mining": 1, "unreachable": 1}
    assert board.line() == "2 devices: 1 mining, 1 unreachable; 0.15 PH/s; 3 readings"


def test_gpus_are_counted_apart(board):
    assert "GPUs" not in shown(board)
    board.take(reading("g1", "ok", kind="gpu", power_w=640.0, utilisation_percent=90))
    board.take(reading("g2", "ok", kind="gpu", power_w=70.0, utilisation_percent=0))
    board.take(reading("g3", "unreachable", kind="gpu", power_w=None))
    board.take(reading("m", "mining", kind="asic", power_w=3000.0, hashrate_ths=1000.0))
    assert board.gpus() == "3, 1 busy, 0.71 kW"
    assert board.line().endswith("1.00 PH/s; GPUs: 3, 1 busy, 0.71 kW; 4 readings")
    assert "3, 1 busy, 0.71 kW" in shown(board)


def test_the_worst_come_first(board):
    board.take(reading("well", hashrate_ths=100.0, hashrate_nominal_ths=100.0))
    board.take(reading("weak", hashrate_ths=40.0, hashrate_nominal_ths=100.0))
    board.take(reading("asleep", "sleeping"))
    board.take(reading("broken", "fault"))
    board.take(reading("gone", "unreachable"))
    board.take(reading("strange", "a state of a later version"))
    complaint = {"code": "E1", "message": "fan 2 stands still"}
    board.take(reading("ill", hashrate_ths=100.0, hashrate_nominal_ths=100.0, faults=[complaint]))
    found = rows(board)
    assert set(found[:2]) == {"gone", "strange"}
    assert found[2:] == ["broken", "asleep", "ill", "weak", "well"]
    assert "fan 2 stands still" in shown(board)


def test_only_so_many_fit(board):
    for number in range(WORST_ROWS + 5):
        board.take(reading(f"d{number:02}"))
    assert len(rows(board)) == WORST_ROWS


def test_a_devices_words_are_neither_markup_nor_control_characters(board):
    hostile = {"code": None, "message": "[red]fire[/red] \x1b[2Jgone"}
    board.take(reading("[bold]x", "fault", faults=[hostile]))
    text = shown(board)
    assert "[bold]x" in text
    assert "[red]fire[/red]" in text
    assert "\x1b" not in text


def test_a_message_without_a_device_is_passed_over(board):
    board.take({"state": "mining"})
    board.take({"device_id": 5})
    assert board.readings == 0
    board.take({"device_id": "bare"})
    assert board.line().startswith("1 devices: 1 -;")
    assert rows(board) == ["bare"]
