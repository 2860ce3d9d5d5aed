"""The files of a configuration merged into one tree that remembers where each key was written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

from agent.errors import ConfigError

Key = tuple[str | int, ...]
"""A place in the merged tree: names of tables and keys, positions in arrays."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Origin(NamedTuple):
    """Where a key was written, and its path within that file."""

    file: Path
    shown: str


class Blame(Protocol):
    """Makes the error about a key, naming the file that wrote it."""

    def error(self, key: Key, problem: str) -> ConfigError:
        """The error."""
        ...


class Tables:
    """The merged tables of all files; the first file is the main one."""

    def __init__(self, main: Path) -> None:
        self.values: dict[str, Any] = {}
        self._origins: dict[Key, Origin] = {(): Origin(main, "")}

    def add(self, file: Path, table: dict[str, Any]) -> None:
        """Lay a file over the ones before: tables merge, arrays of tables grow, values yield."""
        self._merge(self.values, table, file, (), "")

    def given(self, key: Key) -> bool:
        """True where a file has this key."""
        return key in self._origins

    def error(self, key: Key, problem: str) -> ConfigError:
        """The error about a key, naming the file that wrote it or the table it is missing from."""
        known = len(key)
        while key[:known] not in self._origins:
            known -= 1
        file, shown = self._origins[key[:known]]
        return ConfigError(str(file), below(shown, *key[known:]), problem)

    def _merge(
        self, into: dict[str, Any], new: dict[str, Any], file: Path, at: Key, shown: str
    ) -> None:
        for name, value in new.items():
            key, here = (*at, name), below(shown, name)
            old = into.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                self._origins[key] = Origin(file, here)
                self._merge(old, value, file, key, here)
            elif _are_tables(old) and _are_tables(value):
                self._record_items(value, file, key, here, len(old))
                old.extend(value)
            else:
                into[name] = value
                self._record(value, file, key, here)

    def _record(self, value: Any, file: Path, key: Key, shown: str) -> None:
        self._origins[key] = Origin(file, shown)
        if isinstance(value, dict):
            for name, item in value.items():
                self._record(item, file, (*key, name), below(shown, name))
        elif isinstance(value, list):
            self._record_items(value, file, key, shown, 0)

    def _record_items(self, items: list[Any], file: Path, key: Key, shown: str, at: int) -> None:
        for position, item in enumerate(items):
            self._record(item, file, (*key, at + position), below(shown, position))


def below(shown: str, *steps: str | int) -> str:
    """A path as users write it, some steps further: `range[2]` and `tags` give `range[2].tags`."""
    for step in steps:
        if isinstance(step, int):
            shown += f"[{step}]"
        else:
            # a quoted key may hold anything; json escapes it onto one line
            name = step if _BARE.fullmatch(step) else json.dumps(step)
            shown = f"{shown}.{name}" if shown else name
    return shown


def _are_tables(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
