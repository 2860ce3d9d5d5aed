"""What an identity seen at an address means."""

from __future__ import annotations

import msgspec
import pytest

from agent.config.locations import NOWHERE, Location
from agent.fleet.inventory import Inventory, Known, Settled
from drivers.api import Endpoint
from drivers.mock import mock_identity
from drivers.model import Identity, Kind
from drivers.probe import Finding
from tests.fakes import START

A, B = "10.0.0.1", "10.0.0.2"
NOW = START


def finding(address: str, number: int | None = 1, **changes: object) -> Finding:
    """Machine `number` at an address; None: one that shows neither MAC nor serial."""
    endpoint = Endpoint(address)
    if number is None:
        identity = Identity(id=endpoint.provisional_id, kind=Kind.ASIC, model="M1")
    else:
        identity = mock_identity(number)
    identity = msgspec.structs.replace(identity, **changes)
    return Finding(endpoint, "mock", None, identity, ())  # type: ignore[arg-type]


def names(settled: Settled) -> list[str]:
    return [event.name for event in settled.events]


@pytest.fixture
async def inventory() -> Inventory:
    return Inventory(lambda *_: NOWHERE)


async def test_found(inventory):
    settled = inventory.settle(finding(A), NOW)
    assert names(settled) == ["device.found"]
    (event,) = settled.events
    assert (event.device_id, event.address) == (mock_identity(1).id, A)
    assert event.at.timestamp() == NOW
    assert inventory.at(A) is inventory.by_id(mock_identity(1).id) is settled.device
    assert len(inventory) == 1


async def test_the_same_again_changes_nothing(inventory):
    device = inventory.settle(finding(A), NOW).device
    again = inventory.settle(finding(A), NOW + 1)
    assert again.device is device
    assert not again.events
    assert not again.displaced


async def test_new_firmware_is_a_change_of_the_same_device(inventory):
    device = inventory.settle(finding(A), NOW).device
    again = inventory.settle(finding(A, firmware_version="2.0"), NOW)
    assert again.device is device
    (event,) = again.events
    assert event.name == "device.changed"
    assert event.details == {"changes": {"firmware_version": ["1.0", "2.0"]}}
    assert inventory.known[device.id].identity.firmware_version == "2.0"


async def test_another_model_behind_a_provisional_id_is_another_machine(inventory):
    inventory.settle(finding(A, None), NOW)
    assert names(inventory.settle(finding(A, None, model="M2"), NOW)) == ["device.replaced"]


async def test_moved(inventory):
    former = inventory.settle(finding(A), NOW).device
    settled = inventory.settle(finding(B), NOW)
    assert names(settled) == ["device.moved"]
    assert settled.events[0].details == {"former_address": A}
    assert settled.displaced == (former,)
    assert inventory.at(A) is None
    assert inventory.by_id(former.id) is settled.device is inventory.at(B)


async def test_who_comes_where_another_has_moved_away_replaces_nobody(inventory):
    inventory.settle(finding(A, 1), NOW)
    inventory.settle(finding(B, 1), NOW)
    assert names(inventory.settle(finding(A, 2), NOW)) == ["device.found"]


async def test_replaced_names_slot_and_asset():
    inventory = Inventory(lambda address, _mac: Location(slot=f"S-{address}", asset_id="A-9"))
    inventory.settle(finding(A, 1), NOW)
    settled = inventory.settle(finding(A, 2), NOW)
    assert names(settled) == ["device.replaced"]
    assert settled.events[0].details == {
        "former_id": mock_identity(1).id,
        "slot": f"S-{A}",
        "asset_id": "A-9",
    }
    assert inventory.by_id(mock_identity(1).id) is None
    assert settled.device.location.slot == f"S-{A}"


async def test_where_no_place_is_known_the_event_does_not_invent_one(inventory):
    inventory.settle(finding(A, 1), NOW)
    (event,) = inventory.settle(finding(A, 2), NOW).events
    assert set(event.details) == {"former_id"}


async def test_identified(inventory):
    provisional = inventory.settle(finding(A, None), NOW).device
    settled = inventory.settle(finding(A, 1), NOW)
    assert names(settled) == ["device.identified"]
    assert settled.events[0].details == {"former_id": f"asic-at-{A}"}
    assert settled.displaced == (provisional,)
    assert inventory.by_id(provisional.id) is None


