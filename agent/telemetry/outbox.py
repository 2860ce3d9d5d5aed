"""What waits for the broker: bounded, in memory, with what matters more going first.

Statements (status, inventory, summaries) are kept by topic, the newest alone; events are
kept in order; telemetry is kept in order and loses its oldest over the bound, counted.
A message stays here until the broker has acknowledged it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from enum import StrEnum

import msgspec

EVENT_LIMIT = 10_000


class Priority(StrEnum):
    """What goes first."""

    STATEMENT = "statement"
    EVENT = "event"
    TELEMETRY = "telemetry"


class Letter(msgspec.Struct, gc=False):
    """One message on its way."""

    topic: str
    payload: bytes
    priority: Priority
    retain: bool = False


class Outbox:
    """Letters that wait, and letters that are under way."""

    def __init__(self, telemetry_limit: int) -> None:
        self._telemetry_limit = telemetry_limit
        self._statements: dict[str, Letter] = {}
        self._queues: dict[Priority, deque[Letter]] = {
            Priority.EVENT: deque(),
            Priority.TELEMETRY: deque(),
        }
        self._under_way: dict[int, Letter] = {}
        self._tokens = 0
        self.dropped: Counter[Priority] = Counter()
        """Letters lost to the bound, since start."""

    def __len__(self) -> int:
        """Letters that wait to be sent."""
        return len(self._statements) + sum(map(len, self._queues.values()))

    @property
    def under_way(self) -> int:
        """Letters that are sent and not acknowledged."""
        return len(self._under_way)

    def state(self, topic: str, payload: bytes) -> None:
        """Put a retained statement; an older one of the same topic that still waits is void."""
        self._statements.pop(topic, None)
        self._statements[topic] = Letter(topic, payload, Priority.STATEMENT, retain=True)

    def tell(self, topic: str, payload: bytes) -> None:
        """Put an event."""
        self._append(Letter(topic, payload, Priority.EVENT), EVENT_LIMIT)

    def report(self, topic: str, payload: bytes) -> None:
        """Put a reading."""
        self._append(Letter(topic, payload, Priority.TELEMETRY), self._telemetry_limit)

    def _append(self, letter: Letter, limit: int) -> None:
        queue = self._queues[letter.priority]
        if len(queue) >= limit:
            queue.popleft()
            self.dropped[letter.priority] += 1
        queue.append(letter)

    def take(self) -> tuple[int, Letter] | None:
        """The next letter and its token; it is under way from now on."""
        letter = self._next()
        if letter is None:
            return None
        self._tokens += 1
        self._under_way[self._tokens] = letter
        return self._tokens, letter

    def _next(self) -> Letter | None:
        if self._statements:
            return self._statements.pop(next(iter(self._statements)))
        for queue in self._queues.values():
            if queue:
                return queue.popleft()
        return None

    def arrived(self, token: int) -> None:
        """The broker has acknowledged a letter."""
        self._under_way.pop(token, None)

    def put_back(self, tokens: Sequence[int]) -> None:
        """These letters, oldest first, were not acknowledged: they go first, in their order.

        A consumer may see one twice; it knows it by its number.
        """
        for token in reversed(tokens):
            letter = self._under_way.pop(token, None)
            if letter is None:
                continue
            if letter.priority is Priority.STATEMENT:
                self._statements.setdefault(letter.topic, letter)
            else:
                self._queues[letter.priority].appendleft(letter)

    def discard(self, token: int) -> None:
        """Give a letter up that no broker will take; counted."""
        letter = self._under_way.pop(token, None)
        if letter is not None:
            self.dropped[letter.priority] += 1
