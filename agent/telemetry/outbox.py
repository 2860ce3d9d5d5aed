"""What the node says of itself and of commands, and what waits of it for the broker.

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

from agent.telemetry.letters import InOrder, Kind, Letter, Newest, Queue

ALONE_AFTER_LOSSES = 2
POISON_AFTER_LOSSES = 5
POISON = "poison"
"""The reason under which `Outbox.dropped` counts what brokers hang up upon."""
OVERFLOW = "overflow"
"""And replies that had to make room for newer ones."""
MUTE_S = 900.0
"""How long a topic that was poison is not written to: every connection repeats all statements."""
PAGES_AT_ONCE = 2
"""Pages under way: a statement that comes up waits behind so many at most."""
REPLIES_LIMIT = 1000


class Outbox:
    """Letters that wait, and letters that are under way.

    A topic is always used in the same way: two kinds of retained letters would overtake each
    other. `expiry_s` counts from the moment the broker has the message (MQTT 5 only).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queues: dict[Kind, Queue] = {
            Kind.STATEMENT: Newest(),
            Kind.REPLY: InOrder(REPLIES_LIMIT, self._overflow),
            Kind.PAGE: Newest(),
        }
        self._under_way: dict[int, Letter] = {}
        self._tokens = 0
        self._monotonic = monotonic
        self._muted_until: dict[str, float] = {}
        self.dropped: Counter[str] = Counter()
        """Letters lost since start: by `Kind` those that no broker takes, `POISON`, `OVERFLOW`."""

    def __len__(self) -> int:
        """Letters that wait to be sent."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def under_way(self) -> int:
        """Letters that are sent and not acknowledged."""
        return len(self._under_way)

    def state(
        self,
        topic: str,
        payload: bytes,
        *,
        expiry_s: int | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """Put a retained statement; an older one of the same topic that still waits is void.

        `arrived` is called once the broker has acknowledged this very statement, and never if it
        became void, was given up or was refused.
        """
        self._put(
            Letter(
                topic=topic,
                payload=payload,
                kind=Kind.STATEMENT,
                expiry_s=expiry_s,
                arrived=arrived,
            )
        )

    def page(
        self,
        topic: str,
        payload: bytes,
        *,
        expiry_s: int | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """Put a retained page, as `state` does; it goes when neither statement nor reply waits."""
        self._put(
            Letter(topic=topic, payload=payload, kind=Kind.PAGE, expiry_s=expiry_s, arrived=arrived)
        )

    def reply(
        self,
        topic: str,
        payload: bytes,
        *,
        correlation: bytes | None = None,
        expiry_s: int | None = None,
    ) -> None:
        """Put an answer to somebody: not retained, in its order, after the statements.

        Of more than `REPLIES_LIMIT` that wait the oldest are dropped.
        """
        self._put(
            Letter(
                topic=topic,
                payload=payload,
                kind=Kind.REPLY,
                expiry_s=expiry_s,
                correlation=correlation,
            )
        )

    def _put(self, letter: Letter) -> None:
        queue = self._queues[letter.kind]
        if self._muted_until.get(letter.topic, 0.0) > self._monotonic():
            queue.remove(letter.topic)
            self.dropped[POISON] += 1
        else:
            queue.put(letter)

    def take(self) -> tuple[int, Letter] | None:
        """The next letter that may go now, and its token; it is under way from now on."""
        for queue in self._queues.values():
            letter = queue.first()
            if letter is not None:
                return None if self._must_wait(letter) else self._send_off(queue, letter)
        return None

    def _send_off(self, queue: Queue, letter: Letter) -> tuple[int, Letter]:
        queue.take_first()
        self._tokens += 1
        self._under_way[self._tokens] = letter
        return self._tokens, letter

    def _must_wait(self, letter: Letter) -> bool:
        if letter.kind is Kind.PAGE and self._pages_under_way() >= PAGES_AT_ONCE:
            return True
        ahead = next(iter(self._under_way.values()), None)
        return ahead is not None and max(ahead.losses, letter.losses) >= ALONE_AFTER_LOSSES

    def _pages_under_way(self) -> int:
        return sum(letter.kind is Kind.PAGE for letter in self._under_way.values())

    def arrived(self, token: int) -> None:
        """The broker has acknowledged a letter; raises what its callback raises."""
        letter = self._under_way.pop(token, None)
        if letter is not None and letter.arrived is not None:
            letter.arrived()

    def put_back(self, tokens: Sequence[int]) -> None:
        """These letters, oldest first, were not acknowledged: they go first, in their order."""
        returned = [letter for token in tokens if (letter := self._under_way.pop(token, None))]
        for kind, queue in self._queues.items():
            queue.put_back([letter for letter in returned if letter.kind is kind])

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
        # Each of the replies behind it would cost as many connections.
        self.dropped[POISON] += self._queues[Kind.REPLY].remove(letter.topic)
        return letter

    def discard(self, token: int) -> Letter | None:
        """Give a letter up that no broker will take; counted."""
        letter = self._under_way.pop(token, None)
        if letter is not None:
            self.dropped[letter.kind.value] += 1
        return letter

    def _overflow(self) -> None:
        self.dropped[OVERFLOW] += 1
