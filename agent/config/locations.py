"""Where devices stand: the operator's CSV, looked up by id, MAC, address, range or node."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from agent.config.files import read_text
from agent.config.ranges import RangeError, Span, number_or_none, parse_span
from agent.errors import ConfigError

_K = TypeVar("_K", str, int, Span)

KEYS = ("device_id", "mac", "address", "range", "node")
"""Each row has one of them, and the first that fits a device counts."""
_LISTED = ", ".join(KEYS)
PLACES = ("building", "rack", "row", "slot", "asset_id", "customer")

_PAIRS = re.compile(r"[0-9a-f]{2}([:-]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}")
_DOTTED = re.compile(r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A place and what the operator notes about it; None where the CSV says nothing."""

    building: str | None = None
    rack: str | None = None
    row: str | None = None
    slot: str | None = None
    asset_id: str | None = None
    customer: str | None = None
    tags: dict[str, str] = {}


NOWHERE = Location()


class _Segment(NamedTuple):
    span: Span
    location: Location


class _Row(NamedTuple):
    line: int
    span: Span
    location: Location


class Locations:
    """All rows of the CSV; the most specific one that fits a device applies, alone and whole."""

    def __init__(
        self,
        by_mac: dict[str, Location] | None = None,
        by_address: dict[int, Location] | None = None,
        segments: list[_Segment] | None = None,
        *,
        by_name: dict[tuple[str, str], Location] | None = None,
        rows: int = 0,
    ) -> None:
        self._rows = rows
        self._by_name = by_name or {}
        self._by_mac = by_mac or {}
        self._by_address = by_address or {}
        self._segments = segments or []
        self._firsts = [segment.span.first for segment in self._segments]

    def __len__(self) -> int:
        return self._rows

    def of_id(self, device_id: str) -> Location | None:
        """What the CSV says of this device by its id, as everybody publishes it."""
        return self._by_name.get(("device_id", device_id))

    def of_node(self, node: str) -> Location | None:
        """What it says of what is built into a host, by the name of its node."""
        return self._by_name.get(("node", node))

    def find(self, address: str | None, mac: str | None = None) -> Location:
        """The place of a device: by MAC, else by address, else by the smallest range."""
        if mac and (found := self._by_mac.get(normal_mac(mac) or "")):
            return found
        number = number_or_none(address)
        if number is None:
            return NOWHERE
        return self._by_address.get(number) or self._in_range(number)

    def _in_range(self, number: int) -> Location:
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or number > self._segments[at].span.last:
            return NOWHERE
        return self._segments[at].location


def load(file: Path) -> Locations:
    """The locations in a CSV file; raises `ConfigError` naming file and line."""
    return parse(read_text(file), str(file))


def parse(text: str, where: str) -> Locations:
    """The locations in the text of a CSV file called `where`; raises `ConfigError`."""
    reading = _Reading(where)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = reading.header(next(rows, []))
        for cells in rows:
            if any(cell.strip() for cell in cells):
                reading.row(rows.line_num, header, cells)
    except csv.Error as error:
        raise ConfigError(where, f"line {rows.line_num}", f"bad CSV: {error}") from None
    return reading.result()


def normal_mac(text: str) -> str | None:
    """A MAC with colons in lower case, from any usual way to write it; None if it is none."""
    lower = text.strip().lower()
    if not (_PAIRS.fullmatch(lower) or _DOTTED.fullmatch(lower)):
        return None
    digits = re.sub("[:.-]", "", lower)
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


