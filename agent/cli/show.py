"""Devices as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNKNOWN = "-"
PIPE_COLUMNS = 200


def printer() -> Console:
    """A console as wide as the terminal, and wide enough for every column in a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)


def figure(value: float | None, unit: str = "", digits: int = 1) -> str:
    """A number with its unit, or a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}{unit and ' ' + unit}"


def word(value: Any) -> str:
    """A word, or a dash for what is not known."""
    return UNKNOWN if value in (None, "") else str(value)


def plain(value: Any) -> Text:
    """A device's own words: shown as they are, never read as markup, control characters out."""
    return Text("".join(char if char.isprintable() else "?" for char in word(value)))


def show_device(found: dict[str, Any]) -> None:
    """Print a device's identity and reading."""
    console = printer()
    for title in ("identity", "reading"):
        console.print(_facts(title, found[title]))
    for part in ("boards", "fans", "pools", "faults", "volumes", "ports", "thermometers"):
        if parts := found["reading"].get(part):
            console.print(rows(part, parts))


def _facts(title: str, facts: dict[str, Any]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in facts.items():
        if not isinstance(value, list):
            table.add_row(name, plain(value))
    return table


def rows(title: str, parts: Iterable[dict[str, Any]]) -> Table:
    """Parts of one kind, a row each."""
    parts = list(parts)
    table = Table(*parts[0], title=title, title_justify="left")
    for row in parts:
        table.add_row(*map(plain, row.values()))
    return table
