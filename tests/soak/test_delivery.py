"""100 rounds of kill -9, frozen brokers and broken links: nothing is lost unsaid.

`make soak SEED=7` repeats the choices of a run; the seed is printed. SOAK_ROUNDS makes it longer
or shorter, SOAK_COUNT sets the number of miners. Each variant takes some ten minutes:
`make soak ARGS="-k compact-marks"` runs one. Where something was lost, the last lines of the
failure name it, and `diary.txt` in the test's folder says what struck when.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.storm import HAS_SPOOL, Plan, brewing

SEED = int(os.environ.get("SOAK_SEED", "1"))
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "100"))
COUNT = int(os.environ.get("SOAK_COUNT", "200"))
VARIANTS = {
    "json-puback": ("json", False),
    "compact-puback": ("compact", False),
    "json-batch-marks": ("json-batch", True),
    "compact-marks": ("compact", True),
}

pytestmark = pytest.mark.skipif(not HAS_SPOOL, reason="needs the spool on disk")


@pytest.mark.parametrize(("encoding", "acknowledged"), VARIANTS.values(), ids=VARIANTS)
def test_nothing_is_lost_unsaid(tmp_path: Path, encoding: str, acknowledged: bool) -> None:
    plan = Plan(rounds=ROUNDS, seed=SEED, encoding=encoding, acknowledged=acknowledged, count=COUNT)
    print(f"\n{plan}")
    with brewing(plan, tmp_path) as (storm, judged):
        storm.run()
        verdict = judged()
        repeats = storm.repeats
    print(
        f"{verdict.owed} answers owed, {verdict.received} readings received, {repeats} repeats, "
        f"{verdict.named} named in gap records, {len(verdict.faults)} faults"
    )
    (tmp_path / "faults.txt").write_text("\n".join(verdict.faults))
    assert verdict.owed > ROUNDS * COUNT
    assert not verdict.faults, verdict.faults[:10]
