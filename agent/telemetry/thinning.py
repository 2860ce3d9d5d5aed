"""Thins the frames of a segment: of each device the last reading in each period stays. Pure.

What stays is written exactly as it was decoded, as a chain of its own that holds whole readings.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from agent.telemetry.chain import Chain, Known, Row
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.frame import microseconds
from agent.telemetry.frame_check import SECOND_US, checked

HEAD = frozenset({"node", "boot_id", "stream", "seq"})
FRAME_ROWS = 1000


class ThinFrame(msgspec.Struct, frozen=True):
    """A frame of kept rows, and what a segment says of it without opening it."""

    payload: bytes
    seq: int
    last_seq: int
    count: int
    first_at: float
    last_at: float


class Thinner:
    """Fed the frames of one segment in order, gives frames of the rows that stay.

    A row stays when the next one of its device belongs to another period, so that no more is
    held than one frame. Frames may therefore overlap in their numbers.
    """

    def __init__(self, period_s: int) -> None:
        self.lost = 0
        """Rows that do not stay, those among them that could not be decoded."""
        self.lost_first_seq: int | None = None
        """The numbers between which they lie."""
        self.lost_last_seq: int | None = None
        self._period_s = period_s
        self._chain = Chain()
        self._next = 0
        self._encoder: ChainEncoder | None = None
        self._kept: list[Row] = []
        self._settled: set[int] = set()
        """Numbers of settled rows that are not judged yet."""

    def feed(self, payload: bytes, *, settled: bool = False) -> list[ThinFrame]:
        """Take the next frame of the segment; gives what is ready of the new one.

        Rows of a settled frame are where they belong: they neither stay nor are lost.
        Raises BadFrame: then count the frame as lost, and go on with the next.
        """
        frame = checked(payload)
        if frame.no != self._next:
            self._keep_all()
            self._chain = Chain()
        self._next = frame.no + 1
        for step in self._chain.steps(frame):
            former = self._chain.devices.get(step.device)
            if former is not None:
                at_us = step.tick * frame.tick
                self._judge(former, stays=self._period(former.at_us) != self._period(at_us))
            if settled:
                self._settled.add(step.seq)
            if self._chain.take(step) is None:
                self._judge_lost(step.seq)
        return self._ready(FRAME_ROWS)

    def finish(self) -> list[ThinFrame]:
        """The rest: the last row of each device stays."""
        self._keep_all()
        return self._ready(1)

    def _keep_all(self) -> None:
        for known in self._chain.devices.values():
            self._judge(known, stays=True)

    def _period(self, at_us: int) -> int:
        return at_us // (self._period_s * SECOND_US)

    def _judge(self, known: Known, *, stays: bool) -> None:
        if known.seq in self._settled:
            self._settled.discard(known.seq)
        elif stays:
            self._kept.append(self._chain.row(known))
        else:
            self.lose(known.seq, known.seq, 1)

    def _judge_lost(self, seq: int) -> None:
        if seq in self._settled:
            self._settled.discard(seq)
        else:
            self.lose(seq, seq, 1)

    def lose(self, first_seq: int, last_seq: int, count: int) -> None:
        """Count rows between two numbers as lost."""
        self.lost += count
        self.lost_first_seq = min(first_seq, self.lost_first_seq or first_seq)
        self.lost_last_seq = max(last_seq, self.lost_last_seq or last_seq)

    def _ready(self, least: int) -> list[ThinFrame]:
        frames = []
        while len(self._kept) >= least:
            rows, self._kept = self._kept[:FRAME_ROWS], self._kept[FRAME_ROWS:]
            frames.append(self._frame(sorted(rows, key=lambda row: row["seq"])))
        return frames

    def _frame(self, rows: list[Row]) -> ThinFrame:
        if self._encoder is None:
            self._encoder = ChainEncoder(
                *(rows[0][name] for name in ("node", "boot_id", "stream")),
                exact=True,
                thinned_s=self._period_s,
            )
        return _frame(self._encoder, rows)


def _frame(encoder: ChainEncoder, rows: list[Row]) -> ThinFrame:
    seqs = [row["seq"] for row in rows]
    readings = [_reading(row) for row in rows]
    times = [microseconds(reading.taken_at) / SECOND_US for reading in readings]
    return ThinFrame(
        payload=encoder.encode(readings, seqs[0], seqs),
        seq=seqs[0],
        last_seq=seqs[-1],
        count=len(seqs),
        first_at=min(times),
        last_at=max(times),
    )


def _reading(row: Row) -> Any:
    """A decoded row as a struct of its own fields, which need not be those of today's model."""
    fields = {name: value for name, value in row.items() if name not in HEAD}
    parts = {name: tuple(value[0]) for name, value in fields.items() if _is_parts(value)}
    for name, value in fields.items():
        if name in parts:
            part = _part(parts[name])
            fields[name] = tuple(part(**each) for each in value)
        elif type(value) is list:
            fields[name] = tuple(value)
    lists = tuple(name for name, value in fields.items() if type(value) is tuple)
    fields["taken_at"] = datetime.fromisoformat(fields["taken_at"])
    return _kind(tuple(fields), tuple(parts.items()), lists)(**fields)


def _is_parts(value: Any) -> bool:
    return type(value) is list and bool(value) and type(value[0]) is dict


@lru_cache(1024)
def _part(names: tuple[str, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Part", [(name, Any) for name in names])


@lru_cache(1024)
def _kind(
    names: tuple[str, ...], parts: tuple[tuple[str, tuple[str, ...]], ...], lists: tuple[str, ...]
) -> type[msgspec.Struct]:
    types: dict[str, Any] = dict.fromkeys(lists, tuple[Any, ...])
    types |= {name: tuple[_part(inner), ...] for name, inner in parts}  # type: ignore[misc]
    return msgspec.defstruct("Kept", [(name, types.get(name, Any)) for name in names])
