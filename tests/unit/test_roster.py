"""Who else is at the site, and how many devices of theirs a command may mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.remote.claims import Target
from agent.remote.roster import MOST_NODES, UNKNOWN_SHARE, Roster

ONLINE = b'{"state":"online","node":"x","epoch":3,"serves":[],"unheard_of":{}}'
OFFLINE = b'{"state":"offline","epoch":3}'
COUNTS = {
    "kind": {"asic": 90, "gpu": 8},
    "make": {"Bitmain": 60, "bitmain": 5, "MicroBT": 25},
    "rack": {"B7": 84, "C1": 14},
}


def manifest(**changes: Any) -> bytes:
    said = {"boot_id": "b", "devices": 99, "pages": [], "counts": COUNTS, "uncounted": ["cable"]}
    return msgspec.json.encode({**said, **changes})


def site(*nodes: str) -> Roster:
    roster = Roster("here")
    for node in ("here", *nodes):
        roster.on_status(node, ONLINE)
        roster.on_manifest(node, manifest())
    return roster


def test_the_other_nodes_are_those_that_are_online() -> None:
    roster = site("n2", "n1", "n3")
    roster.on_status("n3", OFFLINE)
    assert roster.others() == ["n1", "n2"]


def test_a_node_whose_status_is_cleared_is_forgotten_with_its_share() -> None:
    roster = site("n1")
    roster.on_status("n1", b"")
    assert roster.others() == []
    assert roster.most_elsewhere(Target(all=True), 0) == 0
    roster.on_status("n1", ONLINE)
    assert roster.silent() == ["n1"]


def test_a_late_will_of_an_earlier_start_does_not_count() -> None:
    roster = site("n1")
    roster.on_status("n1", b'{"state":"offline","epoch":2}')
    assert roster.others() == ["n1"]
    assert roster.ignored == {"outdated": 1}


def test_a_node_that_was_set_up_anew_is_there_with_its_first_epoch() -> None:
    roster = site("n1")
    roster.on_status("n1", OFFLINE)
    roster.on_status("n1", b'{"state":"online","epoch":1}')
    assert roster.others() == ["n1"]


@pytest.mark.parametrize(
    ("target", "most"),
    [
        (Target(all=True), 98),
        (Target(kind="asic"), 90),
        (Target(kind="ASIC", tags={"rack": "c1"}), 14),
        (Target(make="Bitmain"), 65),
        (Target(make=("bitmain", "BITMAIN", "MicroBT")), 90),
        (Target(tags={"rack": ("B7", "C1")}), 98),
        (Target(tags={"rack": "Z9"}), 0),
        (Target(tags={"hall": "3"}), 0),
        (Target(tags={"cable": "c17"}), 98),
        (Target(state="mining"), 98),
        (Target(state="mining", kind="gpu"), 8),
        (Target(tags={"slot": "4", "asset_id": "a", "site": "north", "address": "10.0.0.1"}), 98),
        (Target(tags={" kind ": "gpu"}), 8),
        (Target(tags={"kind": "gpu"}, kind="asic"), 90),
    ],
    ids=repr,
)
def test_each_condition_that_is_counted_bounds(target: Target, most: int) -> None:
    assert site("n1").most_elsewhere(target, 0) == most
    assert site("n1", "n2").most_elsewhere(target, 0) == 2 * most


def test_of_ids_those_that_are_not_here_may_be_elsewhere() -> None:
    ids = tuple(f"asic-{number}" for number in range(30))
    assert site("n1").most_elsewhere(Target(ids=(*ids, *ids)), 10) == 20
    assert site("n1").most_elsewhere(Target(ids=ids, kind="gpu"), 10) == 8
    assert site().most_elsewhere(Target(ids=ids), 10) == 0


def test_a_node_that_has_not_said_what_it_has_may_have_any_number() -> None:
    roster = site("n1")
    roster.on_status("n2", ONLINE)
    assert roster.silent() == ["n2"]
    assert roster.most_elsewhere(Target(kind="gpu"), 0) == UNKNOWN_SHARE + 8
    assert roster.most_elsewhere(Target(ids=("asic-1",)), 0) == 1


def test_a_node_that_counts_nothing_is_bounded_by_its_total() -> None:
    roster = site("n1")
    roster.on_manifest("n1", b'{"version":1,"devices":31,"pages":[]}')
    assert roster.most_elsewhere(Target(kind="gpu"), 0) == 31


def test_a_node_with_nothing_but_itself_has_no_device() -> None:
    roster = site("n1")
    roster.on_manifest("n1", manifest(devices=1, counts={}, uncounted=[]))
    assert roster.most_elsewhere(Target(all=True), 0) == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"[]",
        b'{"state":"perhaps"}',
        b'{"state":"online","epoch":"3"}',
        b'{"state":"online","epoch":-1}',
        b'{"state":"offline","epoch":null}',
        b"[" * 100_000,
        b'{"state":"online"}' + b" " * (1 << 20),
        "{'state': 'online'}".encode("utf-16"),
    ],
)
def test_what_is_no_status_changes_nothing(payload: bytes) -> None:
    roster = site("n1")
    roster.on_status("n1", payload)
    roster.on_status("n2", payload)
    assert roster.others() == ["n1"]
    assert roster.ignored == {"malformed": 2}


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        manifest(devices=-1),
        manifest(devices=1e9),
        manifest(counts=[]),
        manifest(counts={"kind": {"asic": "90"}}),
        manifest(counts={"kind": {"asic": -90}}),
        manifest(counts={"kind": {"asic": True}}),
        manifest(counts={"kind": {"asic": 10**30}}),
        manifest(uncounted=[1]),
    ],
)
def test_what_is_no_manifest_changes_nothing(payload: bytes) -> None:
    roster = site("n1")
    roster.on_manifest("n1", payload)
    assert roster.most_elsewhere(Target(all=True), 0) == 98
    assert roster.ignored == {"malformed": 1}


def test_a_broker_full_of_nodes_costs_no_more_than_a_thousand() -> None:
    roster = Roster("here")
    for number in range(MOST_NODES + 10):
        roster.on_status(f"n{number}", ONLINE)
        roster.on_manifest(f"n{number}", manifest())
    assert len(roster.others()) == MOST_NODES
    assert roster.ignored == {"too_many": 20}
    roster.on_status("n5", b"")
    roster.on_status("late", ONLINE)
    assert "late" in roster.others()


def test_manifests_without_end_do_not_fill_the_memory() -> None:
    roster = Roster("here")
    large = manifest(counts={"kind": {"asic": 1}, "x": {"v" * 900_000: 1}})
    for number in range(40):
        roster.on_status(f"n{number}", ONLINE)
        roster.on_manifest(f"n{number}", large)
    assert roster.ignored == {"too_much": len(roster.silent())}
    assert 10 < len(roster.silent()) < 40
    roster.on_manifest("n0", manifest())
    roster.on_manifest("n39", manifest())
    assert not {"n0", "n39"} & set(roster.silent())
    assert roster.most_elsewhere(Target(all=True), 0) >= UNKNOWN_SHARE


def test_a_name_that_no_node_has_is_not_taken() -> None:
    roster = Roster("here")
    roster.on_status("n" * 129, ONLINE)
    assert roster.others() == []
