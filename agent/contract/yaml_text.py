"""Plain data as YAML that people like to read: what is short stands on one line. Pure.

The agent has no other use for YAML, and a parser it never needs.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 100
DEPTH = 3
"""Levels on one line."""
_plain_text = re.compile(r"[A-Za-z/$]([A-Za-z0-9_/.$()'` -]*[A-Za-z0-9_/.)'`])?").fullmatch
_OTHER_MEANING = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def yaml_text(data: dict[str, Any]) -> str:
    """A mapping of JSON values as a document."""
    return "".join(f"{line}\n" for line in _mapping(data, 0))


def _mapping(data: dict[str, Any], depth: int) -> Iterator[str]:
    for key, value in data.items():
        yield from _entry(f"{'  ' * depth}{_scalar(key)}:", value, depth + 1)


def _sequence(data: list[Any], depth: int) -> Iterator[str]:
    dash = "  " * depth + "-"
    for value in data:
        if isinstance(value, dict) and value and not _fits(f"{dash} ", value):
            first, *rest = _mapping(value, depth + 1)
            yield f"{dash} {first.lstrip()}"
            yield from rest
        else:
            yield from _entry(dash, value, depth + 1)


def _entry(opening: str, value: Any, depth: int) -> Iterator[str]:
    """What stands behind a key or a dash: on its line where it fits, else below."""
    if _fits(f"{opening} ", value):
        yield f"{opening} {_inline(value)}"
    elif isinstance(value, str):
        yield from _text(opening, value, depth)
    elif isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        yield from _words(opening, value, depth)
    else:
        yield opening
        yield from _mapping(value, depth) if isinstance(value, dict) else _sequence(value, depth)


def _words(opening: str, values: list[Any], depth: int) -> Iterator[str]:
    """A list of scalars over as many lines as it takes."""
    line = f"{opening} ["
    for word in [f"{_scalar(value)}," for value in values[:-1]] + [f"{_scalar(values[-1])}]"]:
        if len(line) + len(word) > WIDTH:
            yield line.rstrip()
            line = "  " * depth
        line += f"{word} "
    yield line.rstrip()


def _fits(opening: str, value: Any) -> bool:
    if not value or not isinstance(value, dict | list | str):
        return True
    return len(opening) + len(_inline(value)) <= WIDTH and _depth(value) <= DEPTH


def _depth(value: Any) -> int:
    """How many levels stand on one line; text with line breaks is too much for any."""
    if isinstance(value, str):
        return DEPTH + 1 if "\n" in value else 0
    if not isinstance(value, dict | list):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, parts), default=0)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_scalar(key)}: {_inline(each)}" for key, each in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _plain_text(value) and value.lower() not in _OTHER_MEANING:
        return value
    return json.dumps(value, ensure_ascii=False)


def _text(opening: str, text: str, depth: int) -> Iterator[str]:
    """Text as a literal block, or folded where it is one line; quoted where neither keeps it."""
    indent = "  " * depth
    lines = text.split("\n")
    folded = textwrap.wrap(
        text, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False
    )
    if len(lines) == 1 and " ".join(folded) == text and not text.startswith(" "):
        yield f"{opening} >-"
        yield from (indent + line for line in folded)
    elif _blockable(lines):
        yield f"{opening} |-"
        yield from ((indent + line).rstrip() for line in lines)
    else:
        yield f"{opening} {json.dumps(text, ensure_ascii=False)}"


def _blockable(lines: list[str]) -> bool:
    return (
        bool(lines[0])
        and bool(lines[-1])
        and all(
            line == line.rstrip() and not line.startswith(" ") and line.isprintable()
            for line in lines
        )
    )
