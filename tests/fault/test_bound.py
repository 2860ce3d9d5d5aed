"""A long outage on a small spool: it grows thinner, never larger, and says what it gave up."""

from __future__ import annotations

import sys
import threading
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
        while not self._stop.wait(0.01):
            total = 0
            for path in self._directory.iterdir():
                with suppress(FileNotFoundError):
                    total += path.stat().st_size
                self.tiers[path.name.split(".")[1]] += 1
            self.most_bytes = max(self.most_bytes, total)


class Outcome(NamedTuple):
    """What came of an outage."""

    most_bytes: int
    missing: int
    told: Counter[str]
    """Readings in gap records, by reason."""
    faults: list[str]


def outage(directory: Path, *, network: int, count: int, until: str, timeout_s: float) -> Outcome:
    """An outage until readings are lost as `until` says, or thinned to that tier."""
    with whole(
        directory,
        network=network,
        count=count,
        telemetry="spool_limit_gb = 0.01",
        polling="per_subnet_per_s = 5000",
        interval_s=0.25,
        deadline_s=0.2,
    ) as site:
        site.receives(count)
        watcher = Watcher(site.spool)

        def is_reached() -> bool:
            lost = site.telemetry()["spool"]["lost"]
            return bool(watcher.tiers[until] or lost.get(until))

        with watcher.looking():
            site.proxy.break_link()
            wait_until(is_reached, timeout_s, until)
            site.goes_on_polling()
            site.proxy.heal()
            site.drains(timeout_s)
        gaps = set(site.ends().gaps)
        missing = len(site.missing("telemetry"))
        verdict = site.verdict()
    told = Counter[str]()
    for gap in gaps:
        told[gap.reason] += gap.lost
    outcome = Outcome(watcher.most_bytes, missing, told, verdict.faults)
    print(f"{outcome.most_bytes} bytes at most, {missing} missing, {dict(told)} told")
    return outcome


@pytest.mark.timeout(120)
def test_the_bound_holds_and_what_is_given_up_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "STOKER", SMALL_NODE)
    found = outage(tmp_path, network=77, count=150, until="over_bound", timeout_s=30)
    assert 0.8 * LIMIT_BYTES < found.most_bytes <= LIMIT_BYTES
    assert found.told["thinned"] > 150
    assert 150 < found.missing <= found.told.total()
    assert not found.faults, found.faults[:10]
