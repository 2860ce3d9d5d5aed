"""What is under way: handed over, and not acknowledged yet.

A broker that hangs up upon one particular message would get it again upon every connection.
A message that saw two connections lost therefore travels alone, so that the next loss shows
whose fault it was, and one that is to blame for five in a row is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from agent.mqtt.failure import Cause
from agent.telemetry.forms import Message
from agent.telemetry.marks import PlaceKey
from agent.telemetry.parcel import Parcel

ALONE_AFTER_LOSSES = 2
POISON_AFTER_LOSSES = 5
SUSPECTS_LIMIT = 10_000
BLAMED = frozenset({Cause.CLOSED, Cause.PROTOCOL, Cause.STALLED})
"""What a message can bring about. A link that goes silent is not the fault of what it carried."""

NoteKey: TypeAlias = tuple[PlaceKey, int]
"""One message of a frame: where the frame lies, and the message's first number."""


class Letter(NamedTuple):
    """One message under way."""

    parcel: Parcel
    note: Message
    size: int
    sent_at: float

    @property
    def key(self) -> NoteKey:
        """Which message it is, whenever it travels again."""
        return self.parcel.place, self.note.first_seq


@dataclass(slots=True)
class _Suspicion:
    losses: int = 0
    """Connections that were lost while the message was under way."""
    blamed: int = 0
    """Those of them, in a row up to the last, that had waited longest for it."""


class Flight:
    """Messages by their tokens, live and history apart."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._live: dict[int, Letter] = {}
        self._history: dict[int, Letter] = {}
        self._suspects: dict[NoteKey, _Suspicion] = {}
        self._token = 0

    def __len__(self) -> int:
        """Messages under way."""
        return len(self._live) + len(self._history)

    @property
    def live(self) -> int:
        """Live messages under way."""
        return len(self._live)

    def next_token(self) -> int:
        """The token of the next message; `depart` takes it up."""
        return self._token + 1

    def depart(self, parcel: Parcel, note: Message) -> int:
        """A message was handed over with the next token; its size."""
        self._token += 1
        size = len(note.payload) + len(note.topic)
        side = self._history if parcel.history else self._live
        side[self._token] = Letter(parcel, note, size, self._monotonic())
        return size

    def land(self, token: int) -> Letter | None:
        """The broker has answered for a message; it is under way no longer."""
        letter = self._live.pop(token, None) or self._history.pop(token, None)
        if letter is not None and self._suspects:
            self._suspects.pop(letter.key, None)
        return letter

    def oldest_s(self, *, history: bool) -> float:
        """How long the oldest message of a kind is under way by now."""
        side = self._history if history else self._live
        oldest = next(iter(side.values()), None)
        return 0.0 if oldest is None else self._monotonic() - oldest.sent_at

    def behind(self, parcel: Parcel) -> list[Parcel]:
        """What is under way of a frame's chain, and comes after it."""
        chain, index = parcel.place
        letters = (*self._live.values(), *self._history.values())
        others = {id(letter.parcel): letter.parcel for letter in letters}.values()
        return [each for each in others if each.place[0] == chain and each.place[1] > index]

    # Messages that brokers hang up upon.

    @property
    def has_suspects(self) -> bool:
        """Whether any message is under suspicion, under way or not."""
        return bool(self._suspects)

    @property
    def suspect_under_way(self) -> bool:
        """Whether a message is under way that has to travel alone."""
        if not self._suspects or len(self) != 1:
            return False
        letter = next(iter((self._live or self._history).values()))
        return self.is_suspect(letter.parcel, letter.note)

    def is_suspect(self, parcel: Parcel, note: Message) -> bool:
        """Whether a message has to travel alone."""
        if not self._suspects:
            return False
        suspicion = self._suspects.get((parcel.place, note.first_seq))
        return suspicion is not None and suspicion.losses >= ALONE_AFTER_LOSSES

    def crash(self, cause: Cause) -> tuple[list[Letter], list[Letter]]:
        """The connection was lost: the messages that were under way, and those given up."""
        letters = sorted((self._live | self._history).items())
        self._live.clear()
        self._history.clear()
        lost = [letter for _, letter in letters]
        return lost, self._blame(lost) if cause in BLAMED else []

    def _blame(self, lost: Sequence[Letter]) -> list[Letter]:
        given_up: list[Letter] = []
        for order, letter in enumerate(lost):
            suspicion = self._suspects.setdefault(letter.key, _Suspicion())
            suspicion.losses += 1
            suspicion.blamed = suspicion.blamed + 1 if order == 0 else 0
            if suspicion.blamed >= POISON_AFTER_LOSSES:
                given_up.append(letter)
                del self._suspects[letter.key]
        while len(self._suspects) > SUSPECTS_LIMIT:
            del self._suspects[next(iter(self._suspects))]
        return given_up
