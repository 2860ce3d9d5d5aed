"""SQLite files as this agent opens them: durable, and readable where the disk takes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    """Open a file so that what was committed is there after a power cut."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_without_writing(
    path: Path, why: sqlite3.OperationalError, read: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """Open a file on a disk that takes nothing; it is written as soon as the disk takes it.

    Alone with it, SQLite needs no file beside it, for which there may be no room; nobody else can
    read it then until the next start. `read` reads what must be known of it, and may refuse it.
    Raises `why` where it cannot be read either.
    """
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        read(connection)
    except sqlite3.OperationalError:
        connection.close()
        raise why from None
    except BaseException:
        connection.close()
        raise
    return connection
