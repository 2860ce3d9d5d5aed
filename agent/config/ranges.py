"""Address ranges: parsed, counted, searched and walked without a list of their addresses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from itertools import chain, pairwise, repeat
from typing import NamedTuple, TypeVar

from agent.config.schema import Range

_T = TypeVar("_T")

MAX_ADDRESSES = 1_000_000
SUBNET_BITS = 8  # a sweep is spread over /24 networks


class RangeError(ValueError):
    """A range that can not be used; the text is a plain sentence."""


class TooLarge(RangeError):
    """More addresses than a site can mean."""


class Span(NamedTuple):
    """Consecutive addresses as numbers, both ends belong to it."""

    first: int
    last: int

    def __str__(self) -> str:
        first, last = dotted(self.first), dotted(self.last)
        return first if first == last else f"{first}-{last}"


class Addresses:
    """The addresses of one range: disjoint spans in ascending order."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = tuple(spans)
        self._firsts = [span.first for span in spans]

    def __len__(self) -> int:
        return sum(span.last - span.first + 1 for span in self.spans)

    def __contains__(self, address: object) -> bool:
        number = number_or_none(address)
        if number is None:
            return False
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self.spans[at].last

    def __iter__(self) -> Iterator[str]:
        """Every address once, in turn from each /24, so that no subnet is asked in a burst."""
        return (dotted(number) for number in _in_turn(list(self.by_subnet().values())))

    def by_subnet(self) -> dict[int, Iterator[int]]:
        """The addresses of each /24, by the number of that /24."""
        parts: dict[int, list[range]] = {}
        for span in self.spans:
            for subnet in range(span.first >> SUBNET_BITS, (span.last >> SUBNET_BITS) + 1):
                start = max(span.first, subnet << SUBNET_BITS)
                stop = min(span.last + 1, (subnet + 1) << SUBNET_BITS)
                parts.setdefault(subnet, []).append(range(start, stop))
        return {subnet: chain.from_iterable(pieces) for subnet, pieces in parts.items()}


class OwnedRanges:
    """All ranges of this node together: which one holds an address, and one common walk."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = tuple(ranges)
        self.addresses = tuple(parse(each.addresses, each.exclude) for each in ranges)
        spans = sorted(
            (span, at) for at, addresses in enumerate(self.addresses) for span in addresses.spans
        )
        self._spans = spans
        self._firsts = [span.first for span, _ in spans]

    def __len__(self) -> int:
        return sum(len(addresses) for addresses in self.addresses)

    def __iter__(self) -> Iterator[tuple[Range, str]]:
        """Every address with its range, in turn from each /24 of all ranges."""
        walks: list[Iterator[tuple[Range, int]]] = [
            zip(repeat(owner), numbers, strict=False)
            for owner, addresses in zip(self.ranges, self.addresses, strict=True)
            for numbers in addresses.by_subnet().values()
        ]
        return ((owner, dotted(number)) for owner, number in _in_turn(walks))

    def find(self, address: str) -> Range | None:
        """The range that holds an address, or None where this node does not own it."""
        number = number_or_none(address)
        if number is None:
            return None
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or number > self._spans[at][0].last:
            return None
        return self.ranges[self._spans[at][1]]


def parse(addresses: str, exclude: Sequence[str] = ()) -> Addresses:
    """The addresses of a range without the excluded ones; raises `RangeError`.

    The network and broadcast addresses of a block wider than /31 do not belong to it.
    """
    block = parse_span(addresses)
    holes = sorted(_inside(parse_span(text), block, text) for text in exclude)
    kept = Addresses(list(_without(_hosts(addresses, block), holes)))
    # 1 million is 33 times the largest site: more is a slip of the finger (/8 for /18)
    if len(kept) > MAX_ADDRESSES:
        raise TooLarge(f"{len(kept)} addresses, at most {MAX_ADDRESSES} are allowed")
    if not kept.spans:
        raise RangeError("nothing is left after the exclusions")
    return kept


def parse_span(text: str) -> Span:
    """All addresses of `10.1.0.0/16`, `10.1.2.10-10.1.3.20` or one address."""
    text = text.strip()
    if "/" in text:
        return _parse_block(text)
    first_text, dash, last_text = text.partition("-")
    first = _parse_address(first_text.strip())
    last = _parse_address(last_text.strip()) if dash else first
    if last < first:
        raise RangeError(f"{text!a} ends before it begins")
    return Span(first, last)


def first_overlap(ranges: Sequence[Addresses]) -> tuple[int, int, Span] | None:
    """The first addresses that two ranges share and the positions of the two, if any."""
    spans = sorted((span, at) for at, addresses in enumerate(ranges) for span in addresses.spans)
    for (span, at), (following, other) in pairwise(spans):
        if following.first <= span.last:
            shared = Span(following.first, min(span.last, following.last))
            return min(at, other), max(at, other), shared
    return None


def dotted(number: int) -> str:
    """An address in its usual form."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def number_or_none(address: object) -> int | None:
    """An IPv4 address as a number, or None where it is none."""
    try:
        return int(IPv4Address(address)) if isinstance(address, str | IPv4Address) else None
    except AddressValueError:
        return None


def _in_turn(walks: list[Iterator[_T]]) -> Iterator[_T]:
    while walks:
        unfinished = []
        for walk in walks:
            for item in walk:
                yield item
                unfinished.append(walk)
                break
        walks = unfinished


def _hosts(text: str, block: Span) -> Span:
    if "/" in text and block.last - block.first > 1:
        return Span(block.first + 1, block.last - 1)
    return block


def _without(whole: Span, holes: Sequence[Span]) -> Iterator[Span]:
    first = whole.first
    for hole in holes:
        if hole.first > first:
            yield Span(first, min(hole.first - 1, whole.last))
        first = max(first, hole.last + 1)
    if first <= whole.last:
        yield Span(first, whole.last)


def _inside(part: Span, whole: Span, text: str) -> Span:
    if part.first < whole.first or part.last > whole.last:
        raise RangeError(f"exclude {text!a} is not inside the range")
    return part


def _parse_block(text: str) -> Span:
    _refuse_ipv6(text)
    try:
        block = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise RangeError(f"{text!a} is not a network such as 10.1.0.0/16") from None
    address, _, prefix = text.partition("/")
    if not prefix.isascii() or not prefix.isdigit():
        # IPv4Network would read 10.0.0.0/0.0.0.255 as a host mask
        raise RangeError(f"{text!a}: write the width as bits, such as /{block.prefixlen}")
    if address != str(block.network_address):
        raise RangeError(f"{text!a} has bits set behind the network; did you mean {block}?")
    return Span(int(block.network_address), int(block.broadcast_address))


def _parse_address(text: str) -> int:
    _refuse_ipv6(text)
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        raise RangeError(f"{text!a} is not an IPv4 address") from None


def _refuse_ipv6(text: str) -> None:
    if ":" in text:
        raise RangeError(f"{text!a} looks like IPv6; only IPv4 ranges are supported")
