"""Every written fixture leads to its driver and is read as it says.

A fixture is `tests/fixtures/asic/<dialect>-<what>.json`: a recording as in `tests/replay.py`,
with `about` (where its facts come from), `driver`, and the parts of `identity` and `reading`
that must come out of it.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.registry import DRIVERS
from tests.replay import Replay

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "asic").glob("*.json"))


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Where `found` lacks or contradicts a part of `expected`."""
    if isinstance(expected, dict) and isinstance(found, dict):
        parts = (
            differences(value, found.get(key), f"{where}.{key}") for key, value in expected.items()
        )
        return [line for part in parts for line in part]
    if (
        isinstance(expected, list)
        and isinstance(found, list | tuple)
        and len(expected) == len(found)
    ):
        pairs = zip(expected, found, strict=True)
        parts = (differences(one, other, f"{where}[{at}]") for at, (one, other) in enumerate(pairs))
        return [line for part in parts for line in part]
    same = (
        expected == found if not isinstance(expected, float) else expected == pytest.approx(found)
    )
    return [] if same else [f"{where}: expected {expected!r}, found {found!r}"]


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
async def test_a_fixture_is_identified_and_read(path: Path) -> None:
    fixture = load(path)
    assert fixture["about"]
    replay = Replay(fixture)
    finding = await replay.probe()
    assert finding.driver_name == fixture["driver"], finding.evidence
    sample = await finding.driver.read()
    await finding.driver.close()
    assert sample.reading.device_id == finding.identity.id
    expected = {"identity": fixture["identity"], "reading": fixture["reading"]}
    found = msgspec.to_builtins({"identity": finding.identity, "reading": sample.reading})
    assert differences(expected, found) == []


def test_every_driver_has_a_fixture() -> None:
    drivers = {load(path)["driver"] for path in FIXTURES}
    assert drivers == set(DRIVERS)
