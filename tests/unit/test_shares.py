"""How many devices a node says it has, under which keys and values."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec

from agent.command.targets import value_of
from agent.config.locations import Location
from agent.fleet.inventory import Inventory
from agent.telemetry.birth import InventoryPages, entry
from agent.telemetry.messages import Entry
from drivers.api import Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.model import Identity, Kind
from drivers.probe import Finding
from tests.fakes import START, FakeClock

HOST = Entry(identity=Identity(id="host-1", kind=Kind.HOST, make="Dell"), address="", driver="host")
RACKS = ["B7", "b7", "C1", None]
TAGS: list[dict[str, str]] = [
    {},
    {"hall": "3"},
    {"hall": "4", "rack": "not a place", "kind": "shadowed", "site": "north", "state": "x"},
]


def shown(number: int, **changes: Any) -> Entry:
    found = Entry(identity=mock_identity(number), address=f"10.0.0.{number}", driver="mock")
    return msgspec.structs.replace(found, **changes)


def counts(pages: InventoryPages) -> dict[str, dict[str, int]]:
    return pages.manifest("b").counts


def test_devices_are_counted_under_each_key_and_value() -> None:
    pages = InventoryPages()
    pages.put("d1", shown(1, rack="B7", customer="ana", tags={"hall": "3"}))
    pages.put("d2", shown(2, rack="B7", asset_id="a-17", slot="4", tags={"hall": "4"}))
    found = counts(pages)
    assert found["kind"] == {"asic": 2}
    assert found["driver"] == {"mock": 2}
    assert found["rack"] == {"B7": 2}
    assert found["customer"] == {"ana": 1}
    assert found["hall"] == {"3": 1, "4": 1}
    assert "row" not in found
    assert not found.keys() & {"asset_id", "slot", "id", "address"}
    assert pages.manifest("b").uncounted == ()


def test_a_change_is_counted_and_what_is_gone_is_not() -> None:
    pages = InventoryPages()
    pages.put("d1", shown(1, rack="B7"))
    pages.put("d2", shown(2, rack="B7"))
    pages.put("d2", shown(2, rack="C1"))
    pages.put("d2", shown(2, rack="C1"))
    assert counts(pages)["rack"] == {"B7": 1, "C1": 1}
    pages.remove("d1")
    pages.remove("d1")
    assert counts(pages)["rack"] == {"C1": 1}
    pages.remove("d2")
    assert counts(pages) == {}


def test_the_host_itself_is_in_no_count() -> None:
    pages = InventoryPages()
    pages.put("host-1", HOST)
    assert pages.manifest("b").devices == 1
    assert counts(pages) == {}


def test_keys_with_too_many_values_are_named_and_left_out() -> None:
    pages = InventoryPages()
    for number in range(2001):
        pages.put(f"d{number}", shown(1, rack=f"r{number % 2000}", tags={"cable": f"c{number}"}))
    found = pages.manifest("b")
    assert found.uncounted == ("cable",)
    assert len(found.counts["rack"]) == 2000
    pages.remove("d7")
    assert pages.manifest("b").uncounted == ()
    assert len(counts(pages)["cable"]) == 2000


def test_all_counts_together_stay_small_and_the_coarse_keys_stay_in() -> None:
    pages = InventoryPages()
    for number in range(1900):
        tags = {f"tag{key}": f"{number}".rjust(100, "x") for key in range(20)}
        pages.put(f"d{number}", shown(1, rack="B7", tags=tags))
    found = pages.manifest("b")
    assert len(msgspec.json.encode(found)) < 300_000
    assert found.counts["kind"] == {"asic": 1900}
    assert found.counts["rack"] == {"B7": 1900}
    told = [f"tag{key}" for key in range(20) if f"tag{key}" in found.counts]
    assert len(told) == 1
    assert sorted([*told, *found.uncounted]) == sorted(f"tag{key}" for key in range(20))


def test_what_no_command_can_name_is_not_counted() -> None:
    pages = InventoryPages()
    pages.put("d1", shown(1, rack="r" * 129, tags={"t" * 129: "1", "hall": "3"}))
    assert "rack" not in counts(pages)
    assert counts(pages)["hall"] == {"3": 1}
    assert max(map(len, counts(pages))) < 129


def test_a_selector_finds_as_many_devices_as_are_counted() -> None:
    """Against what selectors look at: also tags with the names of places and of own words."""
    rng = random.Random(6)
    pages = InventoryPages()
    place = Location()
    inventory = Inventory(lambda _address, _mac: place)
    for number in range(60):
        place = Location(
            rack=rng.choice(RACKS), customer=rng.choice(["ana", None]), tags=rng.choice(TAGS)
        )
        identity = mock_identity(number)
        endpoint = Endpoint(f"10.0.0.{number}")
        finding = Finding(endpoint, "mock", MockMiner(identity, FakeClock()), identity, ())
        device = inventory.settle(finding, START).device
        pages.put(device.id, entry(device))
    for key in ("kind", "make", "model", "firmware", "driver", "rack", "customer", "hall", "row"):
        truth = Counter(value_of(device, key) for device in inventory)
        truth.pop(None, None)
        folded: Counter[str] = Counter()
        for value, count in counts(pages).get(key, {}).items():
            folded[value.lower()] += count
        assert folded == truth, key
    assert not counts(pages).keys() & {"site", "state"}
