"""The tables of the journal, and what is asked of them. Called in the journal's own thread.

Marks and results are rows of many devices each, as they came to disk together: ten thousand rows
of their own would take a commit a tenth of a second instead of a hundredth.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, Literal, TypeVar

import msgspec
import zstandard

VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS command (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,
    received_at REAL NOT NULL, expires_at REAL NOT NULL, keep_until REAL NOT NULL,
    state TEXT NOT NULL, final INTEGER NOT NULL, told INTEGER NOT NULL, record BLOB
);
CREATE TABLE IF NOT EXISTS origin (
    command_id TEXT PRIMARY KEY, token BLOB, targets BLOB
);
CREATE TABLE IF NOT EXISTS mark (seq INTEGER PRIMARY KEY, command_id TEXT NOT NULL, body BLOB);
CREATE INDEX IF NOT EXISTS mark_of ON mark (command_id);
CREATE TABLE IF NOT EXISTS result (seq INTEGER PRIMARY KEY, command_id TEXT NOT NULL, body BLOB);
CREATE INDEX IF NOT EXISTS result_of ON result (command_id);
"""
"""What stays as it came (`origin`) lies apart from what changes with each state: up to half a
megabyte of it would be written again."""
_PUT = """
INSERT INTO command
    (id, digest, received_at, expires_at, keep_until, state, final, told, record)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        digest = excluded.digest, received_at = excluded.received_at,
        expires_at = excluded.expires_at, keep_until = excluded.keep_until,
        state = excluded.state, final = excluded.final, told = excluded.told,
        record = coalesce(excluded.record, record)
"""
_PUT_BYTES = """
INSERT INTO origin (command_id, token) VALUES (?, ?)
    ON CONFLICT (command_id) DO UPDATE SET token = excluded.token
"""
_PUT_TARGETS = """
INSERT INTO origin (command_id, targets) VALUES (?, ?)
    ON CONFLICT (command_id) DO UPDATE SET targets = excluded.targets
"""
_FIND = """
SELECT id, digest, received_at, expires_at, keep_until, state, final, told,
    CASE WHEN {whole} THEN record END, CASE WHEN {whole} THEN token END
    FROM command LEFT JOIN origin ON command_id = id {rest}
"""
_ENTRIES = _FIND.format(whole="NOT (final AND told)", rest="ORDER BY seq")
_ENTRY = _FIND.format(whole="1", rest="WHERE id = ?")
_OLD = "SELECT id FROM command WHERE final AND keep_until < ? LIMIT ?"

