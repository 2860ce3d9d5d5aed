"""Compact frames back into readings, as their JSON would show them. Pure.

What arrives may be anything: sizes are bounded before they are believed, and whatever is
not a frame is one error, `BadFrame`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from agent.telemetry.frame import FORMS, Frame
from agent.telemetry.frame_check import (
    BadFrame,
    checked,
    count_of,
    path_of,
    shown,
    time_text,
    value_of,
)

PARTS_IN_FRAME = 500_000
DEVICES_LIMIT = 100_000
COLUMNS_LIMIT = 100_000
SHAPES_LIMIT = 100
CHAINS_KEPT = 8
SOURCES_KEPT = 256

Row = dict[str, Any]
Source = tuple[str, str, str]
Place = tuple[int, int, int]
"""Thinning and first seq of a chain, and the frame that it needs next."""


class ChainDecoder:
    """Decodes the frames of any number of nodes, each chain in its order.

    A frame that does not follow the last one of its chain gives what can be known without it:
    rows of devices whose key row it holds. The others are left out and counted, until the next
    chain. Of each stream the last chains are kept, since live frames and history run side by
    side; a chain that is sent again from its first frame on is decoded again.
    """

    def __init__(self) -> None:
        self.unknown = 0
        """Rows that were left out."""
        self._sources: OrderedDict[Source, OrderedDict[Place, _Chain]] = OrderedDict()

    def decode(self, payload: bytes) -> list[Row]:
        """The readings of a frame, as `msgspec.json` would decode their JSON; BadFrame if none."""
        frame = checked(payload)
        chains = self._source((frame.node, frame.boot, frame.strm))
        chain = chains.pop((frame.thin, frame.chain, frame.no), None) or _Chain()
        rows = chain.decode(frame)
        self.unknown += len(frame.dev) - len(rows)
        if rows or chain.devices:
            chains[frame.thin, frame.chain, frame.no + 1] = chain
            _trim(chains, CHAINS_KEPT)
        return rows

    def _source(self, source: Source) -> OrderedDict[Place, _Chain]:
        chains = self._sources.setdefault(source, OrderedDict())
        self._sources.move_to_end(source)
        _trim(self._sources, SOURCES_KEPT)
        return chains


def _trim(kept: OrderedDict[Any, Any], limit: int) -> None:
    while len(kept) > limit:
        kept.popitem(last=False)


class _Known:
    """What is known of a device: its id, its shape, and the values of its columns."""

    __slots__ = ("device_id", "shape", "values")

    def __init__(self, device_id: str, shape: _Shape) -> None:
        self.device_id = device_id
        self.shape = shape
        self.values: dict[int, Any] = {}


class _Shape:
    """The fields of a reading: those of scalars with None, of lists with nothing in them."""

    def __init__(self, fields: Sequence[Any]) -> None:
        self.blank: Row = {}
        self.wholes: list[str] = []
        self.parts: dict[str, Row] = {}
        for field in fields:
            match field:
                case str():
                    self.blank[field] = None
                case [str(name)]:
                    self.wholes.append(name)
                    self.blank[name] = None
                case [str(name), [*inner]] if all(type(each) is str for each in inner):
                    self.parts[name] = dict.fromkeys(inner)
                    self.blank[name] = None
                case _:
                    raise BadFrame("no shape")


class _Chain:
    """One chain, as far as it is known."""

    def __init__(self) -> None:
        self.devices: dict[int, _Known] = {}
        self._ids: dict[int, str] = {}
        self._shapes: dict[int, _Shape] = {}
        self._columns: dict[int, tuple[str, int, str]] = {}

    def decode(self, frame: Frame) -> list[Row]:
        """The rows that can be known; the chain is then as after this frame."""
        self._introduce(frame)
        head = {"node": frame.node, "boot_id": frame.boot, "stream": frame.strm}
        keys = dict(zip(accumulate(frame.keys), frame.kinds, strict=True))
        cells = _cells_by_row(frame)
        parts_left = PARTS_IN_FRAME
        seqs = accumulate(frame.gaps or [1] * (len(frame.dev) - 1), initial=frame.seq)
        rows = []
        places = zip(seqs, accumulate(frame.dev), accumulate(frame.at), cells, strict=True)
        for index, (seq, number, tick, told) in enumerate(places):
            if index in keys:
                self._begin(number, keys[index])
            known = self.devices.get(number)
            if known is None or not self._apply(known, told, tick, frame.tick):
                self.devices.pop(number, None)
                continue
            row, parts = self._row(known, {**head, "seq": seq}, tick * frame.tick, parts_left)
            parts_left -= parts
            rows.append(row)
        return rows

    def _introduce(self, frame: Frame) -> None:
        self._ids.update(enumerate(frame.ids[1], frame.ids[0]))
        for number, fields in enumerate(frame.shapes[1], frame.shapes[0]):
            self._shapes[number] = _Shape(fields)
        for number, name in enumerate(frame.cols[1], frame.cols[0]):
            self._columns[number] = path_of(name)
        if (
            len(self._ids) > DEVICES_LIMIT
            or len(self._columns) > COLUMNS_LIMIT
            or len(self._shapes) > SHAPES_LIMIT
        ):
            raise BadFrame("more devices or columns than any chain has")

    def _begin(self, number: int, kind: int) -> None:
        """A key row: nothing from before it counts."""
        self.devices.pop(number, None)
        if number in self._ids and kind in self._shapes:
            self.devices[number] = _Known(self._ids[number], self._shapes[kind])

    def _apply(self, known: _Known, told: list[tuple[int, Any]], tick: int, tick_us: int) -> bool:
        """Bring a device up to its row; False where a column is not known."""
        values, columns = known.values, self._columns
        for code, cell in told:
            column = code // FORMS
            if column not in columns:
                return False
            values[column] = value_of(code % FORMS, cell, values.get(column), tick, tick_us)
        return True

    def _row(self, known: _Known, row: Row, at_us: int, parts_left: int) -> tuple[Row, int]:
        """The whole reading of a device, and how many parts it has."""
        shape, columns, made = known.shape, self._columns, 0
        fields = shape.blank.copy()
        for column, value in known.values.items():
            name, index, field = columns[column]
            if index >= 0:
                parts = fields.get(name)
                if type(parts) is list and index < len(parts) and name in shape.parts:
                    parts[index][field] = shown(value, at_us)
            elif name in shape.parts:
                count = count_of(value, parts_left - made)
                made += count
                fields[name] = [shape.parts[name].copy() for _ in range(count)]
            elif name in fields:
                fields[name] = shown(value, at_us)
        for name in (*shape.wholes, *shape.parts):
            if fields[name] is None:
                fields[name] = []
        fields["device_id"] = known.device_id
        if fields.get("taken_at") is None:
            fields["taken_at"] = time_text(at_us)
        row.update(fields)
        return row, made


def _cells_by_row(frame: Frame) -> list[list[tuple[int, Any]]]:
    cells: list[list[tuple[int, Any]]] = [[] for _ in frame.dev]
    begin = 0
    for code, many in zip(accumulate(frame.code), frame.many, strict=True):
        end = begin + many
        for row, cell in zip(accumulate(frame.row[begin:end]), frame.val[begin:end], strict=True):
            if not 0 <= row < len(cells):
                raise BadFrame("a value beyond the rows")
            cells[row].append((code, cell))
        begin = end
    return cells
