"""Writes SUPPORTED.md from `packaging/supported.toml` and the table of drivers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from drivers.registry import DRIVERS

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "packaging" / "supported.toml"
PAGE = ROOT / "SUPPORTED.md"


class Grade(StrEnum):
    """How far to trust that a device is read rightly."""

    RECORDED = "recorded"
    DOCUMENTED = "documented"
    SIMULATED = "simulated"


MEANINGS = {
    Grade.RECORDED: "read from answers that a real device gave, value by value, in a test",
    Grade.DOCUMENTED: "written from a document of its maker or from several public descriptions "
    "of its answers; read in our simulator",
    Grade.SIMULATED: "written from scarce or single public descriptions, and read in our simulator "
    "only",
}


class Row(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Devices that a driver reads, and what that rests on."""

    driver: str
    make: str
    models: str
    firmware: str
    grade: Grade
    source: str
    captures: tuple[str, ...] = ()
    """The recordings of real devices that the tests compare, value by value."""
    note: str = ""


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """The rows of the page."""

    row: tuple[Row, ...]


def load() -> Table:
    """The table; raises `msgspec.ValidationError` where a row is wrong."""
    return msgspec.toml.decode(TABLE.read_bytes(), type=Table)


def render(table: Table) -> str:
    """The page."""
    lines = [
        "# Supported devices",
        "",
        "Generated from `packaging/supported.toml` by `make supported`; CI fails where it differs.",
        "",
        "How far to trust a row:",
        "",
        *(f"- **{grade}**: {meaning}." for grade, meaning in MEANINGS.items()),
        "",
        "A driver and a simulator written from the same two lines agree with each other and",
        "prove little: for rows that are not *recorded*, compare the first readings with the",
        "device's own page before you rely on them, and send us the answers. A device that is not",
        "listed is read by the generic dialect, which gives what it finds in `summary`, `devs`,",
        "`stats` and `pools`.",
        "",
        "| make | models | firmware | driver | evidence | source |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in sorted(table.row, key=_order)),
        "",
        f"{len(table.row)} rows, {len(DRIVERS)} drivers; "
        + ", ".join(f"{_count(table, grade)} {grade}" for grade in Grade)
        + ".",
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    source = f"{row.source}. {row.note}" if row.note else row.source
    cells = (row.make, row.models, row.firmware, f"`{row.driver}`", f"**{row.grade}**", source)
    return f"| {' | '.join(cells)} |"


def _order(row: Row) -> tuple[str, str, int]:
    return row.make.lower(), row.firmware.lower(), list(Grade).index(row.grade)


def _count(table: Table, grade: Grade) -> int:
    return sum(row.grade is grade for row in table.row)


if __name__ == "__main__":
    PAGE.write_text(render(load()))
