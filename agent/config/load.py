"""The configuration files read, merged, decoded and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from agent.config.check import complete
from agent.config.decode import decode
from agent.config.files import read_text, trouble
from agent.config.merge import Tables
from agent.config.schema import Config
from agent.errors import ConfigError

DEFAULT_PATH = Path("/etc/stoker/stoker.toml")


def load(path: Path) -> Config:
    """The checked configuration in `path` and `conf.d/*.toml` beside it, all paths absolute.

    Raises `ConfigError`, one line that names the file and the key.
    """
    path = path.absolute()
    tables = Tables(path)
    for file in (path, *_drop_ins(path.parent / "conf.d")):
        _add(tables, file)
    return complete(decode(tables), tables, path.parent)


def _drop_ins(directory: Path) -> list[Path]:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise ConfigError(str(directory), "", "is a file, expected a directory") from None
    except OSError as error:
        raise ConfigError(str(directory), "", trouble(error)) from None
    # editors leave .#name.toml and .name.toml.swp behind
    return [directory / name for name in names if name.endswith(".toml") and name[0] != "."]


def _add(tables: Tables, file: Path) -> None:
    try:
        tables.add(file, _parse(file))
    except RecursionError:
        raise ConfigError(str(file), "", "nested too deeply") from None


def _parse(file: Path) -> dict[str, Any]:
    text = read_text(file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(file), "", f"bad TOML: {error}") from None
