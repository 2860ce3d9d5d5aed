"""What survives a restart, a crash and a bad disk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from agent.fleet.inventory import Known
from agent.store import database as module
from agent.store import memories
from agent.store.database import MEMORY_LIMIT_BYTES, VERSION, Database, StoreError
from drivers.mock import mock_identity
from tests.fakes import kept

WRITER = """
import asyncio, sys
from pathlib import Path
from agent.fleet.inventory import Known
from agent.store.database import Database
from drivers.mock import mock_identity

async def main():
    async with Database(Path(sys.argv[1])) as database:
        memory = database.memory(lambda: "asic-1")
        await memory.put("pools", b"before the change")
        database.save_device("asic-1", Known(mock_identity(1), "10.0.0.1", 7.0))
        await database.flush()
        print("on disk", flush=True)
        database.save_device("asic-2", Known(mock_identity(2), "10.0.0.2"))
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "stoker.db"


def known(number: int, address: str = "10.0.0.1") -> Known:
    return Known(mock_identity(number), address, 5.0)


async def devices(database: Database) -> list[Known]:
    return [msgspec.msgpack.decode(each, type=Known) for each in await database.devices()]


async def test_a_device_that_is_forgotten_is_gone_after_a_restart(path):
    async with Database(path) as database:
        database.save_device("a", known(1))
        database.save_device("b", known(2))
        await database.flush()
        database.forget_device("a")
        database.forget_device("nobody")
    async with Database(path) as database:
        assert await devices(database) == [known(2)]


async def test_what_was_on_disk_survives_a_kill(path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout.readline() == b"on disk\n"
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    async with Database(path) as database:
        assert database.memory(lambda: "asic-1").get("pools") == b"before the change"
        assert await devices(database) == [Known(mock_identity(1), "10.0.0.1", 7.0)]
        assert database.epoch == 2


async def test_the_epoch_counts_the_starts(path):
    for start in (1, 2, 3):
        async with Database(path) as database:
            assert database.epoch == start


async def test_writes_are_synchronous_and_in_wal_mode(path):
    async with Database(path) as database:
        ask = database._connection.execute
        pragmas = [
            await database._run(lambda name=name: ask(f"PRAGMA {name}").fetchone()[0])
            for name in ("journal_mode", "synchronous")
        ]
        assert pragmas == ["wal", 2]


async def test_a_newer_version_is_refused_and_left_as_it_is(path):
    async with Database(path):
        pass
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version={VERSION + 1}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"{path}: written by a newer version \(format 2"):
        async with Database(path):
            pass
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"SQLite format 3\0" + bytes(84)]
)
async def test_a_broken_file_is_named(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        async with Database(path):
            pass


async def test_a_directory_in_the_way_is_named(path):
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=str(path)):
        async with Database(path):
            pass


async def test_a_parent_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "stoker.db"
    with pytest.raises(StoreError, match=str(path)):
        async with Database(path):
            pass


async def test_the_newest_record_of_a_device_stays(path):
    async with Database(path) as database:
        database.save_device("a", known(1))
        await database.flush()
        database.save_device("a", known(1, "10.0.0.9"))
        database.save_device("b", known(2))
    async with Database(path) as database:
        assert await devices(database) == [known(1, "10.0.0.9"), known(2)]


