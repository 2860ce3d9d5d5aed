"""Letters, and the two ways in which they queue for the broker."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec


class Kind(enum.StrEnum):
    """What a letter is; the most urgent first."""

    STATEMENT = "statement"
    """Retained: the newest of a topic counts, and an older one that still waits is void."""
    REPLY = "reply"
    """Not retained: each counts, in its order."""
    PAGE = "page"
    """Retained like a statement, and large: it goes when nothing else waits."""


class Letter(msgspec.Struct, kw_only=True):
    """One message on its way."""

    topic: str
    payload: bytes
    kind: Kind
    expiry_s: int | None = None
    correlation: bytes | None = None
    arrived: Callable[[], None] | None = None
    losses: int = 0
    """Connections that were lost while it was under way."""
    blamed: int = 0
    """Those of them, in a row up to the last, that had waited longest for it."""

    @property
    def retain(self) -> bool:
        """Whether the broker keeps it for those who come later."""
        return self.kind is not Kind.REPLY

    def suspect_like(self, other: Letter) -> None:
        """Inherit the losses of another letter to the same topic, which may be to blame."""
        self.losses = max(self.losses, other.losses)
        self.blamed = max(self.blamed, other.blamed)


class Queue(Protocol):
    """Letters that wait."""

    def __len__(self) -> int:
        """How many."""
        ...

    def first(self) -> Letter | None:
        """The one whose turn it is."""
        ...

    def take_first(self) -> None:
        """Remove that one."""
        ...

    def put(self, letter: Letter) -> None:
        """Add a new one."""
        ...

    def put_back(self, letters: Sequence[Letter]) -> None:
        """Add letters, oldest first, that were taken and not delivered: they go first."""
        ...

    def remove(self, topic: str) -> int:
        """Remove all to this topic; how many they were."""
        ...


class Newest:
    """Of each topic only the newest waits."""

    def __init__(self) -> None:
        self._letters: dict[str, Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def first(self) -> Letter | None:
        """The one that waits longest."""
        return next(iter(self._letters.values()), None)

    def take_first(self) -> None:
        """Remove that one."""
        del self._letters[next(iter(self._letters))]

    def put(self, letter: Letter) -> None:
        """Add a letter in place of one to the same topic."""
        former = self._letters.pop(letter.topic, None)
        if former is not None:  # the broker may mind the topic, not the content
            letter.suspect_like(former)
        self._letters[letter.topic] = letter

    def put_back(self, letters: Sequence[Letter]) -> None:
        """Add those to whose topics nothing newer waits."""
        returned: dict[str, Letter] = {}
        for letter in reversed(letters):
            topic = letter.topic
            newer = self._letters.get(topic) or returned.setdefault(topic, letter)
            newer.suspect_like(letter)
        self._letters = dict(reversed(returned.items())) | self._letters

    def remove(self, topic: str) -> int:
        """Remove the one to this topic."""
        return 0 if self._letters.pop(topic, None) is None else 1


class InOrder:
    """All wait, but no more than `limit`."""

    def __init__(self, limit: int, on_overflow: Callable[[], None]) -> None:
        """`on_overflow` is called for each of the oldest that make room."""
        self._limit = limit
        self._on_overflow = on_overflow
        self._letters: deque[Letter] = deque()

    def __len__(self) -> int:
        return len(self._letters)

    def first(self) -> Letter | None:
        """The oldest."""
        return self._letters[0] if self._letters else None

    def take_first(self) -> None:
        """Remove that one."""
        self._letters.popleft()

    def put(self, letter: Letter) -> None:
        """Add a letter behind all others."""
        self._letters.append(letter)
        self._make_room()

    def put_back(self, letters: Sequence[Letter]) -> None:
        """Add letters before all others."""
        self._letters.extendleft(reversed(letters))
        self._make_room()

    def remove(self, topic: str) -> int:
        """Remove all to this topic."""
        before = len(self._letters)
        self._letters = deque(letter for letter in self._letters if letter.topic != topic)
        return before - len(self._letters)

    def _make_room(self) -> None:
        while len(self._letters) > self._limit:
            self._letters.popleft()
            self._on_overflow()
