"""The agent is killed at every step of a change, and the next one while it puts that right."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_killed import CHANGES, ONE_BY_ONE
from tests.e2e.walk import walk


def test_killed_twice_and_no_machine_lacks_its_pools(tmp_path: Path) -> None:
    seen = walk(tmp_path, CHANGES, again=True)
    killed = [each for each in seen if each.step.number is not None]
    assert {each.step.change for each in killed if each.killed_twice} >= set(ONE_BY_ONE)
    assert [str(each) for each in killed if not each.is_whole] == []
    assert [str(each) for each in killed if not each.is_over] == []
