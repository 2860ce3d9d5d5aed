"""Which devices a command means."""

from __future__ import annotations

import pytest

from agent.config.locations import Location
from agent.fleet.inventory import Inventory
from agent.remote.claims import Target
from agent.remote.reasons import Reason, Rejected
from agent.remote.selecting import checked, chosen, shown
from drivers.api import Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.probe import Finding
from tests.fakes import FakeClock

PLACES = {
    "10.0.0.1": Location(rack="B7", building="H1", customer="Acme"),
    "10.0.0.2": Location(rack="B7", building="H2"),
    "10.0.0.3": Location(rack="b8", building="H1"),
}


@pytest.fixture
def inventory() -> Inventory:
    inventory = Inventory(lambda address, _mac: PLACES[address])
    for number, address in enumerate(PLACES, 1):
        who = mock_identity(number)
        driver = MockMiner(who, FakeClock())
        inventory.settle(Finding(Endpoint(address), "mock", driver, who, ()), 0.0)
    return inventory


def addresses(inventory: Inventory, target: Target) -> list[str]:
    return [device.address for device in chosen(target, inventory, "North")]


@pytest.mark.parametrize(
    ("target", "last"),
    [
        (Target(all=True), "123"),
        (Target(tags={"rack": "B7"}), "12"),
        (Target(tags={"rack": ("B7", "B8")}), "123"),
        (Target(tags={"rack": "B7", "building": "h1"}), "1"),
        (Target(tags={"site": "north"}), "123"),
        (Target(tags={"site": "south"}), ""),
        (Target(tags={"site": ("south", "NORTH"), "rack": "b8"}), "3"),
        (Target(tags={"customer": "acme"}), "1"),
        (Target(tags={"nonsense": "x"}), ""),
        (Target(kind="asic"), "123"),
        (Target(kind=("gpu", "pdu")), ""),
    ],
)
def test_who_is_meant(inventory: Inventory, target: Target, last: str) -> None:
    assert "".join(each[-1] for each in addresses(inventory, target)) == last


def test_ids_each_once_whatever_their_case(inventory: Inventory) -> None:
    first = next(iter(inventory)).id
    target = Target(ids=(first.upper(), first, "asic-000000000000"))
    assert addresses(inventory, target) == ["10.0.0.1"]
    assert addresses(inventory, Target(ids=(first,), tags={"rack": "B8"})) == []


@pytest.mark.parametrize(
    "target", [None, Target(), Target(max_targets=3), Target(all=True, kind="asic")]
)
def test_what_means_nothing_clear(target: Target | None) -> None:
    with pytest.raises(Rejected) as caught:
        checked(target)
    assert caught.value.reason is Reason.BAD_TARGET


def test_a_target_is_shown_without_what_was_not_said() -> None:
    assert shown(Target(tags={"rack": "B7"})) == '{"tags":{"rack":"B7"}}'
    assert shown(None) == ""
