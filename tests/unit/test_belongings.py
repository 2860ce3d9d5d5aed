"""Where devices stand, by what is known of them."""

from __future__ import annotations

from agent.config.locations import Location, parse
from agent.config.logins import Logins
from agent.config.schema import Range
from agent.fleet.belongings import Belongings
from drivers.model import Identity, Kind

CSV = """device_id,address,node,rack,feed
,10.1.0.7,,R1,
asic-02:00:00:00:00:01,,,R2,2
,,edge-1,R3,
gpu-b,,,R4,
"""
GPU_A, GPU_B = (Identity(id=f"gpu-{name}", kind=Kind.GPU) for name in "ab")
MINER = Identity(id="asic-02:00:00:00:00:01", kind=Kind.ASIC, mac="02:00:00:00:00:01")


def belongings(node: str = "edge-1") -> Belongings:
    owner = Range(addresses="10.1.0.0/24", tags={"hall": "B", "feed": "9"})
    return Belongings(
        parse(CSV, "places.csv"),
        Logins(),
        lambda address: owner if address.startswith("10.") else None,
        node=node,
        built_in_tags={"hall": "G"},
    )


def test_gpus_stand_where_their_host_does() -> None:
    found = belongings().locate("pci:0000:1b:00.0", GPU_A)
    assert found == Location(rack="R3", tags={"hall": "G"})


def test_the_row_of_one_gpu_stands_alone() -> None:
    assert belongings().locate("pci:0000:1c:00.0", GPU_B).rack == "R4"


def test_gpus_of_a_host_that_no_row_names_have_their_tags() -> None:
    assert belongings("edge-2").locate("pci:0000:1b:00.0", GPU_A) == Location(tags={"hall": "G"})


def test_an_id_goes_before_an_address_with_the_tags_of_the_range_beneath() -> None:
    found = belongings().locate("10.1.0.7", MINER)
    assert found == Location(rack="R2", tags={"hall": "B", "feed": "2"})
    assert belongings().locate("10.1.0.7", None).rack == "R1"


def test_without_a_file_nothing_is_known_but_tags() -> None:
    bare = Belongings(None, Logins(), lambda _: None)
    assert bare.locate("10.1.0.7", MINER) == Location()
    assert bare.locate("pci:0000:1b:00.0", GPU_A) == Location()
