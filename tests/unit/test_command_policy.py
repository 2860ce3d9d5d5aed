"""What the local configuration lets be done: nothing, unless it says so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.command.policy import Policy
from agent.command.verbs import VERBS
from agent.config.locations import Location
from agent.config.schema import Allow, Control
from agent.fleet.inventory import Device
from drivers.registry import DRIVERS
from drivers.registry import Control as Grade
from tests.devices import device_at

PAUSE, RESET = VERBS["mining.pause"], VERBS["device.factory_reset"]
SAFE = [verb for verb in VERBS.values() if not verb.dangerous]
PLACE = Location(rack="B7", tags={"hall": "North"})


def device(driver_name: str = "documented") -> Device:
    return device_at("10.1.2.3", place=PLACE, driver_name=driver_name, make="Bitmain")


def objection(verb=PAUSE, driver_name: str = "documented", *allow: dict[str, Any]) -> str | None:
    control = msgspec.convert({"allow": list(allow)}, Control)
    return Policy(control).objection(device(driver_name), verb)


@pytest.fixture(autouse=True)
def _grades(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver of each grade, whatever the real ones are at by now."""
    spec = next(iter(DRIVERS.values()))
    for grade in Grade:
        monkeypatch.setitem(DRIVERS, str(grade), msgspec.structs.replace(spec, control=grade))


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_without_configuration_nothing_is_allowed(verb) -> None:
    assert Policy(Control()).observes_only
    assert "only observes" in (objection(verb) or "")


@pytest.mark.parametrize("verb", SAFE, ids=lambda verb: verb.name)
def test_an_empty_table_allows_whatever_is_not_dangerous(verb) -> None:
    assert not Policy(Control(allow=(Allow(),))).observes_only
    assert objection(verb, "documented", {}) is None


@pytest.mark.parametrize(
    ("allow", "passes"),
    [
        ({"addresses": ["10.1.0.0/16"]}, True),
        ({"addresses": ["10.1.2.3"]}, True),
        ({"addresses": ["10.2.0.0/16", "10.1.2.1-10.1.2.9"]}, True),
        ({"addresses": ["10.2.0.0/16"]}, False),
        ({"tags": {"rack": "B7"}}, True),
        ({"tags": {"hall": "North"}}, True),
        ({"tags": {"rack": "B7", "hall": "North"}}, True),
        ({"tags": {"rack": "B7", "hall": "South"}}, False),
        ({"tags": {"row": "B7"}}, False),
        ({"makes": ["Bitmain"]}, True),
        ({"makes": ["MicroBT", "BITMAIN"]}, True),
        ({"makes": ["MicroBT"]}, False),
        ({"drivers": ["documented"]}, True),
        ({"drivers": ["simulated"]}, False),
        ({"verbs": ["mining.pause"]}, True),
        ({"verbs": ["mining.resume", "locate"]}, False),
        ({"addresses": ["10.1.0.0/16"], "makes": ["MicroBT"]}, False),
        ({"addresses": ["10.1.0.0/16"], "verbs": ["mining.pause"]}, True),
    ],
)
def test_every_condition_of_a_table_has_to_fit(allow, passes) -> None:
    assert (objection(PAUSE, "documented", allow) is None) is passes


def test_one_table_that_fits_is_enough_and_two_halves_are_none() -> None:
    here, there = {"addresses": ["10.1.2.3"]}, {"addresses": ["10.9.9.9"]}
    pause, light = {"verbs": ["mining.pause"]}, {"verbs": ["locate"]}
    assert objection(PAUSE, "documented", there, here) is None
    assert objection(PAUSE, "documented", here | light, there | pause) is not None


@pytest.mark.parametrize(
    ("verb", "allow", "words"),
    [
        (PAUSE, {"addresses": ["10.9.9.9"]}, "covers this device"),
        (PAUSE, {"verbs": ["locate"]}, "does not allow mining.pause"),
        (RESET, {}, "dangerous"),
        (RESET, {"verbs": ["mining.pause"]}, "dangerous"),
    ],
)
def test_a_refusal_says_what_is_missing(verb, allow, words) -> None:
    assert words in (objection(verb, "documented", allow) or "")


def test_a_machine_that_does_not_say_its_make_is_of_none() -> None:
    nobody = device_at(driver_name="documented", make=None)
    policy = Policy(Control(allow=(Allow(makes=("Bitmain",)),)))
    assert policy.objection(nobody, PAUSE) is not None


def test_something_dangerous_is_allowed_where_it_is_named() -> None:
    assert objection(RESET, "documented", {"verbs": ["device.factory_reset"]}) is None


def test_naming_something_dangerous_allows_nothing_else() -> None:
    assert objection(PAUSE, "documented", {"verbs": ["device.factory_reset"]}) is not None


@pytest.mark.parametrize("grade", [Grade.SIMULATED, Grade.NONE])
@pytest.mark.parametrize(
    ("allow", "passes"),
    [
        ([{}], False),
        ([{"makes": ["Bitmain"]}], False),
        ([{"verbs": ["mining.pause"]}], False),
        ([{"drivers": ["{grade}"]}], True),
        ([{"drivers": ["{grade}"], "verbs": ["mining.pause"]}], True),
        ([{"drivers": ["{grade}"], "verbs": ["locate"]}], False),
        ([{"drivers": ["documented"]}], False),
        ([{}, {"drivers": ["{grade}"]}], True),
        ([{}, {"drivers": ["{grade}"], "verbs": ["locate"]}], False),
        ([{}, {"drivers": ["{grade}"], "addresses": ["10.9.9.9"]}], False),
    ],
)
def test_a_driver_that_was_proved_in_a_simulator_acts_where_it_is_named(
    grade, allow, passes
) -> None:
    tables = [
        {key: [each.format(grade=grade) for each in values] for key, values in table.items()}
        for table in allow
    ]
    found = objection(PAUSE, str(grade), *tables)
    assert (found is None) is passes
    assert passes or "[[control.allow]]" in (found or "")


def test_a_dangerous_verb_of_a_simulated_driver_needs_both_names_in_one_table() -> None:
    reset, driver = {"verbs": ["device.factory_reset"]}, {"drivers": ["simulated"]}
    assert objection(RESET, "simulated", reset, driver) is not None
    assert objection(RESET, "simulated", reset | driver) is None


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_every_real_driver_below_documented_waits_to_be_named(name) -> None:
    documented = DRIVERS[name].control is Grade.DOCUMENTED
    assert (objection(PAUSE, name, {}) is None) is documented
    assert objection(PAUSE, name, {"drivers": [name]}) is None
