"""A long outage on a small spool: it grows thinner, never larger, and says what it gave up."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import harness
from tests.fault.small_node import GB
from tests.fault.whole_node import whole
from tests.harness import wait_until

LIMIT_BYTES = int(0.01 * GB)
SMALL_NODE = [sys.executable, str(Path(__file__).with_name("small_node.py"))]


class Watcher:
    """Looks at a directory all the time."""

    def __init__(self, directory: Path) -> None:
        self.most_bytes = 0
        self.tiers: Counter[str] = Counter()
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @contextmanager
    def looking(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(10)

    def _look(self) -> None:
        before = 0
        while not self._stop.wait(0.002):
            now = self._total()
            # Files change while they are counted: what two looks show was there.
            self.most_bytes = max(self.most_bytes, min(before, now))
            before = now

    def _total(self) -> int:
        total = 0
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
            self.tiers[path.name.split(".")[1]] += 1
        return total


class Outcome(NamedTuple):
    """What came of an outage."""

    most_bytes: int
    missing: int
    told: Counter[str]
    """Readings in gap records, by reason."""
    unnamed: list[str]
    """Numbers that are missing, and in no gap record."""
    faults: list[str]
    """What the oracle says; it takes an answer that came too late for one that was lost."""


def outage(
    directory: Path, *, network: int, count: int, interval_s: float, until: str, timeout_s: float
) -> Outcome:
    """An outage until readings have been thinned to a tier."""
    with whole(
        directory,
        network=network,
        count=count,
        telemetry="spool_limit_gb = 0.01",
        polling="per_subnet_per_s = 5000",
        interval_s=interval_s,
        deadline_s=0.9 * interval_s,
    ) as site:
        site.receives(count)
        watcher = Watcher(site.spool)
        with watcher.looking():
            site.proxy.break_link()
            wait_until(lambda: watcher.tiers[until], timeout_s, until)
            time.sleep(2.0)
            site.proxy.heal()
            site.drains(timeout_s)
        gaps = set(site.ends().gaps)
        missing = len(site.missing("telemetry"))
        unnamed = [str(each) for each in site.unnamed()]
        faults = site.verdict().faults
    told = Counter[str]()
    for gap in gaps:
        told[gap.reason] += gap.lost
    outcome = Outcome(watcher.most_bytes, missing, told, unnamed, faults)
    print(f"{outcome.most_bytes} bytes at most, {missing} missing, {dict(told)} told")
    return outcome


@pytest.mark.timeout(120)
def test_the_bound_holds_and_what_is_given_up_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "STOKER", SMALL_NODE)
    found = outage(
        tmp_path, network=77, count=75, interval_s=0.125, until="five_minutes", timeout_s=60
    )
    assert 0.8 * LIMIT_BYTES < found.most_bytes <= LIMIT_BYTES
    assert 75 < found.missing <= found.told.total()
    assert found.told["thinned"] > 75
    assert not found.unnamed, found.unnamed[:10]
