"""A whole node whose disk is full or fails: it goes on, tells what it loses, and recovers."""

from __future__ import annotations

import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.local import client
from tests import harness
from tests.fault.mounts import small_file_system
from tests.fault.whole_node import Whole, whole
from tests.harness import wait_until

COUNT = 40
FAST = {"interval_s": 0.5, "deadline_s": 0.45}
MIX = "Antminer S21=1,Whatsminer M30S+ VE40=1"
"""One of these keeps a copy of its configuration on our disk before it is told to sleep."""
FIRST = "127.76.0.1"
CONTROL = """
[control]
starts_per_minute = 60000
starts_per_group_per_minute = 60000
[[control.allow]]
"""
SMALL_NODE = [sys.executable, str(Path(__file__).with_name("small_node.py"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The state directory on a file system of four MiB."""
    with small_file_system(tmp_path / "state", "4m") as point:
        yield point


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    monkeypatch.setattr(harness, "STOKER", SMALL_NODE)
    polling = "per_subnet_per_s = 5000"
    with whole(
        tmp_path, network=76, count=COUNT, mix=MIX, more=CONTROL, polling=polling, **FAST
    ) as started:
        started.receives(2 * COUNT)
        yield started


def fill(disk: Path) -> None:
    """Take every byte that is left."""
    with (disk / "somebody's").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def limit_files(site: Whole, size: int) -> None:
    """Let every write of the agent fail that makes a file longer than this."""
    assert site.node.process
    hard = resource.prlimit(site.node.process.popen.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(site.node.process.popen.pid, resource.RLIMIT_FSIZE, (size, hard))


def counted(results: list[dict[str, Any]]) -> Counter[str]:
    return Counter(result["verdict"] for result in results)


def told(site: Whole, name: str) -> list[dict[str, Any]]:
    return wait_until(lambda: site.consumer.told(name), 15, name)


def in_trouble(site: Whole) -> None:
    """The status says so; what is delivered may make room for a moment."""
    wait_until(lambda: site.telemetry()["spool"]["trouble"], 10, "trouble")


def is_well(site: Whole) -> None:
    """Trouble is over, and that is told."""
    wait_until(lambda: not site.telemetry()["spool"]["trouble"], 10, "no trouble")
    told(site, "spool.recovered")


def goes_on(site: Whole) -> None:
    """Measuring, publishing and obeying, while the disk takes nothing."""
    assert told(site, "spool.trouble")[0]["message"]
    in_trouble(site)
    site.receives(3 * COUNT)
    assert counted(site.node.act("all", "mining.pause")) == {"verified": COUNT}
    assert counted(site.node.act("all", "mining.resume")) == {"verified": COUNT}
    in_trouble(site)
    assert not site.telemetry()["spool"]["lost"]  # the broker has it all


def loses(site: Whole) -> None:
    """Without a broker memory is soon at its end: what is lost is told."""
    site.proxy.break_link()
    wait_until(lambda: site.telemetry()["spool"]["lost"].get("disk", 0) > 2 * COUNT, 30, "losses")
    site.proxy.heal()
    wait_until(lambda: all(site.connected()), 10, "connected")
    gaps = told(site, "telemetry.gap")
    assert {gap["details"]["reason"] for gap in gaps} == {"disk"}
    in_trouble(site)


def recovers(site: Whole) -> None:
    """The disk can be written again: all is delivered, and what is missing is what was told."""
    is_well(site)
    site.drains()
    lost = site.telemetry()["spool"]["lost"]["disk"]
    gaps = set(site.ends().gaps)
    assert sum(gap.lost for gap in gaps) == lost
    missing = site.missing("telemetry")
    print(f"{len(missing)} missing, {lost} told in {len(gaps)} gaps")
    named = {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)}
    assert 0 < len(missing) <= lost  # what was just under way when it was given up has come
    assert missing <= named
    assert not site.unnamed()


@pytest.mark.timeout(120)
def test_a_full_disk(small_disk: Path, site: Whole) -> None:
    fill(small_disk)
    goes_on(site)
    loses(site)
    (small_disk / "somebody's").unlink()
    recovers(site)


@pytest.mark.timeout(120)
def test_a_start_on_a_full_disk(small_disk: Path, site: Whole) -> None:
    """What was locked is locked, everything else works; what waited is written when it can be."""
    client.ask(site.node.socket, op="lock", target=FIRST, reason="fans, Ana")
    site.stop()
    fill(small_disk)
    epochs = []
    for _ in range(2):
        site.starts()
        epochs.append(site.node.status()["status"]["epoch"])
        site.receives(COUNT)
        assert counted(site.node.act("all", "mining.pause")) == {"verified": COUNT}
        results = site.node.act("all", "mining.resume")
        assert counted(results) == {"verified": COUNT - 1, "refused": 1}
        assert "fans, Ana" in next(each["words"] for each in results if each["address"] == FIRST)
        with suppress(FileNotFoundError):
            (small_disk / "somebody's").unlink()
        is_well(site)
        time.sleep(1.5)  # the state is written every second
        site.stop()
    assert epochs == [2, 3]
    with sqlite3.connect(small_disk / "state.db") as state:
        assert state.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone() == (3,)
        assert state.execute("SELECT count(*) FROM memory").fetchone()[0] > 0
    state.close()


@pytest.mark.timeout(120)
def test_a_disk_that_fails(site: Whole) -> None:
    limit_files(site, 0)
    goes_on(site)
    limit_files(site, resource.RLIM_INFINITY)
    is_well(site)
    assert not site.ends().gaps
    assert not site.missing("telemetry")
