"""A consumer's high-water marks: how far it has stored each boot of one stream.

`{"stored": {"<boot_id>": <seq>, ...}}` says that everything of that boot up to `seq` is on the
consumer's disk, or was told as lost by a gap record. Where marks are configured only they let
the spool forget; what the broker acknowledged waits here for its mark. Pure; the clock is
handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

FIRST_TIMEOUT_S = 60.0
LAST_TIMEOUT_S = 3600.0
SIZE_LIMIT = 262_144
BOOTS_LIMIT = 10_000
TORN_READINGS = 100_000
"""What an earlier boot may have sent beyond what it had on disk when the power went."""

PlaceKey: TypeAlias = tuple[str, int]
"""Where a frame lies: the segment and the frame's index in it."""


class BadMark(Exception):
    """A mark that is not obeyed, and why."""


class Mark(msgspec.Struct):
    """How far a consumer has a stream on its own disk. Other members are ignored."""

    stored: Annotated[
        dict[str, Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=BOOTS_LIMIT)
    ]
    """By `boot_id`: everything of the stream up to this `seq` is stored, or was told as lost."""


_decoder = msgspec.json.Decoder(Mark)


def parse_mark(payload: bytes) -> dict[str, int]:
    """The sequence number up to which each boot is stored; `BadMark` for anything else."""
    if len(payload) > SIZE_LIMIT:
        raise BadMark(f"{len(payload)} bytes")
    try:
        return _decoder.decode(payload).stored
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMark(str(error)) from error


class _Waiting(NamedTuple):
    last_seq: int
    place: PlaceKey


@dataclass(slots=True)
class _Boot:
    """What waits for the mark of one boot."""

    mark: int = 0
    waiting: list[_Waiting] = field(default_factory=list)  # a heap
    since: float = 0.0
    """When the mark last moved, or the first frame began to wait for it."""
    timeout_s: float = FIRST_TIMEOUT_S


class Marks:
    """The marks of one stream, and the frames that wait for them.

    `sent_up_to` says how far a boot can have been sent; None for a boot that nobody knows.
    """

    def __init__(
        self,
        sent_up_to: Callable[[str], int | None],
        monotonic: Callable[[], float],
        timeout_s: float = FIRST_TIMEOUT_S,
    ) -> None:
        self.refused = 0
        """Marks that were not obeyed."""
        self.waiting = 0
        """Frames that wait for their mark."""
        self._sent_up_to = sent_up_to
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._boots: dict[str, _Boot] = {}

    def passed(self, boot_id: str, last_seq: int) -> bool:
        """Whether the consumer has stored everything of this boot up to here."""
        boot = self._boots.get(boot_id)
        return boot is not None and last_seq <= boot.mark

    def wait(self, boot_id: str, last_seq: int, place: PlaceKey) -> None:
        """The broker has acknowledged a frame: it waits for its mark from now on."""
        boot = self._boot(boot_id)
        if not boot.waiting:
            boot.since = self._monotonic()
        heappush(boot.waiting, _Waiting(last_seq, place))
        self.waiting += 1

    def hear(self, payload: bytes) -> list[PlaceKey]:
        """Obey a mark; the frames that wait no longer. `BadMark`, counted, changes nothing."""
        try:
            marks = self._believable(parse_mark(payload))
        except BadMark:
            self.refused += 1
            raise
        return [place for boot_id, seq in marks.items() for place in self._move(boot_id, seq)]

    def _believable(self, marks: dict[str, int]) -> dict[str, int]:
        known: dict[str, int] = {}
        for boot_id, seq in marks.items():
            limit = self._sent_up_to(boot_id)
            if limit is None:
                continue  # of a boot that nothing is left of
            if seq > limit:
                raise BadMark(f"{boot_id[:40]}: {seq} is stored, and only {limit} was sent")
            known[boot_id] = seq
        return known

    def _move(self, boot_id: str, seq: int) -> list[PlaceKey]:
        boot = self._boot(boot_id)
        if seq <= boot.mark:
            return []
        boot.mark, boot.since = seq, self._monotonic()
        boot.timeout_s = self._timeout_s
        stored: list[PlaceKey] = []
        while boot.waiting and boot.waiting[0].last_seq <= seq:
            stored.append(heappop(boot.waiting).place)
        self.waiting -= len(stored)
        return stored

    def overdue(self) -> list[PlaceKey]:
        """Frames to be sent again: of the boots whose mark has not moved for too long."""
        late: list[PlaceKey] = []
        now = self._monotonic()
        for boot in self._boots.values():
            if boot.waiting and now - boot.since >= boot.timeout_s:
                boot.timeout_s = min(2 * boot.timeout_s, max(LAST_TIMEOUT_S, self._timeout_s))
                late += self._release(boot)
        return late

    def reconnected(self) -> list[PlaceKey]:
        """Frames to be sent again: all that wait, since the broker may have lost them."""
        return [place for boot in self._boots.values() for place in self._release(boot)]

    def _release(self, boot: _Boot) -> list[PlaceKey]:
        places = [waiting.place for waiting in boot.waiting]
        boot.waiting.clear()
        self.waiting -= len(places)
        return places

    def _boot(self, boot_id: str) -> _Boot:
        boot = self._boots.get(boot_id)
        if boot is None:
            boot = self._boots[boot_id] = _Boot(timeout_s=self._timeout_s)
        return boot
