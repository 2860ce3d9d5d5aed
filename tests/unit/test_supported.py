"""SUPPORTED.md says what the tables say, and claims no recording that is not compared."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from drivers.registry import DRIVERS

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT.parent / "shared" / "captures"
TESTS = sorted((ROOT / "tests" / "unit").glob("test_*.py"))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supported", ROOT / "packaging" / "supported.py")
    assert spec
    assert spec.loader
    module = sys.modules["supported"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated() -> None:
    supported = generator()
    assert supported.PAGE.read_text() == supported.render(supported.load()), "run `make supported`"


def test_every_driver_is_on_the_page_and_no_other() -> None:
    rows = generator().load().row
    assert {row.driver for row in rows} == set(DRIVERS)


def test_what_is_graded_recorded_names_its_recordings() -> None:
    for row in generator().load().row:
        assert bool(row.captures) == (row.grade == "recorded"), row


def test_the_recordings_are_real_and_compared_in_a_test() -> None:
    if not CAPTURES.is_dir():
        pytest.skip("no captures of real machines beside the repository")
    listed = {name for row in generator().load().row for name in row.captures}
    real = {
        str(path.relative_to(CAPTURES))
        for path in CAPTURES.glob("*/[!_]*.json")
        if json.loads(path.read_text())["provenance"].startswith("real")
    }
    words = "".join(path.read_text() for path in TESTS)
    for name in listed:
        provenance = json.loads((CAPTURES / name).read_text())["provenance"]
        assert provenance.startswith(("real", "mixed")), name
        assert Path(name).name in words, f"no test reads {name}"
    assert real <= listed
