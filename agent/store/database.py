"""The state database of this node: what must be known again after a restart.

SQLite in WAL mode with synchronous=FULL, spoken to from one thread of its own, so that a
slow disk never stops the event loop. Writes are gathered for a moment and committed together.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.store.memories import (
    MEMORY_LIMIT_BYTES,
    Changes,
    DeviceMemory,
    Memories,
    StoreError,
)
from agent.store.sqlite_file import connect, connect_without_writing
from agent.store.trouble import Trouble

__all__ = ["MEMORY_LIMIT_BYTES", "Database", "StoreError"]

log = logging.getLogger("stoker.store")

T = TypeVar("T")

VERSION = 1
FLUSH_S = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS device (id TEXT PRIMARY KEY, known BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS memory (
    device_id TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (device_id, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lock (scope TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
"""


class Database:
    """The open database. Use as `async with Database(path) as database`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection
        self._dirty: dict[str, bytes | None] = {}
        self._memories = Memories(lambda changes: self._run(lambda: self._write_changes(changes)))
        self._trouble = Trouble(
            log, "state not saved, will be tried again", "the state is saved again"
        )
        self._owes_epoch = False
        self.epoch = 0
        """Counts the starts of this node; a later start has the higher number."""

    async def __aenter__(self) -> Database:
        try:
            await self._run(self._open)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.flush()
        finally:
            await self._end()

    async def _end(self) -> None:
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def run(self) -> None:
        """Write what gathers, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except StoreError as error:
                self._trouble.met(error)
            else:
                self._trouble.over()

    # --- devices -----------------------------------------------------------------------

    async def devices(self) -> list[bytes]:
        """Every device record that was saved."""
        query = "SELECT known FROM device"
        return await self._run(lambda: [row[0] for row in self._connection.execute(query)])

    def save_device(self, device_id: str, record: msgspec.Struct) -> None:
        """Save a device record with the next flush."""
        self._dirty[device_id] = msgspec.msgpack.encode(record)

    def forget_device(self, device_id: str) -> None:
        """Drop a device record with the next flush."""
        self._dirty[device_id] = None

    async def flush(self) -> None:
        """Write what has gathered; it is on disk when this returns."""
        await self._memories.write()
        if self._owes_epoch:
            sql = "UPDATE meta SET value = ? WHERE key = 'epoch'"
            await self._run(lambda: self._write(sql, (self.epoch,)))
            self._owes_epoch = False
        if self._dirty:
            await self._flush_devices()

    async def _flush_devices(self) -> None:
        batch, self._dirty = self._dirty, {}
        try:
            await self._run(lambda: self._write_devices(batch))
        except StoreError:
            self._dirty = {**batch, **self._dirty}
            raise

    def _write_devices(self, batch: dict[str, bytes | None]) -> None:
        known = [(device_id, record) for device_id, record in batch.items() if record is not None]
        gone = [(device_id,) for device_id, record in batch.items() if record is None]
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO device (id, known) VALUES (?, ?)", known
            )
            self._connection.executemany("DELETE FROM device WHERE id = ?", gone)

    # --- what is locked ---------------------------------------------------------------------

    async def locks(self) -> list[bytes]:
        """Every lock that was saved."""
        query = "SELECT record FROM lock"
        return await self._run(lambda: [row[0] for row in self._connection.execute(query)])

    async def save_lock(self, scope: str, record: bytes | None) -> None:
        """Write or, with None, drop a lock; on disk when this returns."""
        if record is None:
            await self._run(lambda: self._write("DELETE FROM lock WHERE scope = ?", (scope,)))
            return
        sql = "INSERT OR REPLACE INTO lock (scope, record) VALUES (?, ?)"
        await self._run(lambda: self._write(sql, (scope, record)))

    # --- memories ----------------------------------------------------------------------

    def memory(self, whose: Callable[[], str]) -> DeviceMemory:
        """A durable memory for the device whose id `whose` gives at the time of each access."""
        return DeviceMemory(self._memories, whose)

    def remembered(self, device_id: str) -> dict[str, bytes]:
        """What a device's memory holds."""
        return self._memories.of(device_id)

    def remembering(self, key: str) -> list[str]:
        """The devices whose memory has a key."""
        return self._memories.having(key)

    def _write_changes(self, changes: Changes) -> None:
        drop = "DELETE FROM memory WHERE device_id = ? AND key = ?"
        put = "INSERT OR REPLACE INTO memory (device_id, key, value) VALUES (?, ?, ?)"
        with self._connection:
            for place, value in changes.items():
                if value is None:
                    self._connection.execute(drop, place)
                else:
                    self._connection.execute(put, (*place, value))

    def _write(self, sql: str, row: tuple[object, ...]) -> None:
        with self._connection:
            self._connection.execute(sql, row)

    # --- the thread --------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = connect(self._path)
            self._check_version(self._connection)
            self._begin()
        except sqlite3.OperationalError as error:
            self._close()
            self._open_without_writing(error)
        self._memories.load(self._connection.execute("SELECT * FROM memory"))

    def _begin(self) -> None:
        with self._connection:
            self._connection.executescript(_SCHEMA)
            self._connection.execute(
                "INSERT INTO meta VALUES ('epoch', 1) "
                "ON CONFLICT (key) DO UPDATE SET value = value + 1"
            )
            self._connection.execute(f"PRAGMA user_version={VERSION}")
        self.epoch = _epoch_in(self._connection)

    def _open_without_writing(self, why: sqlite3.OperationalError) -> None:
        """Begin with what is on a disk that takes nothing; what there is to write waits for it."""
        self._connection = connect_without_writing(self._path, why, self._read_start)
        self._owes_epoch = True
        log.error("%s cannot be written: %s", self._path, why)

    def _read_start(self, connection: sqlite3.Connection) -> None:
        self._check_version(connection)
        self.epoch = _epoch_in(connection) + 1

    def _close(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()

    def _check_version(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise OSError(
                f"written by a newer version (format {version}, this one reads {VERSION})"
            )


def _epoch_in(connection: sqlite3.Connection) -> int:
    (epoch,) = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return int(epoch)
