"""Tables of keys as TOML, to paste or to lay in conf.d. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.config.check_commands import complete_commands
from agent.config.commands import Commands
from agent.config.decode import decode
from agent.config.merge import Tables
from agent.errors import AgentError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def table(name: str, values: Mapping[str, Any]) -> str:
    """One table of an array: what is None or empty is left out."""
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if value not in _NOTHING]
    return "\n".join([f"[[{name}]]", *lines, ""])


def checked(text: str, file: Path) -> Commands:
    """What the nodes will read; raises `ConfigError` as they would."""
    tables = Tables(file)
    tables.add(file, {"site": {"name": "any"}, **tomllib.loads(text)})
    return complete_commands(decode(tables).commands, tables)


_NOTHING: tuple[Any, ...] = (None, (), [], {})


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, dict):
        pairs = (f"{_name(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    # what can be printed is written in TOML as it is in JSON
    if not value.isprintable():
        raise AgentError(f"{value!a}: only characters that can be printed may stand there")
    return json.dumps(value, ensure_ascii=False)
