"""What a decoder knows of one chain of compact frames, row by row. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from agent.telemetry.frame import FORMS, Frame
from agent.telemetry.frame_check import (
    TIMES,
    BadFrame,
    count_of,
    path_of,
    shown,
    time_text,
    value_of,
)

PARTS_IN_FRAME = 500_000
DEVICES_LIMIT = 100_000
COLUMNS_LIMIT = 100_000
SHAPES_LIMIT = 1000

Row = dict[str, Any]


class Step(NamedTuple):
    """One row of a frame: whose it is, when it was taken, and what it changes."""

    device: int
    tick: int
    told: list[tuple[int, Any]]
    seq: int
    kind: int | None
    """The number of its shape, where it is a key row."""


class Known:
    """What is known of a device: its id, its shape, its last row and the values of its columns."""

    __slots__ = ("at_us", "device_id", "seq", "shape", "values")

    def __init__(self, device_id: str, shape: _Shape) -> None:
        self.device_id = device_id
        self.shape = shape
        self.values: dict[int, Any] = {}
        self.seq = 0
        self.at_us = 0


class _Shape:
    """The fields of a reading: those of scalars with None, of lists with nothing in them."""

    def __init__(self, fields: Sequence[Any]) -> None:
        self.blank: Row = {}
        self.lists: list[str] = []
        self.parts: dict[str, Row] = {}
        for field in fields:
            match field:
                case str():
                    self.blank[field] = None
                case [str(name)]:
                    self.lists.append(name)
                    self.blank[name] = None
                case [str(name), [*inner]] if all(type(each) is str for each in inner):
                    self.lists.append(name)
                    self.parts[name] = dict.fromkeys(inner)
                    self.blank[name] = None
                case _:
                    raise BadFrame("no shape")


class Chain:
    """One chain, as far as it is known.

    For each frame go through `steps` and `take` each of them; a device that has had its row
    can be shown by `row` until its next one is taken.
    """

    def __init__(self) -> None:
        self.devices: dict[int, Known] = {}
        self._ids: dict[int, str] = {}
        self._shapes: dict[int, _Shape] = {}
        self._columns: dict[int, tuple[str, int, str]] = {}
        self._head: Row = {}
        self._tick_us = 1
        self._parts_left = 0

    def steps(self, frame: Frame) -> Iterator[Step]:
        """The rows of the next frame, in order. Raises BadFrame."""
        self._introduce(frame)
        self._head = {"node": frame.node, "boot_id": frame.boot, "stream": frame.strm}
        self._tick_us = frame.tick
        self._parts_left = PARTS_IN_FRAME
        keys = dict(zip(accumulate(frame.keys), frame.kinds, strict=True))
        seqs = accumulate(frame.gaps or [1] * (len(frame.dev) - 1), initial=frame.seq)
        places = zip(
            accumulate(frame.dev), accumulate(frame.at), _cells_by_row(frame), seqs, strict=False
        )
        return (Step(*place, keys.get(index)) for index, place in enumerate(places))

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

    def take(self, step: Step) -> Known | None:
        """Bring a device up to its row; None where that cannot be known."""
        if step.kind is not None:
            self._begin(step.device, step.kind)
        known = self.devices.get(step.device)
        if known is None or not self._apply(known, step):
            self.devices.pop(step.device, None)
            return None
        known.seq = step.seq
        known.at_us = step.tick * self._tick_us
        return known

    def _begin(self, number: int, kind: int) -> None:
        """A key row: nothing from before it counts."""
        self.devices.pop(number, None)
        if number in self._ids and kind in self._shapes:
            self.devices[number] = Known(self._ids[number], self._shapes[kind])

    def _apply(self, known: Known, step: Step) -> bool:
        values, columns = known.values, self._columns
        for code, cell in step.told:
            column = code // FORMS
            if column not in columns:
                return False
            values[column] = value_of(
                code % FORMS, cell, values.get(column), step.tick, self._tick_us
            )
        return True

    def row(self, known: Known) -> Row:
        """The last reading of a device, whole. Raises BadFrame."""
        shape, columns = known.shape, self._columns
        fields = shape.blank.copy()
        lists: dict[str, list[Row]] = {}
        for column, value in known.values.items():
            name, index, field = columns[column]
            if type(value) in TIMES:
                value = shown(value, known.at_us)  # noqa: PLW2901
            if index >= 0:
                parts = lists.get(name)
                if parts is not None and index < len(parts):
                    parts[index][field] = value
            elif name in shape.parts:
                lists[name] = fields[name] = self._parts(shape.parts[name], value)
            elif name in fields:
                fields[name] = value
        for name in shape.lists:
            if fields[name] is None:
                fields[name] = []
        fields["device_id"] = known.device_id
        if fields.get("taken_at") is None:
            fields["taken_at"] = time_text(known.at_us)
        return {**self._head, "seq": known.seq, **fields}

    def _parts(self, blank: Row, value: Any) -> list[Row]:
        count = count_of(value, self._parts_left)
        self._parts_left -= count
        return [blank.copy() for _ in range(count)]


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