async def test_records_gather_and_are_written_soon(path, monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async with Database(path) as database, kept(database.run()):
        database.save_device("a", known(1))
        async with asyncio.timeout(5):
            while not await database.devices():
                await asyncio.sleep(0.005)


async def test_a_flush_that_failed_is_tried_again_and_newer_records_win(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async with Database(path) as database:
        write, failed = database._write_devices, asyncio.Event()
        loop = asyncio.get_running_loop()

        def full(_batch: dict[str, bytes]) -> None:
            loop.call_soon_threadsafe(failed.set)
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(database, "_write_devices", full)
        database.save_device("a", known(1))
        database.save_device("b", known(2))
        async with kept(database.run()):
            await asyncio.wait_for(failed.wait(), 5)
            database.save_device("a", known(1, "10.0.0.9"))
            failed.clear()
            await asyncio.wait_for(failed.wait(), 5)
            assert "disk is full" in caplog.text
            monkeypatch.setattr(database, "_write_devices", write)
            async with asyncio.timeout(5):
                while len(await database.devices()) < 2:
                    await asyncio.sleep(0.005)
        assert await devices(database) == [known(1, "10.0.0.9"), known(2)]


async def test_what_is_saved_during_a_flush_that_fails_is_the_newer(path, monkeypatch):
    async with Database(path) as database:
        under_way, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def slow_and_full(_batch: dict[str, bytes]) -> None:
            loop.call_soon_threadsafe(under_way.set)
            go_on.wait(5)
            raise sqlite3.OperationalError("database or disk is full")

        database.save_device("a", known(1))
        with monkeypatch.context() as patch:
            patch.setattr(database, "_write_devices", slow_and_full)
            flush = asyncio.create_task(database.flush())
            await under_way.wait()
            database.save_device("a", known(1, "10.0.0.9"))
            go_on.set()
            with pytest.raises(StoreError):
                await flush
        await database.flush()
        assert await devices(database) == [known(1, "10.0.0.9")]


async def test_leaving_with_a_full_disk_says_so_and_closes_all_the_same(path, monkeypatch):
    def full(_batch: dict[str, bytes]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    database = Database(path)
    with pytest.raises(StoreError, match="disk is full"):
        async with database:
            monkeypatch.setattr(database, "_write_devices", full)
            database.save_device("a", known(1))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database._connection.execute("SELECT 1")


# --- memories ---------------------------------------------------------------------------------


async def test_memories_are_kept_per_device_and_key(path):
    async with Database(path) as database:
        one, two = database.memory(lambda: "a"), database.memory(lambda: "b")
        await one.put("k", b"1")
        await two.put("k", b"2")
        await one.put("k", b"3")
        await two.forget("k")
        await two.forget("never known")
        assert (one.get("k"), two.get("k"), one.get("other")) == (b"3", None, None)
    async with Database(path) as database:
        assert database.memory(lambda: "a").get("k") == b"3"
        assert database.memory(lambda: "b").get("k") is None


async def test_a_memory_follows_the_identity_not_the_address(path):
    async with Database(path) as database:
        who = "a"
        memory = database.memory(lambda: who)
        await memory.put("k", b"of a")
        who = "b"
        assert memory.get("k") is None
        who = "a"
        assert memory.get("k") == b"of a"


async def test_a_memory_has_a_limit(path):
    async with Database(path) as database:
        memory = database.memory(lambda: "a")
        await memory.put("k", bytes(MEMORY_LIMIT_BYTES))
        with pytest.raises(ValueError, match="65537 bytes"):
            await memory.put("k", bytes(MEMORY_LIMIT_BYTES + 1))
        assert len(memory.get("k")) == MEMORY_LIMIT_BYTES


async def test_what_cannot_be_written_is_remembered_and_written_later(path, monkeypatch):
    """A full disk must not keep a machine from being stopped."""
    async with Database(path) as database:
        memory = database.memory(lambda: "a")
        await memory.put("k", b"old")
        await memory.put("gone", b"1")

        def broken(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(database, "_write_changes", broken)
            await memory.put("k", b"newer")
            await memory.put("k", b"newest")
            await memory.forget("gone")
            assert memory.get("k") == b"newest"
            assert memory.get("gone") is None
            with pytest.raises(StoreError, match="disk I/O error"):
                await database.flush()
        await database.flush()
    async with Database(path) as database:
        assert database.memory(lambda: "a").get("k") == b"newest"
        assert database.remembering("gone") == []


async def test_an_order_goes_on_where_the_disk_hangs(path, monkeypatch):
    monkeypatch.setattr(memories, "PATIENCE_S", 0.05)
    async with Database(path) as database:
        go_on, write = threading.Event(), database._write_changes

        def hangs(changes: memories.Changes) -> None:
            go_on.wait(5)
            write(changes)

        monkeypatch.setattr(database, "_write_changes", hangs)
        memory = database.memory(lambda: "a")
        async with asyncio.timeout(2):
            await memory.put("k", b"1")
        assert memory.get("k") == b"1"
        go_on.set()
    async with Database(path) as database:
        assert database.memory(lambda: "a").get("k") == b"1"


async def test_a_disk_in_trouble_is_told_once_and_so_is_its_end(path, monkeypatch, caplog):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async with Database(path) as database:
        tries, write = 0, database._write_devices

        def full(_batch: dict[str, bytes]) -> None:
            nonlocal tries
            tries += 1
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(database, "_write_devices", full)
        database.save_device("a", known(1))
        async with kept(database.run()), asyncio.timeout(5):
            while tries < 3:
                await asyncio.sleep(0.005)
            monkeypatch.setattr(database, "_write_devices", write)
            while "saved again" not in caplog.text:
                await asyncio.sleep(0.005)
    assert caplog.text.count("disk is full") == 1


async def test_memories_written_at_once_are_all_on_disk(path):
    async with Database(path) as database:
        memories = [database.memory(lambda name=f"d{at}": name) for at in range(200)]
        await asyncio.gather(*(memory.put("k", b"1") for memory in memories))
        await asyncio.gather(*(memory.forget("k") for memory in memories[::2]))
        assert len(database.remembering("k")) == 100
    async with Database(path) as database:
        assert sorted(database.remembering("k")) == sorted(f"d{at}" for at in range(1, 200, 2))


async def test_the_locks_outlive_a_restart(path):
    async with Database(path) as database:
        await database.save_lock("rack=B7", b"lock")
        await database.save_lock("rack=B8", b"other")
        await database.save_lock("rack=B8", None)
    async with Database(path) as database:
        assert await database.locks() == [b"lock"]


async def test_the_audit_of_an_earlier_version_is_left_alone(path):
    """It was a table; records go to files now."""
    async with Database(path):
        pass
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE audit (seq INTEGER PRIMARY KEY, record BLOB NOT NULL)")
        connection.execute("INSERT INTO audit VALUES (1, 'old')")
    connection.close()
    async with Database(path):
        pass
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM audit").fetchall() == [(1, "old")]
    connection.close()