async def test_unconfirmed(inventory):
    inventory.settle(finding(A, 1), NOW)
    settled = inventory.settle(finding(A, None), NOW)
    assert names(settled) == ["device.unconfirmed"]
    assert settled.events[0].details == {"former_id": mock_identity(1).id}
    assert settled.device.id == f"asic-at-{A}"
    # The same machine is back to its own id, without a word of a replacement.
    assert names(inventory.settle(finding(A, 1), NOW)) == ["device.identified"]


async def test_a_swap_while_unconfirmed_is_a_replacement(inventory):
    inventory.settle(finding(A, 1), NOW)
    inventory.settle(finding(A, None), NOW)
    settled = inventory.settle(finding(A, 2), NOW)
    assert names(settled) == ["device.identified", "device.replaced"]
    assert settled.events[1].details["former_id"] == mock_identity(1).id


async def test_a_duplicate_gets_the_id_of_its_address_and_is_told_once(inventory):
    first = inventory.settle(finding(A, 1), NOW).device
    settled = inventory.as_duplicate(finding(B, 1), NOW)
    assert settled.device.id == f"asic-at-{B}"
    assert (settled.device.identity.mac, settled.device.identity.serial) == (None, None)
    assert names(settled)[-1] == "device.duplicate"
    assert settled.events[-1].details == {"claimed_id": first.id}
    assert inventory.by_id(first.id) is first
    assert not inventory.as_duplicate(finding(B, 1), NOW).events


async def test_provisional_machines_are_not_kept_for_the_next_start(inventory):
    inventory.settle(finding(A, None), NOW)
    assert not inventory.known


def restarted(*inventories: Inventory, backwards: bool = False) -> Inventory:
    """An inventory that took over what others knew, in any order."""
    found = [known for inventory in inventories for known in inventory.known.values()]
    fresh = Inventory(lambda *_: NOWHERE)
    for known in sorted(found, key=lambda each: each.identity.id, reverse=backwards):
        record = msgspec.msgpack.encode(known)
        fresh.remember(msgspec.msgpack.decode(record, type=Known))
    return fresh


async def test_across_a_restart_nothing_is_new(inventory):
    inventory.settle(finding(A, 1), NOW)
    fresh = restarted(inventory)
    assert len(fresh) == 0
    assert fresh.at(A) is None
    assert names(fresh.settle(finding(A, 1), NOW)) == []


async def test_replaced_and_moved_are_noticed_across_a_restart(inventory):
    inventory.settle(finding(A, 1), NOW)
    fresh = restarted(inventory)
    assert names(fresh.settle(finding(A, 2), NOW)) == ["device.replaced"]
    assert names(fresh.settle(finding(B, 1), NOW)) == ["device.moved"]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
async def test_a_swap_of_last_year_is_not_told_at_every_start(inventory, first, second, backwards):
    inventory.settle(finding(A, first), NOW)
    inventory.settle(finding(A, second), NOW + 5)
    fresh = restarted(inventory, backwards=backwards)
    assert names(fresh.settle(finding(A, second), NOW + 9)) == []
    third = restarted(inventory, backwards=backwards)
    assert names(third.settle(finding(A, first), NOW + 9)) == ["device.replaced"]


async def test_a_confirmation_does_not_make_a_stay_look_shorter(inventory):
    device = inventory.settle(finding(A, 1), NOW).device
    inventory.settle(finding(A, 1), NOW + 100)
    assert device.since == NOW == inventory.known[device.id].since


async def test_records_of_earlier_versions_are_read(inventory):
    old = msgspec.msgpack.encode({"identity": mock_identity(1), "address": A})
    inventory.remember(msgspec.msgpack.decode(old, type=Known))
    assert names(inventory.settle(finding(A, 1), NOW)) == []


@pytest.mark.parametrize(
    ("address", "subnet"), [("10.0.0.1", "10.0.0"), ("pci:0000:3b:00.0", "built in")]
)
async def test_who_stands_near_whom(inventory, address: str, subnet: str) -> None:
    assert inventory.settle(finding(address), NOW).device.subnet == subnet


async def test_one_that_is_forgotten_is_found_anew(inventory):
    device = inventory.settle(finding(A), NOW).device
    assert inventory.forget(device.id) is device
    assert inventory.at(A) is inventory.by_id(device.id) is None
    assert (inventory.known, inventory.standing(), len(inventory)) == ({}, [], 0)
    assert names(inventory.settle(finding(A), NOW)) == ["device.found"]


async def test_one_that_stands_nowhere_is_forgotten_too(inventory):
    inventory.remember(Known(mock_identity(1), A, 1.0))
    assert inventory.forget(mock_identity(1).id) is None
    assert inventory.standing() == []
    assert inventory.forget("nobody") is None
