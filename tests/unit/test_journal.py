"""The journal of commands: what it keeps, what it drops, and what it does where the disk is bad."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.store import commits
from agent.store import journal as module
from agent.store.journal import Entry, Journal, StoreError
from agent.store.journal_tables import VERSION
from tests.fakes import START, FakeClock, kept

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "commands.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def entry(command_id: str = "a", **values: Any) -> Entry:
    plain: dict[str, Any] = {
        "digest": "ab" * 32,
        "received_at": START,
        "expires_at": START + 60,
        "keep_until": START + 7 * DAY_S,
        "state": "accepted",
        "final": False,
        "token": b"signed",
        "record": b"record",
    }
    return Entry(id=command_id, **{**plain, **values})


def ids(entries: list[Entry]) -> list[str]:
    return [each.id for each in entries]


def full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@contextmanager
def hung(journal: Journal) -> Iterator[Callable[[], None]]:
    """The disk hangs in the middle of every commit until told otherwise."""
    go_on, write = threading.Event(), journal._connection

    class Hanging:
        def __enter__(self) -> None:
            write.__enter__()

        def __exit__(self, *error: Any) -> bool:
            go_on.wait(10)
            return write.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(write, name)

    journal._connection = Hanging()  # type: ignore[assignment]
    try:
        yield go_on.set
    finally:
        go_on.set()
        journal._connection = write


# --- what it keeps ------------------------------------------------------------------------------


async def test_what_was_put_outlives_a_restart(path, clock):
    async with Journal(path, clock) as journal:
        await journal.put([entry("a"), entry("b")], {"a": ["asic-2", "asic-1"]})
        await journal.mark("a", "asic-2")
        journal.note_result("a", "asic-2", b"slept")
    async with Journal(path, clock) as journal:
        assert await journal.entries() == [entry("a"), entry("b")]
        assert await journal.targets("a") == ("asic-2", "asic-1")
        assert await journal.marks("a") == {"asic-2": clock.now()}
        assert await journal.results("a") == [b"slept"]
        assert (await journal.targets("b"), await journal.results("b")) == ((), [])


async def test_writes_are_synchronous_and_in_wal_mode_and_for_nobody_else(path, clock):
    async with Journal(path, clock) as journal:
        await journal.put([entry()])
        pragmas = [
            await journal._ask(
                lambda name=name: journal._connection.execute(f"PRAGMA {name}").fetchone()[0]
            )
            for name in ("journal_mode", "synchronous")
        ]
        assert pragmas == ["wal", 2]
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_it_knows_when_it_began(path, clock):
    async with Journal(path, clock) as journal:
        assert journal.born_at == clock.now()
    clock.advance(DAY_S)
    async with Journal(path, clock) as journal:
        assert journal.born_at == clock.now() - DAY_S


async def test_the_newest_state_counts_and_what_is_not_given_stays(path, clock):
    async with Journal(path, clock) as journal:
        await journal.put([entry()], {"a": ["asic-1"]})
        await journal.put([entry(state="executing", token=None, record=None)])
        assert await journal.find("a") == entry(state="executing")
        await journal.put([entry(state="executing", token=None, record=b"newer")])
        assert await journal.find("a") == entry(state="executing", record=b"newer")
        assert await journal.targets("a") == ("asic-1",)
        assert await journal.find("b") is None


async def test_of_what_is_over_and_told_only_the_head_is_loaded(path, clock):
    over = {"state": "succeeded", "final": True}
    async with Journal(path, clock) as journal:
        await journal.put([entry("a"), entry("b", **over), entry("c", told=True, **over)])
        heads = await journal.entries()
        assert heads == [
            entry("a"),
            entry("b", **over),
            entry("c", told=True, token=None, record=None, **over),
        ]
        assert await journal.find("c") == entry("c", told=True, **over)


async def test_entries_keep_the_order_of_their_acceptance(path, clock):
    async with Journal(path, clock) as journal:
        for each in ("b", "c", "a"):
            await journal.put([entry(each)])
        await journal.put([entry("b", state="executing")])
        assert ids(await journal.entries()) == ["b", "c", "a"]


# --- devices ------------------------------------------------------------------------------------


async def test_thousands_of_marks_share_a_few_commits(path, clock):
    devices = [f"asic-{number}" for number in range(10_000)]
    async with Journal(path, clock) as journal:
        before = journal.commits
        await asyncio.gather(*(journal.mark("a", device) for device in devices))
        assert journal.commits - before <= 3
        assert list(await journal.marks("a")) == devices


async def test_a_mark_is_on_disk_when_it_returns(path, clock):
    async with Journal(path, clock) as journal, Journal(path, clock) as other:
        await journal.mark("a", "asic-1")
        assert list(await other.marks("a")) == ["asic-1"]


async def test_marks_go_when_the_command_is_over(path, clock):
    async with Journal(path, clock) as journal:
        await journal.put([entry("a"), entry("b")])
        await asyncio.gather(journal.mark("a", "asic-1"), journal.mark("b", "asic-1"))
        await journal.put([entry("a", state="succeeded", final=True)])
        assert await journal.marks("a") == {}
        assert list(await journal.marks("b")) == ["asic-1"]


async def test_results_are_seen_before_they_are_on_disk_and_the_last_of_a_device_counts(
    path, clock
):
    async with Journal(path, clock) as journal:
        journal.note_result("a", "asic-1", b"first")
        assert await journal.results("a") == [b"first"]
        await journal.flush()
        journal.note_result("a", "asic-2", b"other")
        journal.note_result("a", "asic-1", b"second")
        assert await journal.results("a") == [b"second", b"other"]
        await journal.flush()
        assert await journal.results("a") == [b"second", b"other"]


async def test_with_the_end_of_a_command_its_results_are_on_disk(path, clock):
    async with Journal(path, clock) as journal, Journal(path, clock) as other:
        journal.note_result("a", "asic-1", b"slept")
        await journal.put([entry(state="succeeded", final=True)])
        assert await other.results("a") == [b"slept"]


async def test_results_are_written_soon(path, clock, monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async with Journal(path, clock) as journal, Journal(path, clock) as other:
        journal.note_result("a", "asic-1", b"slept")
        async with kept(journal.run()), asyncio.timeout(5):
            while not await other.results("a"):
                await asyncio.sleep(0.005)


# --- what is dropped ----------------------------------------------------------------------------


async def test_what_is_old_and_over_is_dropped_with_all_that_was_noted(path, clock):
    old = {"keep_until": START + 10.0}
    over = {"state": "succeeded", "final": True}
    async with Journal(path, clock) as journal:
        many = [entry(f"old-{at}", **old, **over) for at in range(50)]
        await journal.put([*many, entry("new", **over), entry("open", **old)], {"old-1": ["x"]})
        journal.note_result("old-1", "asic-1", b"slept")
        await journal.flush()
        await journal.prune(START + 9.0)
        assert len(await journal.entries()) == 52
        await journal.prune(START + 11.0)
        assert ids(await journal.entries()) == ["new", "open"]
        assert (await journal.targets("old-1"), await journal.results("old-1")) == ((), [])


async def test_it_prunes_by_itself(path, clock, monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    async with Journal(path, clock) as journal:
        await journal.put([entry(state="failed", final=True, keep_until=clock.now() - 1)])
        async with kept(journal.run()), asyncio.timeout(5):
            while await journal.entries():
                await asyncio.sleep(0.005)
            await journal.put([entry(state="failed", final=True, keep_until=clock.now() + 1)])
            clock.advance(module.PRUNE_S + 1)
            while await journal.entries():
                await asyncio.sleep(0.005)


# --- a bad disk ---------------------------------------------------------------------------------


async def test_what_cannot_be_written_is_told_and_is_not_there_later(path, clock, monkeypatch):
    async with Journal(path, clock) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(module.tables, "add", full)
            for work in (journal.put([entry()]), journal.mark("a", "asic-1")):
                with pytest.raises(StoreError, match=rf"{path}.*disk is full"):
                    await work
        assert (await journal.entries(), await journal.marks("a")) == ([], {})
        await journal.put([entry()])
        await journal.mark("a", "asic-2")
        assert list(await journal.marks("a")) == ["asic-2"]


async def test_results_wait_for_the_disk_and_it_is_said_once(path, clock, monkeypatch, caplog):
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    async with Journal(path, clock) as journal:
        tries, failed = 0, asyncio.Event()
        loop = asyncio.get_running_loop()

        def broken(*_: object) -> None:
            nonlocal tries
            tries += 1
            if tries > 3:
                loop.call_soon_threadsafe(failed.set)
            full()

        journal.note_result("a", "asic-1", b"first")
        journal.note_result("a", "asic-2", b"other")
        with monkeypatch.context() as patch:
            patch.setattr(module.tables, "put", broken)
            async with kept(journal.run()), asyncio.timeout(5):
                await failed.wait()
                journal.note_result("a", "asic-1", b"newer")
                patch.undo()
                patch.setattr(module, "FLUSH_S", 0.001)
                while "written again" not in caplog.text:
                    await asyncio.sleep(0.005)
    assert caplog.text.count("disk is full") == 1
    async with Journal(path, clock) as journal:
        assert await journal.results("a") == [b"newer", b"other"]


async def test_a_disk_that_hangs_leaves_nobody_waiting(path, clock, monkeypatch):
    monkeypatch.setattr(commits, "PATIENCE_S", 0.05)
    async with Journal(path, clock) as journal:
        with hung(journal):
            async with asyncio.timeout(2):
                with pytest.raises(StoreError, match=r"not on disk within 0\.05 s"):
                    await journal.put([entry()])
                with pytest.raises(StoreError, match="the disk hangs"):
                    await journal.mark("a", "asic-1")


async def test_what_came_to_disk_too_late_is_taken_back(path, clock, monkeypatch):
    """Its sender was told that it is not run: a restart must not run it."""
    async with Journal(path, clock) as journal:
        await journal.put([entry("old")])
        with hung(journal) as go_on, monkeypatch.context() as patch:
            patch.setattr(commits, "PATIENCE_S", 0.05)
            late = [entry("new"), entry("old", state="executing")]
            with pytest.raises(StoreError):
                await journal.put(late, {"new": ["asic-1"]})
            go_on()
        assert await journal.entries() == [entry("old", state="executing")]
        assert await journal.targets("new") == ()
        await journal.put([entry("new")])  # sent once more
        assert ids(await journal.entries()) == ["old", "new"]


async def test_what_could_not_be_taken_back_is_so_with_the_next_commit(path, clock, monkeypatch):
    async with Journal(path, clock) as journal:
        drop = journal._drop_unwanted
        with hung(journal) as go_on, monkeypatch.context() as patch:
            patch.setattr(commits, "PATIENCE_S", 0.05)
            patch.setattr(journal, "_drop_unwanted", full)
            with pytest.raises(StoreError):
                await journal.put([entry("new")])
            go_on()
            await journal.entries()
        assert journal._drop_unwanted == drop
        await journal.mark("other", "asic-1")
        assert await journal.entries() == []


async def test_whoever_no_longer_waits_holds_up_nobody(path, clock):
    async with Journal(path, clock) as journal:
        gone = asyncio.create_task(journal.mark("a", "asic-1"))
        stays = asyncio.create_task(journal.mark("a", "asic-2"))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert "asic-2" in await journal.marks("a")


# --- files that cannot be used --------------------------------------------------------------------


async def test_a_newer_version_is_refused_with_a_way_out_and_left_as_it_is(path, clock):
    async with Journal(path, clock):
        pass
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version={VERSION + 1}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"{path}: written by a newer version.*move the file"):
        async with Journal(path, clock):
            pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database" * 200, b"SQLite format 3\0" + bytes(84)])
async def test_a_broken_file_is_named(path, clock, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        async with Journal(path, clock):
            pass


async def test_a_row_that_cannot_be_read_is_an_error_of_the_store(path, clock):
    async with Journal(path, clock) as journal:
        await journal.mark("a", "asic-1")
        await journal._ask(lambda: journal._connection.execute("UPDATE mark SET body = x'00'"))
        with pytest.raises(StoreError, match="a row cannot be read"):
            await journal.marks("a")
