"""Whatever is meant on whatever fleets: a site never has more of it than the roster says."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.config.locations import Location
from agent.fleet.inventory import Device, Inventory
from agent.remote.claims import Target
from agent.remote.roster import Roster
from agent.remote.selecting import chosen
from agent.telemetry.birth import InventoryPages, entry
from drivers.api import Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.model import Kind
from drivers.probe import Finding
from tests.fakes import START, FakeClock

SITE = "north"
WORDS = ["B7", "b7", "C1", "straße", "STRASSE", "İ"]
word = st.sampled_from(WORDS)
maybe = st.none() | word
tags = st.dictionaries(st.sampled_from(["hall", "rack", "kind", "site", "cable"]), word, max_size=3)
place = st.builds(Location, rack=maybe, row=maybe, customer=maybe, slot=maybe, tags=tags)
described = st.tuples(
    place, st.sampled_from([Kind.ASIC, Kind.GPU]), maybe, maybe, st.sampled_from(["mock", "other"])
)
one_of = word | st.lists(word, min_size=1, max_size=3).map(tuple)
kinds = st.sampled_from(["asic", "GPU", ("asic", "gpu"), "pdu"])
KEYS = ["rack", "row", "hall", "cable", "customer", "slot", "driver", "kind", "site", "nowhere"]


@st.composite
def targets(draw: Any, ids: list[str]) -> Target:
    """What a sender may mean; `all` in every fourth case."""
    if draw(st.integers(0, 3)) == 0:
        return Target(all=True)
    some = st.lists(st.sampled_from(ids), max_size=6) if ids else st.just([])
    return Target(
        ids=tuple(draw(some)),
        tags=draw(st.dictionaries(st.sampled_from(KEYS), one_of | kinds, max_size=3)),
        kind=draw(st.none() | kinds),
        make=draw(st.none() | one_of),
        model=draw(st.none() | one_of),
    )


def fleet(number: int, members: list[Any]) -> Inventory:
    """The devices of one node."""
    found = iter([member[0] for member in members])
    inventory = Inventory(lambda _address, _mac: next(found))
    for index, (_, kind, make, model, driver) in enumerate(members):
        identity = msgspec.structs.replace(
            mock_identity(100 * number + index), kind=kind, make=make, model=model
        )
        endpoint = Endpoint(f"10.0.{number}.{index}")
        miner = MockMiner(identity, FakeClock())
        inventory.settle(Finding(endpoint, driver, miner, identity, ()), START)
    return inventory


def manifest(devices: Inventory) -> bytes:
    pages = InventoryPages()
    for device in devices:
        pages.put(device.id, entry(device))
    return msgspec.json.encode(pages.manifest("b"))


@given(st.lists(st.lists(described, max_size=8), min_size=1, max_size=4), st.data())
def test_the_bound_holds(members: list[list[Any]], data: st.DataObject) -> None:
    fleets = [fleet(number, each) for number, each in enumerate(members)]
    here, *elsewhere = fleets
    roster = Roster("n0")
    for number, devices in enumerate(fleets):
        roster.on_status(f"n{number}", b'{"state":"online"}')
        roster.on_manifest(f"n{number}", manifest(devices))
    ids = [device.id for devices in fleets for device in devices]
    target = data.draw(targets(ids))
    known = len(chosen(target, here, SITE))
    truth: list[Device] = [each for devices in elsewhere for each in chosen(target, devices, SITE)]
    assert roster.most_elsewhere(target, known) >= len(truth)


@given(st.lists(st.lists(described, max_size=8), min_size=1, max_size=4), word)
def test_of_one_condition_the_bound_is_the_truth(members: list[list[Any]], rack: str) -> None:
    fleets = [fleet(number, each) for number, each in enumerate(members)]
    roster = Roster("n0")
    for number, devices in enumerate(fleets):
        roster.on_status(f"n{number}", b'{"state":"online"}')
        roster.on_manifest(f"n{number}", manifest(devices))
    for target in (Target(tags={"rack": rack}), Target(all=True), Target(kind="gpu")):
        truth = sum(len(chosen(target, devices, SITE)) for devices in fleets[1:])
        assert roster.most_elsewhere(target, 0) == truth


@given(st.binary() | st.text().map(str.encode), st.text(max_size=4))
def test_whatever_stands_on_the_broker_is_survived(payload: bytes, node: str) -> None:
    roster = Roster("n0")
    roster.on_status(node, payload)
    roster.on_manifest(node, payload)
    assert roster.most_elsewhere(Target(all=True), 0) >= 0


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from(["online", "offline"]) | json_like,
            "epoch": json_like,
            "devices": st.integers() | json_like,
            "counts": st.dictionaries(st.sampled_from(["kind", "rack"]), json_like) | json_like,
            "uncounted": st.lists(st.text(max_size=3)) | json_like,
        },
    )
)
def test_manifests_of_any_form_bound_by_a_whole_number(said: dict[str, Any]) -> None:
    roster = Roster("n0")
    roster.on_status("n1", b'{"state":"online"}')
    roster.on_manifest("n1", msgspec.json.encode(said))
    assert isinstance(roster.most_elsewhere(Target(kind="asic", tags={"rack": "B7"}), 0), int)
