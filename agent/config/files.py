"""Files that the configuration names, read with plain words about what is wrong."""

from __future__ import annotations

from pathlib import Path

from agent.errors import ConfigError


def read_text(file: Path) -> str:
    """The text of a file; raises `ConfigError` where it can not be had."""
    try:
        # utf-8-sig: editors on Windows put a byte order mark in front
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(str(file), "", trouble(error)) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(str(file), f"line {line}", "not UTF-8 text") from None


def unreadable(path: str) -> str | None:
    """Why a file can not be read, as a plain sentence; None where it can."""
    try:
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return trouble(error)
    except ValueError as error:  # a NUL in the path
        return str(error)


def trouble(error: OSError) -> str:
    """What an error of the operating system means for a file of the configuration."""
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "is a directory, expected a file"
        case PermissionError():
            return "may not be read by this user"
    return f"can not be read: {error.strerror or error}"