class _Reading:
    """The rows read so far, and the line of each key for the complaint about its repetition."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._lines: dict[tuple[str, str | int | Span], int] = {}
        self._by_mac: dict[str, Location] = {}
        self._by_address: dict[int, Location] = {}
        self._ranges: list[_Row] = []
        self._by_name: dict[tuple[str, str], Location] = {}

    def header(self, cells: list[str]) -> list[str]:
        names = [_column(cell) for cell in cells]
        if len(names) == 1 and ";" in names[0]:
            raise self._error(1, "columns are separated by ';', expected ','")
        if not set(names) & set(KEYS):
            raise self._error(1, f"expected a header with one of the columns {_LISTED}")
        for at, name in enumerate(names):
            if not name:
                raise self._error(1, f"column {at + 1} has no name")
            if name in names[:at]:
                raise self._error(1, f"two columns are called {name!a}")
        return names

    def row(self, line: int, header: list[str], cells: list[str]) -> None:
        if len(cells) != len(header):
            raise self._error(line, f"expected {len(header)} cells, found {len(cells)}")
        given = {
            name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()
        }
        keys = [name for name in KEYS if name in given]
        if len(keys) != 1:
            found = " and ".join(keys) or "none"
            raise self._error(line, f"expected exactly one of {_LISTED}; found {found}")
        self._keep(line, keys[0], given.pop(keys[0]), _location(given))

    def _keep(self, line: int, name: str, text: str, location: Location) -> None:
        match name:
            case "mac":
                self._by_mac[self._mac(line, text)] = location
            case "address":
                self._by_address[self._address(line, text)] = location
            case "device_id" | "node":
                self._by_name[name, self._first(line, name, text, text)] = location
            case _:
                self._ranges.append(_Row(line, self._range(line, text), location))

    def _mac(self, line: int, text: str) -> str:
        mac = normal_mac(text)
        if mac is None or mac == "00:00:00:00:00:00":
            raise self._error(line, f"{text!a} is not the MAC of a device", "mac")
        return self._first(line, "mac", mac, text)

    def _address(self, line: int, text: str) -> int:
        number = number_or_none(text)
        if number is None:
            raise self._error(line, f"{text!a} is not an IPv4 address", "address")
        return self._first(line, "address", number, text)

    def _range(self, line: int, text: str) -> Span:
        try:
            span = parse_span(text)
        except RangeError as error:
            raise self._error(line, str(error), "range") from None
        return self._first(line, "range", span, text)

    def _first(self, line: int, name: str, key: _K, text: str) -> _K:
        earlier = self._lines.setdefault((name, key), line)
        if earlier != line:
            raise self._error(line, f"{text!a} stands in line {earlier} already", name)
        return key

    def _error(self, line: int, problem: str, column: str = "") -> ConfigError:
        key = f"line {line}, {column}" if column else f"line {line}"
        return ConfigError(self._where, key, problem)

    def result(self) -> Locations:
        return Locations(
            self._by_mac,
            self._by_address,
            list(self._segments()),
            by_name=self._by_name,
            rows=len(self._lines),
        )

    def _segments(self) -> Iterator[_Segment]:
        """The ranges cut into disjoint pieces, each with the smallest range that covers it."""
        waiting = sorted(self._ranges, key=lambda row: row.span, reverse=True)
        cuts = sorted({end for _, span, _ in waiting for end in (span.first, span.last + 1)})
        covering: list[tuple[int, _Row]] = []
        for first, behind in pairwise(cuts):
            while waiting and waiting[-1].span.first == first:
                row = waiting.pop()
                heappush(covering, (row.span.last - row.span.first, row))
            if smallest := self._smallest(covering, first):
                yield _Segment(Span(first, behind - 1), smallest.location)

    def _smallest(self, covering: list[tuple[int, _Row]], first: int) -> _Row | None:
        _drop_ended(covering, first)
        if not covering:
            return None
        size, row = heappop(covering)
        _drop_ended(covering, first)
        if covering and covering[0][0] == size:
            line, other = sorted((row.line, covering[0][1].line))
            problem = f"overlaps the range in line {line}, and neither is the smaller one"
            raise self._error(other, problem, "range")
        heappush(covering, (size, row))
        return row


def _drop_ended(covering: list[tuple[int, _Row]], first: int) -> None:
    while covering and covering[0][1].span.last < first:
        heappop(covering)


def _column(cell: str) -> str:
    name = cell.strip()
    known = name.lower()
    return known if known in KEYS + PLACES else name


def _location(given: dict[str, str]) -> Location:
    places = {name: given.pop(name) for name in PLACES if name in given}
    return msgspec.convert({**places, "tags": given}, Location)
