"""A short storm: what `make soak` does for longer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.storm import HAS_SPOOL, Plan, brewing


@pytest.mark.skipif(not HAS_SPOOL, reason="needs the spool on disk")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("encoding", "acknowledged"), [("json", False), ("compact", True)], ids=["json", "compact-ack"]
)
def test_nothing_is_lost_unsaid(tmp_path: Path, encoding: str, acknowledged: bool) -> None:
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    plan = Plan(rounds=4, seed=seed, encoding=encoding, acknowledged=acknowledged, count=50)
    with brewing(plan, tmp_path) as (storm, verdict):
        storm.run()
        found = verdict()
    print(found.owed, found.received, found.named, dict(storm.told))
    assert found.owed > 5 * plan.count
    assert not found.faults, found.faults[:10]
