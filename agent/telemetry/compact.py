"""Readings as compact frames: only what changed, column by column. Pure.

The encoder keeps, of each device of the chain, what a decoder knows of it. A value is told
again when it has left its deadband around that, so that errors never add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import ne
from typing import Any

import msgspec
import zstandard

from agent.telemetry.cells import Cells, check_text, differences
from agent.telemetry.columns import Layout, Layouts, Unsound, shape_of, sound
from agent.telemetry.frame import VERSION, Frame, Start, microseconds
from drivers.model import Reading

LEVEL = 3
START_SLACK_S = 1.99
"""The deadband of a start, less what the rounding of `taken_at` and uptime may add."""
START_LIMIT_S = 1e11
_encoder = msgspec.msgpack.Encoder()
Form = tuple[type[msgspec.Struct], tuple[str, ...]]
"""A type of readings, and which of its lists are not there."""


class _Device:
    """What a decoder knows of a device."""

    __slots__ = ("kinds", "layout", "number", "numbers", "state")

    def __init__(self, number: int) -> None:
        self.number = number
        self.layout: Layout | None = None
        self.numbers: list[int] = []
        self.state: list[Any] = []
        self.kinds: tuple[type, ...] = ()


class ChainEncoder:
    """Makes the frames of one stream, chain after chain.

    With `exact` every change is told as it is; without, the deadbands of `columns` hold.
    """

    def __init__(
        self, node: str, boot_id: str, stream: str, *, exact: bool, thinned_s: int = 0
    ) -> None:
        self.exact = exact
        self._head: dict[str, Any] = {
            "node": node,
            "boot": boot_id,
            "strm": stream,
            "thin": thinned_s,
        }
        self._tick_us = 1 if exact else 1000
        self._layouts = Layouts()
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._kinds: dict[tuple[type, ...], tuple[type, ...]] = {}
        self._begun = False

    def begin(self, seq: int) -> None:
        """Begin a chain with the row of this number: a decoder needs nothing from before it."""
        self._begun = True
        self._chain = seq
        self._no = 0
        self._devices: dict[str, _Device] = {}
        self._shapes: dict[Form, int] = {}
        self._columns: dict[str, int] = {}
        self._numbers: dict[Layout, list[int]] = {}

    def encode(
        self, readings: Sequence[Reading], seq: int, seqs: Sequence[int] | None = None
    ) -> bytes:
        """The next frame of the chain: rows in order, numbered from `seq`, or by `seqs`.

        What no message can carry is set right as `columns.sound` does it.
        """
        if not self._begun:
            self.begin(seq)
        rows = _Rows(len(self._devices), len(self._shapes), Cells(self._columns, self._tick_us))
        for reading in readings:
            try:
                self._row(rows, reading)
            except (Unsound, OverflowError):
                self._row(rows, sound(reading))
            rows.cells.row += 1
        payload = _encoder.encode(self._frame(rows, seq, seqs))
        self._no += 1
        return self._compressor.compress(payload)

    def _row(self, rows: _Rows, reading: Reading) -> None:
        cells = rows.cells
        layout = self._layouts.of(reading)
        device = self._devices.get(reading.device_id) or self._new(reading.device_id)
        tick = microseconds(reading.taken_at) // self._tick_us
        cells.tick = tick
        values = layout.values(reading)
        bands = layout.bands
        if device.layout is not layout:
            self._key_row(rows, device, layout)
            bands = layout.no_bands  # what never changes then equals what is known of it
        if self.exact:
            which, bands = self._differing(device, values), layout.no_bands
        else:
            if layout.uptime:
                _tell_start(values, device.state, layout.uptime, tick * self._tick_us / 1e6)
            which = compress(layout.indices, map(ne, values, device.state))
        cells.tell(layout, device.numbers, device.state, values, which, bands)
        rows.devices.append(device.number)
        rows.ticks.append(tick)

    def _new(self, device_id: str) -> _Device:
        check_text(device_id)
        device = self._devices[device_id] = _Device(len(self._devices))
        return device

    def _key_row(self, rows: _Rows, device: _Device, layout: Layout) -> None:
        """Begin a device anew: its first row in the chain, or parts have come or gone."""
        device.layout = layout
        device.numbers = self._numbers.setdefault(layout, [-1] * len(layout.names))
        device.state = layout.blank.copy()
        device.kinds = ()
        rows.keys.append(rows.cells.row)
        rows.kinds.append(self._shapes.setdefault(layout.form, len(self._shapes)))
        for name, count in layout.counts.items():
            if count > 0:
                rows.cells.put(name, count)

    def _differing(self, device: _Device, values: list[Any]) -> Iterable[int]:
        """The columns that differ in value or in type: 1 is not written as 1.0 is."""
        kinds = tuple(map(type, values))
        which = compress(range(len(values)), map(ne, values, device.state))
        if kinds == device.kinds:
            return which
        former = device.kinds or (None,) * len(kinds)
        device.kinds = self._kinds.setdefault(kinds, kinds)
        other = compress(range(len(values)), map(ne, kinds, former))
        return sorted({*which, *other})

    def _frame(self, rows: _Rows, seq: int, seqs: Sequence[int] | None) -> Frame:
        return Frame(
            v=VERSION,
            **self._head,
            chain=self._chain,
            no=self._no,
            seq=seq,
            tick=self._tick_us,
            gaps=differences(seqs)[1:] if seqs is not None else [],
            dev=differences(rows.devices),
            at=differences(rows.ticks),
            keys=differences(rows.keys),
            kinds=rows.kinds,
            ids=(rows.known_devices, list(self._devices)[rows.known_devices :]),
            shapes=(
                rows.known_shapes,
                [shape_of(*form) for form in list(self._shapes)[rows.known_shapes :]],
            ),
            **rows.cells.members(),
        )


class _Rows:
    """The rows of the frame that is being made."""

    def __init__(self, known_devices: int, known_shapes: int, cells: Cells) -> None:
        self.known_devices = known_devices
        self.known_shapes = known_shapes
        self.cells = cells
        self.devices: list[int] = []
        self.ticks: list[int] = []
        self.keys: list[int] = []
        self.kinds: list[int] = []


def _tell_start(values: list[Any], state: list[Any], index: int, taken_s: float) -> None:
    """Put the start in the place of an uptime: that stays, while uptimes grow."""
    uptime_s = values[index]
    if uptime_s is None or not -START_LIMIT_S < uptime_s < START_LIMIT_S:
        return
    start_s, known = taken_s - uptime_s, state[index]
    near = type(known) is Start and -START_SLACK_S <= start_s - known <= START_SLACK_S
    values[index] = known if near else Start(round(start_s))