T = TypeVar("T")
Table = Literal["mark", "result"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One command of the journal; all times in seconds since the epoch."""

    id: str
    digest: str
    received_at: float
    expires_at: float
    keep_until: float
    """Until then it is known again."""
    state: str
    final: bool
    told: bool = False
    """The broker has acknowledged the last state."""
    token: bytes | None = None
    """The command as it came. None is not written: what is on disk stays."""
    record: bytes | None = None
    """What its owner keeps with it. None is not written either."""


def begin(connection: sqlite3.Connection, now: float) -> None:
    """Make the tables where there are none; raises `OSError` where a newer version did."""
    _check_version(connection)
    with connection:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('born_at', ?)", (now,))
        connection.execute(f"PRAGMA user_version={VERSION}")


def check(connection: sqlite3.Connection) -> None:
    """See that there is a journal which can be read; raises what `begin` does."""
    _check_version(connection)
    born_at(connection)


def born_at(connection: sqlite3.Connection) -> float:
    """When the journal began."""
    query = "SELECT value FROM meta WHERE key = 'born_at'"
    (value,) = connection.execute(query).fetchone()
    return float(value)


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise OSError(
            f"written by a newer version (format {version}, this one reads {VERSION}); "
            "run that one, or move the file away: then commands issued before are rejected"
        )


def put(
    connection: sqlite3.Connection,
    entries: Iterable[Entry],
    targets: Mapping[str, tuple[str, ...]],
) -> list[str]:
    """Write entries and targets; returns the ids of those that are new."""
    new = []
    for each in entries:
        known = connection.execute("SELECT 1 FROM command WHERE id = ?", (each.id,)).fetchone()
        if known is None:
            new.append(each.id)
        connection.execute(_PUT, _row(each))
        if each.token is not None:
            connection.execute(_PUT_BYTES, (each.id, each.token))
    for command_id, devices in targets.items():
        connection.execute(_PUT_TARGETS, (command_id, _packed(devices)))
    return new


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.id,
        entry.digest,
        entry.received_at,
        entry.expires_at,
        entry.keep_until,
        entry.state,
        entry.final,
        entry.told,
        entry.record,
    )


def entries(connection: sqlite3.Connection) -> list[Entry]:
    """Every entry; of those that are over only the head: there may be ten thousand of a day."""
    return [_entry(row) for row in connection.execute(_ENTRIES)]


def find(connection: sqlite3.Connection, command_id: str) -> Entry | None:
    """One entry, whole."""
    row = connection.execute(_ENTRY, (command_id,)).fetchone()
    return None if row is None else _entry(row)


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(
        id=row[0],
        digest=row[1],
        received_at=row[2],
        expires_at=row[3],
        keep_until=row[4],
        state=intern(row[5]),
        final=bool(row[6]),
        told=bool(row[7]),
        record=row[8],
        token=row[9],
    )


def targets(connection: sqlite3.Connection, command_id: str) -> tuple[str, ...]:
    """The devices that a command is for."""
    query = "SELECT targets FROM origin WHERE command_id = ?"
    row = connection.execute(query, (command_id,)).fetchone()
    if row is None or row[0] is None:
        return ()
    return _unpacked(row[0], tuple[str, ...])


def add(connection: sqlite3.Connection, table: Table, notes: Mapping[str, Any]) -> None:
    """Append notes to a table, a row for each command."""
    rows = [(command_id, _packed(note)) for command_id, note in notes.items()]
    connection.executemany(f"INSERT INTO {table} (command_id, body) VALUES (?, ?)", rows)  # noqa: S608


def marks(connection: sqlite3.Connection, command_id: str) -> dict[str, float]:
    """By device, since when a command may have been sent to it."""
    found: dict[str, float] = {}
    for body in _bodies(connection, "mark", command_id):
        found.update(_unpacked(body, dict[str, float]))
    return found


def results(connection: sqlite3.Connection, command_id: str) -> dict[str, bytes]:
    """By device, how a command ended on it."""
    found: dict[str, bytes] = {}
    for body in _bodies(connection, "result", command_id):
        found.update(_unpacked(body, dict[str, bytes]))
    return found


def _bodies(connection: sqlite3.Connection, table: Table, command_id: str) -> Iterable[bytes]:
    query = f"SELECT body FROM {table} WHERE command_id = ? ORDER BY seq"  # noqa: S608
    return (row[0] for row in connection.execute(query, (command_id,)))


def forget_marks(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Drop the marks of commands that are over: their results tell more."""
    over = [(each.id,) for each in entries if each.final]
    connection.executemany("DELETE FROM mark WHERE command_id = ?", over)


def prune(connection: sqlite3.Connection, now: float, most: int) -> bool:
    """Drop some of the final entries that need not be kept; False where there was none."""
    with connection:
        old = [row[0] for row in connection.execute(_OLD, (now, most))]
        drop(connection, old)
    return bool(old)


def drop(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Drop commands with all that was noted of them."""
    rows = [(command_id,) for command_id in ids]
    connection.executemany("DELETE FROM command WHERE id = ?", rows)
    for table in ("origin", "mark", "result"):
        connection.executemany(f"DELETE FROM {table} WHERE command_id = ?", rows)  # noqa: S608


def _packed(content: Any) -> bytes:
    return zstandard.ZstdCompressor(3).compress(msgspec.msgpack.encode(content))


def _unpacked(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(body), type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from error
