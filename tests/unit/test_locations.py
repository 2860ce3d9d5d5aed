"""The locations CSV: what applies to which device, and what is refused."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.locations import NOWHERE, Location, Locations, load, normal_mac, parse
from agent.errors import ConfigError

MAC = "02:aa:bb:cc:dd:ee"


def table(*rows: str, header: str = "address,mac,range,rack,slot") -> Locations:
    return parse("\n".join([header, *rows]), "places.csv")


def refusal(*rows: str, header: str = "address,mac,range,rack") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        table(*rows, header=header)
    assert "\n" not in str(caught.value)
    return caught.value


def test_every_column() -> None:
    header = "address,building,rack,row,slot,asset_id,customer,feed,Contract No"
    row = " 10.1.2.3 ,North,B7,2,14,A-0815,ACME,feed 3,K-77"
    assert table(row, header=header).find("10.1.2.3") == Location(
        building="North",
        rack="B7",
        row="2",
        slot="14",
        asset_id="A-0815",
        customer="ACME",
        tags={"feed": "feed 3", "Contract No": "K-77"},
    )


def test_empty_cells_say_nothing() -> None:
    assert table("10.1.2.3,,,,", "", ",,,,").find("10.1.2.3") == Location()


def test_the_most_specific_row_wins_and_stands_alone() -> None:
    places = table(
        ",,10.1.2.0/24,hall,",
        ",,10.1.2.10-10.1.2.20,row,",
        "10.1.2.15,,,rack,",
        f",{MAC},,,slot 9",
    )
    assert places.find("10.1.2.15", MAC) == Location(slot="slot 9")
    assert places.find("10.1.2.15", "02:00:00:00:00:01") == Location(rack="rack")
    assert places.find("10.1.2.15") == Location(rack="rack")
    assert places.find("10.1.2.16") == Location(rack="row")
    assert places.find("10.1.2.21") == Location(rack="hall")
    assert places.find(None, MAC) == Location(slot="slot 9")


@pytest.mark.parametrize("address", ["10.1.3.0", "fd00::1", "nonsense", "", None])
def test_nowhere(address: str | None) -> None:
    assert table(",,10.1.2.0/24,hall,").find(address, None) is NOWHERE


def test_no_rows_at_all() -> None:
    assert len(table()) == 0
    assert Locations().find("10.0.0.1", MAC) is NOWHERE


@pytest.mark.parametrize(
    "written",
    ["02:AA:bb:CC:dd:ee", "02-aa-bb-cc-dd-ee", "02aa.bbcc.ddee", "02AABBCCDDEE", " 02aabbccddee "],
)
def test_all_ways_to_write_a_mac(written: str) -> None:
    assert normal_mac(written) == MAC
    assert table(f",{written},,B7,").find(None, MAC).rack == "B7"
    assert table(f",{MAC},,B7,").find(None, written).rack == "B7"


@pytest.mark.parametrize(
    "text", ["", "02:aa:bb:cc:dd", "02:aa-bb:cc:dd:ee", "0g:aa:bb:cc:dd:ee", "02:aabb:ccdd:ee"]
)
def test_what_is_no_mac(text: str) -> None:
    assert normal_mac(text) is None


FAULTS = {
    "no key": (
        (",,,B7",),
        "line 2",
        "expected exactly one of device_id, mac, address, range, node; found none",
    ),
    "two keys": (
        (f"10.0.0.1,{MAC},,B7",),
        "line 2",
        "expected exactly one of device_id, mac, address, range, node; found mac and address",
    ),
    "bad mac": ((",xx,,B7",), "line 2, mac", "'xx' is not the MAC of a device"),
    "empty mac": (
        (",00-00-00-00-00-00,,B7",),
        "line 2, mac",
        "'00-00-00-00-00-00' is not the MAC of a device",
    ),
    "bad address": (("10.0.0,,,B7",), "line 2, address", "'10.0.0' is not an IPv4 address"),
    "bad range": (
        (",,10.0.0.1/24,B7",),
        "line 2, range",
        "'10.0.0.1/24' has bits set behind the network; did you mean 10.0.0.0/24?",
    ),
    "same address": (
        ("10.0.0.1,,,B7", "10.0.0.2,,,B7", "10.0.0.1,,,B8"),
        "line 4, address",
        "'10.0.0.1' stands in line 2 already",
    ),
    "same mac": (
        (f",{MAC},,B7", ",02AABBCCDDEE,,B8"),
        "line 3, mac",
        "'02AABBCCDDEE' stands in line 2 already",
    ),
    "same range": (
        (",,10.0.0.0/31,B7", ",,10.0.0.0-10.0.0.1,B8"),
        "line 3, range",
        "'10.0.0.0-10.0.0.1' stands in line 2 already",
    ),
    "ranges of one size": (
        (",,10.0.0.1-10.0.0.4,B7", ",,10.0.0.3-10.0.0.6,B8"),
        "line 3, range",
        "overlaps the range in line 2, and neither is the smaller one",
    ),
    "cells lost": (("10.0.0.1,,B7",), "line 2", "expected 4 cells, found 3"),
    "cells gained": (("10.0.0.1,,,B7,x",), "line 2", "expected 4 cells, found 5"),
}


@pytest.mark.parametrize(("rows", "key", "problem"), FAULTS.values(), ids=FAULTS)
def test_faults_name_their_line(rows: tuple[str, ...], key: str, problem: str) -> None:
    error = refusal(*rows)
    assert (error.where, error.key, error.problem) == ("places.csv", key, problem)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("", "expected a header with one of the columns device_id, mac, address, range, node"),
        (
            "rack,slot",
            "expected a header with one of the columns device_id, mac, address, range, node",
        ),
        ("address;rack", "columns are separated by ';', expected ','"),
        ("address,,rack", "column 2 has no name"),
        ("address,Rack,rack", "two columns are called 'rack'"),
    ],
)
def test_faults_of_the_header(header: str, problem: str) -> None:
    error = refusal(header=header)
    assert (error.key, error.problem) == ("line 1", problem)


def test_an_open_quote() -> None:
    assert refusal('10.0.0.1,,,"B7').problem.startswith("bad CSV: ")


def test_a_spreadsheet_s_file(tmp_path: Path) -> None:
    file = tmp_path / "places.csv"
    file.write_bytes(b'\xef\xbb\xbfAddress,RACK\r\n10.0.0.1,"B7, left"\r\n')
    assert load(file).find("10.0.0.1") == Location(rack="B7, left")


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"places\.csv: no such file"):
        load(tmp_path / "places.csv")
    (tmp_path / "latin.csv").write_bytes(b"address,rack\n10.0.0.1,S\xfcd\n")
    with pytest.raises(ConfigError, match=r"latin\.csv: line 2: not UTF-8 text"):
        load(tmp_path / "latin.csv")


SPANS = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(sorted)


@given(st.lists(SPANS, min_size=1, max_size=12, unique_by=tuple))
def test_the_smallest_range_wins(spans: list[list[int]]) -> None:
    rows = [f",,10.0.0.{first}-10.0.0.{last},{at}," for at, (first, last) in enumerate(spans)]

    def covering(number: int) -> list[tuple[int, int]]:
        return sorted(
            (last - first, at) for at, (first, last) in enumerate(spans) if first <= number <= last
        )

    fits = [covering(number) for number in range(256)]
    if any(len(fit) > 1 and fit[0][0] == fit[1][0] for fit in fits):
        with pytest.raises(ConfigError, match="neither is the smaller one"):
            table(*rows)
        return
    places = table(*rows)
    found = [places.find(f"10.0.0.{number}").rack for number in range(256)]
    assert found == [str(fit[0][1]) if fit else None for fit in fits]


def test_a_whole_site_is_looked_up_quickly() -> None:
    blocks = [f"10.{high}.{low}" for high in range(60) for low in range(250)]
    rows = [f",,{block}.0/25,{block}," for block in blocks]
    rows += [f",,{block}.128/25,{block}," for block in blocks]
    places = table(*rows)
    assert len(places) == 30_000
    started = time.process_time()
    for block in blocks:
        assert places.find(f"{block}.77", MAC).rack == block
    # 15,000 look-ups take some 0.05 s by bisection and 20 s by going through the ranges
    assert time.process_time() - started < 2


def test_a_device_by_its_id_and_all_that_is_built_into_a_host() -> None:
    places = table("gpu-1f,,B7", ",edge-1,B8", header="device_id,node,rack")
    assert places.of_id("gpu-1f") == Location(rack="B7")
    assert places.of_node("edge-1") == Location(rack="B8")
    assert (places.of_id("edge-1"), places.of_node("gpu-1f")) == (None, None)
    assert len(places) == 2


def test_an_id_that_stands_twice() -> None:
    error = refusal("gpu-1f,,B7", "gpu-1f,,B8", header="device_id,node,rack")
    assert error.problem == "'gpu-1f' stands in line 2 already"
