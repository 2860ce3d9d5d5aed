"""Ranges against a plain set of addresses."""

from ipaddress import IPv4Address, IPv4Network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.ranges import (
    OwnedRanges,
    RangeError,
    TooLarge,
    first_overlap,
    parse,
    parse_span,
)
from agent.config.schema import Range

BASE = int(IPv4Address("10.20.0.0"))
NUMBERS = st.integers(BASE, BASE + 2047)


def text_of(number: int) -> str:
    return str(IPv4Address(number))


@st.composite
def blocks(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A range as text and its addresses as a set, by another way than the code's."""
    if draw(st.booleans()):
        first, last = sorted((draw(NUMBERS), draw(NUMBERS)))
        return f"{text_of(first)} - {text_of(last)}", set(range(first, last + 1))
    network = IPv4Network((draw(NUMBERS), draw(st.integers(21, 32))), strict=False)
    return str(network), {int(host) for host in network.hosts()}


@st.composite
def holed(draw: st.DrawFn) -> tuple[str, list[str], set[int]]:
    text, kept = draw(blocks())
    whole = parse_span(text)
    inside = st.integers(whole.first, whole.last)
    holes = []
    for _ in range(draw(st.integers(0, 4))):
        first, last = sorted((draw(inside), draw(inside)))
        kept -= set(range(first, last + 1))
        holes.append(f"{text_of(first)}-{text_of(last)}")
    return text, holes, kept


@given(holed())
def test_a_range_is_its_addresses(case: tuple[str, list[str], set[int]]) -> None:
    text, holes, expected = case
    if not expected:
        with pytest.raises(RangeError, match="nothing is left"):
            parse(text, holes)
        return
    addresses = parse(text, holes)
    walked = list(addresses)
    assert len(addresses) == len(expected)
    assert len(walked) == len(set(walked))
    assert {int(IPv4Address(address)) for address in walked} == expected


@given(holed(), NUMBERS)
def test_membership_is_that_of_the_walk(case: tuple[str, list[str], set[int]], number: int) -> None:
    text, holes, expected = case
    if expected:
        assert (text_of(number) in parse(text, holes)) == (number in expected)


@given(holed())
def test_the_walk_takes_turns_among_subnets(case: tuple[str, list[str], set[int]]) -> None:
    text, holes, expected = case
    if not expected:
        return
    asked: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for number in expected:
        sizes[number >> 8] = sizes.get(number >> 8, 0) + 1
    for address in parse(text, holes):
        subnet = int(IPv4Address(address)) >> 8
        asked[subnet] = asked.get(subnet, 0) + 1
        # nobody is ahead by more than one of a subnet that still has addresses
        waiting = [asked.get(other, 0) for other in sizes if asked.get(other, 0) < sizes[other]]
        assert asked[subnet] <= min(waiting, default=asked[subnet]) + 1


@given(st.lists(blocks(), min_size=1, max_size=5))
def test_overlaps_are_found(cases: list[tuple[str, set[int]]]) -> None:
    found = first_overlap([parse(text) for text, _ in cases])
    different = set().union(*(numbers for _, numbers in cases))
    shared = sum(len(numbers) for _, numbers in cases) > len(different)
    assert (found is not None) == shared
    if found:
        one, other, span = found
        assert one < other
        assert set(range(span.first, span.last + 1)) <= cases[one][1] & cases[other][1]


@given(st.lists(blocks(), max_size=4), NUMBERS)
def test_the_owner_of_an_address(cases: list[tuple[str, set[int]]], number: int) -> None:
    if first_overlap([parse(text) for text, _ in cases]):
        return
    ranges = [Range(addresses=text) for text, _ in cases]
    owned = OwnedRanges(ranges)
    owners = [each for each, (_, numbers) in zip(ranges, cases, strict=True) if number in numbers]
    assert owned.find(text_of(number)) is (owners[0] if owners else None)
    walked = list(owned)
    assert len(walked) == len(owned) == sum(len(numbers) for _, numbers in cases)
    assert all(owned.find(address) is owner for owner, address in walked)


@given(st.text(max_size=30))
def test_any_text_is_a_range_or_an_error(text: str) -> None:
    try:
        words = f"{len(parse(text))} addresses"
    except RangeError as error:
        words = str(error)
    assert words.isprintable()


def test_two_halls_are_walked_together() -> None:
    owned = OwnedRanges([Range(addresses="10.1.0.0/30"), Range(addresses="10.2.0.0/30")])
    assert [address for _, address in owned] == ["10.1.0.1", "10.2.0.1", "10.1.0.2", "10.2.0.2"]


def test_a_large_range_starts_at_once() -> None:
    addresses = parse("10.0.0.0/13")
    assert len(addresses) == 524_286
    assert list(islice(addresses, 3)) == ["10.0.0.1", "10.0.1.0", "10.0.2.0"]


def test_exclusions_may_make_a_range_small_enough() -> None:
    with pytest.raises(TooLarge):
        parse("10.0.0.0/8")
    assert len(parse("10.0.0.0/8", ["10.8.0.0-10.255.255.255"])) == (1 << 19) - 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10.0.0.5/24", "did you mean 10.0.0.0/24?"),
        ("10.0.0.0/0.0.0.255", "write the width as bits, such as /24"),
        ("10.0.0.0/33", "is not a network"),
        ("10.0.0.9-10.0.0.1", "ends before it begins"),
        ("010.0.0.1", "is not an IPv4 address"),
        ("::1", "looks like IPv6"),
        ("", "is not an IPv4 address"),
    ],
)
def test_slips_are_explained(text: str, problem: str) -> None:
    with pytest.raises(RangeError) as caught:
        parse(text)
    assert problem in str(caught.value)
