"""Statements (status, inventory, summaries) that wait for the broker: of each topic the newest.

A message stays here until the broker has acknowledged it. Readings and events have a way of their
own (`courier`).

A broker that hangs up upon one particular message would get it again upon every connection.
A letter that saw two connections lost therefore travels alone, so that the next loss shows
whose fault it was, and one that is to blame for five in a row is given up.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

ALONE_AFTER_LOSSES = 2
POISON_AFTER_LOSSES = 5
STATEMENT = "statement"
POISON = "poison"
"""The reason under which `Outbox.dropped` counts what brokers hang up upon."""
MUTE_S = 900.0
"""How long a statement that was poison is not put again: every connection repeats them all."""


class Letter(msgspec.Struct, gc=False):
    """One message on its way."""

    topic: str
    payload: bytes
    losses: int = 0
    """Connections that were lost while it was under way."""
    blamed: int = 0
    """Those of them, in a row up to the last, that had waited longest for it."""


class Outbox:
    """Letters that wait, and letters that are under way."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._statements: dict[str, Letter] = {}
        self._under_way: dict[int, Letter] = {}
        self._tokens = 0
        self._monotonic = monotonic
        self._muted_until: dict[str, float] = {}
        self.dropped: Counter[str] = Counter()
        """Letters lost since start: those that no broker will take, and the `POISON`."""

    def __len__(self) -> int:
        """Letters that wait to be sent."""
        return len(self._statements)

    @property
    def under_way(self) -> int:
        """Letters that are sent and not acknowledged."""
        return len(self._under_way)

    def state(self, topic: str, payload: bytes) -> None:
        """Put a retained statement; an older one of the same topic that still waits is void."""
        former = self._statements.pop(topic, None)
        if self._muted_until.get(topic, 0.0) > self._monotonic():
            self.dropped[POISON] += 1
            return
        letter = Letter(topic, payload)
        if former is not None:  # the broker may mind the topic, not the content
            letter.losses, letter.blamed = former.losses, former.blamed
        self._statements[topic] = letter

    def take(self) -> tuple[int, Letter] | None:
        """The next letter that may go now, and its token; it is under way from now on."""
        letter = next(iter(self._statements.values()), None)
        if letter is None or self._must_wait(letter):
            return None
        del self._statements[letter.topic]
        self._tokens += 1
        self._under_way[self._tokens] = letter
        return self._tokens, letter

    def _must_wait(self, letter: Letter) -> bool:
        ahead = next(iter(self._under_way.values()), None)
        return ahead is not None and max(ahead.losses, letter.losses) >= ALONE_AFTER_LOSSES

    def arrived(self, token: int) -> None:
        """The broker has acknowledged a letter."""
        self._under_way.pop(token, None)

    def put_back(self, tokens: Sequence[int]) -> None:
        """These letters, oldest first, were not acknowledged: they go first, in their order."""
        statements: dict[str, Letter] = {}
        for token in reversed(tokens):
            letter = self._under_way.pop(token, None)
            if letter is None:
                continue
            newer = self._statements.get(letter.topic) or statements.setdefault(
                letter.topic, letter
            )
            newer.losses = max(newer.losses, letter.losses)
            newer.blamed = max(newer.blamed, letter.blamed)
        self._statements = dict(reversed(statements.items())) | self._statements

    def lost(self, tokens: Sequence[int]) -> Letter | None:
        """A connection was lost with these letters, oldest first, unacknowledged.

        They go back, save one that is to blame too often: that is given up and returned.
        """
        oldest, poison = True, None
        for token in tokens:
            letter = self._under_way.get(token)
            if letter is None:
                continue
            letter.losses += 1
            letter.blamed = letter.blamed + 1 if oldest else 0
            oldest = False
            if letter.blamed >= POISON_AFTER_LOSSES:
                poison = self._give_up(token)
        self.put_back(tokens)
        return poison

    def _give_up(self, token: int) -> Letter:
        letter = self._under_way.pop(token)
        self.dropped[POISON] += 1
        self._muted_until[letter.topic] = self._monotonic() + MUTE_S
        return letter

    def discard(self, token: int) -> None:
        """Give a letter up that no broker will take; counted."""
        letter = self._under_way.pop(token, None)
        if letter is not None:
            self.dropped[STATEMENT] += 1
