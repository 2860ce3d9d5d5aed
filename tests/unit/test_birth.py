"""The inventory as retained pages."""

from __future__ import annotations

import hashlib

import msgspec

from agent.config.locations import Location
from agent.fleet.inventory import Inventory
from agent.telemetry.birth import PAGE_DEVICES, InventoryPages, entry
from agent.telemetry.messages import BoardEntry, Entry
from drivers.api import Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.probe import Finding
from tests.fakes import START, FakeClock


def shown(number: int, **changes: object) -> Entry:
    entry_ = Entry(identity=mock_identity(number), address=f"10.0.0.{number}", driver="mock")
    return msgspec.structs.replace(entry_, **changes)


def filled(count: int) -> InventoryPages:
    pages = InventoryPages()
    for number in range(count):
        pages.put(f"d{number}", shown(number))
    return pages


def numbers(pages: InventoryPages) -> list[int]:
    return [number for number, _ in pages.take_changed()]


def devices_on(content: bytes) -> list[str]:
    return [each["identity"]["id"] for each in msgspec.json.decode(content)["devices"]]


def test_pages_hold_500_devices_at_most():
    pages = filled(2 * PAGE_DEVICES + 1)
    sizes = [len(devices_on(content)) for _, content in pages.take_changed()]
    assert sizes == [PAGE_DEVICES, PAGE_DEVICES, 1]


def test_only_changed_pages_are_published_and_only_once():
    pages = filled(PAGE_DEVICES + 1)
    assert numbers(pages) == [0, 1]
    assert numbers(pages) == []
    pages.put("d3", shown(3, address="10.9.9.9"))
    assert numbers(pages) == [0]
    pages.put("d3", shown(3, address="10.9.9.9"))  # no news
    assert numbers(pages) == []
    assert pages.version == 2


def test_a_device_keeps_its_page():
    pages = filled(2 * PAGE_DEVICES)
    pages.take_changed()
    for number in range(5):
        pages.remove(f"d{number}")  # room on the first page
    pages.put(f"d{PAGE_DEVICES}", shown(PAGE_DEVICES, asset_id="a"))
    pages.put("d7", shown(7, asset_id="a"))
    found = dict(pages.take_changed())
    assert mock_identity(PAGE_DEVICES).id in devices_on(found[1])
    assert mock_identity(7).id in devices_on(found[0])


def test_room_that_became_free_is_used_before_a_new_page():
    pages = filled(2 * PAGE_DEVICES)
    pages.remove("d0")
    pages.put("new", shown(2000))
    pages.take_changed()
    assert len(pages.manifest("b").pages) == 2


def test_removed_devices_leave_their_page_and_the_count():
    pages = filled(3)
    pages.take_changed()
    pages.remove("d1")
    pages.remove("nobody")
    ((_, content),) = pages.take_changed()
    assert devices_on(content) == [mock_identity(0).id, mock_identity(2).id]
    assert pages.manifest("b").devices == 2


def test_the_hashes_of_the_manifest_are_those_of_the_payloads_last_published():
    pages = filled(PAGE_DEVICES + 3)
    published = dict(pages.take_changed())
    pages.put("d1", shown(1, asset_id="changed"))
    published |= dict(pages.take_changed())
    manifest = pages.manifest("b")
    assert manifest.version == 2
    assert manifest.devices == PAGE_DEVICES + 3
    assert {page.page: page.sha256 for page in manifest.pages} == {
        number: hashlib.sha256(content).hexdigest() for number, content in published.items()
    }
    assert [page.devices for page in manifest.pages] == [PAGE_DEVICES, 3]


def test_a_broker_that_forgot_gets_all_again():
    pages = filled(PAGE_DEVICES + 1)
    first = pages.take_changed()
    pages.all_again()
    assert pages.take_changed() == first


async def test_an_entry_shows_place_address_and_what_the_driver_can_do():
    place = Location(
        building="B", rack="R", row="4", slot="S", asset_id="A", customer="C", tags={"k": "v"}
    )
    inventory = Inventory(lambda *_: place)
    driver = MockMiner(mock_identity(1), FakeClock())
    finding = Finding(Endpoint("10.0.0.1"), "mock", driver, mock_identity(1), ())
    found = entry(inventory.settle(finding, START).device)
    assert found == Entry(
        identity=mock_identity(1),
        address="10.0.0.1",
        driver="mock",
        capabilities=MockMiner.latencies,
        asset_id="A",
        building="B",
        rack="R",
        row="4",
        slot="S",
        customer="C",
        tags={"k": "v"},
    )


def test_what_does_not_change_of_a_board_stands_in_the_inventory():
    pages = filled(2)
    pages.take_changed()
    boards = (BoardEntry("A", 76), BoardEntry(), BoardEntry("C", None))
    pages.note_boards("d1", boards)
    pages.note_boards("nobody", boards)
    ((_, content),) = pages.take_changed()
    found = msgspec.json.decode(content)["devices"]
    assert [each.get("boards") for each in found] == [
        None,
        [{"serial": "A", "chips_expected": 76}, {}, {"serial": "C"}],
    ]
