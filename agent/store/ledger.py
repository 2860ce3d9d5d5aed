"""What need not be kept any longer, and what was lost. Pure."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

_MAGIC = b"STOKDON1"
_BODY_AT = len(_MAGIC) + 4


class Reason(StrEnum):
    """Why readings were lost."""

    OVER_BOUND = "over_bound"
    DISK = "disk"
    DAMAGED = "damaged"
    TORN = "torn"


class Loss(msgspec.Struct, frozen=True):
    """Readings that are lost for good: all that had not been settled between two numbers."""

    stream: str
    boot_id: str
    first_seq: int
    last_seq: int
    lost: int
    first_at: float
    last_at: float
    reason: str
    """A `Reason`, or what the owner of the spool calls it."""


def _ignore(*_: object) -> None:
    pass


class SpoolEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The callbacks of the spool's owner, called in the event loop."""

    on_lost: Callable[[Loss], None] = _ignore
    on_trouble: Callable[[str], None] = _ignore
    """Nothing can be written any more, in the words of the system."""
    on_recovered: Callable[[], None] = _ignore
    """It can again."""


NOBODY = SpoolEvents()


class Ended(msgspec.Struct, frozen=True):
    """How far an earlier run had got in a stream, by what was found of it on disk."""

    stream: str
    boot_id: str
    epoch: int
    last_seq: int
    torn_bytes: int


class Settled:
    """Which frames of a segment are settled: all below `upto`, and some beyond."""

    __slots__ = ("beyond", "upto")

    def __init__(self) -> None:
        self.upto = 0
        self.beyond: set[int] = set()

    def __contains__(self, index: int) -> bool:
        return index < self.upto or index in self.beyond

    def __len__(self) -> int:
        return self.upto + len(self.beyond)

    def add(self, index: int) -> None:
        """Settle a frame; a second time changes nothing."""
        if index < self.upto:
            return
        self.beyond.add(index)
        while self.upto in self.beyond:
            self.beyond.remove(self.upto)
            self.upto += 1

    def cut(self, frames: int) -> None:
        """Forget all frames but the first so many."""
        self.upto = min(self.upto, frames)
        self.beyond = {index for index in self.beyond if index < frames}

    def open(self, start: int, stop: int) -> Iterator[int]:
        """The frames from `start` to before `stop` that are not settled."""
        return (at for at in range(max(start, self.upto), stop) if at not in self.beyond)

    def pack(self) -> bytes:
        """As bytes: `upto`, then begin and end of each run beyond."""
        numbers = array("I", [self.upto])
        for index in sorted(self.beyond):
            if len(numbers) > 1 and numbers[-1] == index:
                numbers[-1] += 1
            else:
                numbers.extend((index, index + 1))
        body = numbers.tobytes()
        return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack_settled(data: bytes, frames: int) -> Settled:
    """What `Settled.pack` wrote about a segment of so many frames; nothing where it is damaged."""
    settled = Settled()
    body = data[_BODY_AT:]
    crc = zlib.crc32(body).to_bytes(4, "little")
    if data[:_BODY_AT] != _MAGIC + crc or len(body) % 8 != 4:
        return settled
    numbers = array("I")
    numbers.frombytes(body)
    settled.upto = min(numbers[0], frames)
    for start, stop in zip(numbers[1::2], numbers[2::2], strict=True):
        settled.beyond.update(range(max(start, settled.upto), min(stop, frames)))
    return settled


class Losses:
    """Losses on their way to whoever tells them: neighbours become one, all are counted."""

    def __init__(self) -> None:
        self.by_reason: dict[str, int] = {}
        self._waiting: list[Loss] = []

    def add(self, loss: Loss) -> None:
        """Count a loss, and join it to the one before where it goes on from there."""
        self.by_reason[loss.reason] = self.by_reason.get(loss.reason, 0) + loss.lost
        if self._waiting and (joined := _joined(self._waiting[-1], loss)) is not None:
            self._waiting[-1] = joined
        else:
            self._waiting.append(loss)

    def take(self) -> list[Loss]:
        """What has not been told, in the order in which it was lost."""
        waiting, self._waiting = self._waiting, []
        return waiting


def _joined(before: Loss, after: Loss) -> Loss | None:
    same = (before.stream, before.boot_id, before.reason)
    if (
        same != (after.stream, after.boot_id, after.reason)
        or before.last_seq + 1 != after.first_seq
    ):
        return None
    return msgspec.structs.replace(
        before,
        last_seq=after.last_seq,
        lost=before.lost + after.lost,
        last_at=max(before.last_at, after.last_at),
    )
