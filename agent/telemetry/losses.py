"""What delivery gives up: counted, told, and not tried again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from agent.store.ledger import Loss
from agent.store.shelf import EVENT
from agent.telemetry.flight import NoteKey
from agent.telemetry.forms import Message
from agent.telemetry.parcel import Parcel

log = logging.getLogger("stoker.courier")

POISON = "poison"
"""Connections were lost upon this message, again and again."""
TOO_LARGE = "too_large"
"""The broker takes no message of this size."""
REFUSED = "refused"
"""The broker says that the message itself is at fault."""
DAMAGED = "damaged"
"""The frame cannot be made into messages."""

OWN_FAULT = frozenset({0x90, 0x95, 0x99})
"""Topic name invalid, packet too large, payload format invalid: no repetition will help."""

REMEMBERED = 1000
"""Messages given up that are known again where their chain is sent anew."""


class Losses:
    """Takes what cannot be delivered. `on_lost` hears of each range of readings once."""

    def __init__(self, on_lost: Callable[[Loss], None]) -> None:
        self.dropped: Counter[str] = Counter()
        """Readings given up, by reason."""
        self._on_lost = on_lost
        self._given_up: dict[NoteKey, None] = {}

    def remain(self, parcel: Parcel) -> list[Message]:
        """The messages of a frame, without those given up before; raises what writing raises."""
        notes, given_up, place = parcel.write(), self._given_up, parcel.place
        if not given_up:
            return list(notes)
        return [note for note in notes if (place, note.first_seq) not in given_up]

    def lose(self, parcel: Parcel, note: Message, reason: str, detail: str = "") -> None:
        """Give one message up. The first for each reason is logged loudly: there may be many."""
        parcel.lost += 1
        self._given_up[parcel.place, note.first_seq] = None
        if len(self._given_up) > REMEMBERED:
            del self._given_up[next(iter(self._given_up))]
        whole = note.count == parcel.head.count
        last_seq = parcel.head.last_seq if whole else note.first_seq + note.count - 1
        level = logging.DEBUG if self.dropped[reason] else logging.ERROR
        log.log(level, "%s: %d given up, %s %s", note.topic, note.count, reason, detail)
        if reason == REFUSED and parcel.stream == EVENT:
            # To tell this by an event would be refused as well, and so on without an end.
            self.dropped[reason] += note.count
            return
        self._tell(parcel, (note.first_seq, last_seq), note.count, reason)

    def damaged(self, parcel: Parcel, lost: int) -> None:
        """So many readings of a frame can never be told."""
        level = logging.DEBUG if self.dropped[DAMAGED] else logging.ERROR
        log.log(level, "%s %d: %d readings cannot be told any more", *parcel.place, lost)
        self._tell(parcel, (parcel.head.seq, parcel.head.last_seq), lost, DAMAGED)

    def _tell(self, parcel: Parcel, span: tuple[int, int], lost: int, reason: str) -> None:
        self.dropped[reason] += lost
        self._on_lost(
            Loss(
                stream=parcel.stream,
                boot_id=parcel.boot_id,
                first_seq=span[0],
                last_seq=span[1],
                lost=lost,
                first_at=parcel.head.first_at,
                last_at=parcel.head.last_at,
                reason=reason,
            )
        )
