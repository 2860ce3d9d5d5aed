"""SUPPORTED.md says what the tables say, and claims no recording that is not compared."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from drivers.capabilities import ACTIONS
from drivers.registry import DRIVERS, Control

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


def test_every_driver_that_takes_orders_has_one_row_of_its_grade() -> None:
    rows = [(orders.driver, orders.grade) for orders in generator().load().control]
    graded = {name: spec.control for name, spec in DRIVERS.items()}
    assert sorted(rows) == sorted(
        (name, grade) for name, grade in graded.items() if grade is not Control.NONE
    )


def test_every_action_is_named_and_no_other() -> None:
    for orders in generator().load().control:
        module, _, name = DRIVERS[orders.driver].path.partition(":")
        driver = getattr(importlib.import_module(module), name)
        able = {action for action in ACTIONS if callable(getattr(driver, action, None))}
        assert len(orders.names) == len(set(orders.names)), orders.driver
        assert set(orders.names) == able, orders.driver


def test_the_page_says_what_is_off_and_that_nothing_was_proved_on_machines() -> None:
    supported = generator()
    page = supported.PAGE.read_text().partition("## Control")[2]
    assert "No order was proved on a real machine by us" in page
    off = page.partition("Off unless named, then: ")[2].partition(". Nothing at all")[0]
    assert off.replace("`", "").split(", ") == sorted(
        name for name, spec in DRIVERS.items() if spec.control is Control.SIMULATED
    )


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
