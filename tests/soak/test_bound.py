"""An outage that is long for its spool: readings are thinned, and thinned again.

SMALL_GB sets how many bytes a GB has, and the time with it: the bound is a hundredth of one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import harness
from tests.fault.test_bound import SMALL_NODE, outage

GB = int(os.environ.setdefault("SMALL_GB", "100_000_000"))


def test_readings_are_thinned_twice_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "STOKER", SMALL_NODE)
    found = outage(tmp_path, network=78, count=250, interval_s=0.5, until="hourly", timeout_s=1500)
    assert 0.8 * GB / 100 < found.most_bytes <= GB / 100
    assert found.told["thinned"] > 1000
    assert found.missing <= found.told.total()
    assert not found.unnamed, found.unnamed[:10]
    assert not found.faults, found.faults[:10]
