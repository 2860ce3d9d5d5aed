"""Writes SUPPORTED.md from `packaging/supported.toml` and the table of drivers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from drivers.registry import DRIVERS, Control

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


CONTROL_MEANINGS = {
    Control.DOCUMENTED: "sent as a document of the maker says, or as several published programs "
    "send it to such devices",
    Control.SIMULATED: "sent as scarce or single public descriptions say. These orders are off: "
    "the agent gives them only where a `[[control.allow]]` names the driver in `drivers`",
}


class Orders(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a driver's devices can be made to do, and what that rests on."""

    driver: str
    actions: str
    """Names of the driver's methods, with commas; which of them a device has, it tells itself."""
    grade: Control
    source: str
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The actions, one by one."""
        return tuple(self.actions.split(", "))


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """The rows of the page."""

    row: tuple[Row, ...]
    control: tuple[Orders, ...]


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
        *_control(table),
    ]
    return "\n".join(lines)


def _control(table: Table) -> list[str]:
    rows = sorted(table.control, key=lambda orders: orders.driver)
    off = [f"`{orders.driver}`" for orders in rows if orders.grade is Control.SIMULATED]
    return [
        "## Control",
        "",
        "What devices can be made to do. **No order was proved on a real machine by us**:",
        "all were proved against our own simulator alone, which was written from the same sources.",
        "Begin with one machine of each kind, and compare what the agent says came of it with the",
        "machine's own page.",
        "",
        "How far to trust a row:",
        "",
        *(f"- **{grade}**: {meaning}." for grade, meaning in CONTROL_MEANINGS.items()),
        "",
        f"Off unless named, then: {', '.join(off)}. Nothing at all is ordered without a",
        "`[[control.allow]]` ([docs/configuration.md](docs/configuration.md#controlallow)). The",
        "actions are those of the driver; what a single device can do stands in its `capabilities`",
        "([docs/mqtt.md](docs/mqtt.md#inventory)).",
        "",
        "| driver | actions | evidence | source |",
        "|---|---|---|---|",
        *(_orders_line(orders) for orders in rows),
        "",
        f"{len(rows)} of {len(DRIVERS)} drivers take orders; "
        + ", ".join(f"{sum(o.grade is grade for o in rows)} {grade}" for grade in CONTROL_MEANINGS)
        + ".",
        "",
    ]


def _orders_line(orders: Orders) -> str:
    actions = ", ".join(f"`{name}`" for name in orders.names)
    source = f"{orders.source}. {orders.note}" if orders.note else orders.source
    return f"| `{orders.driver}` | {actions} | **{orders.grade}** | {source} |"


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
