"""What stands around the real courier in a simulated outage: time, link, session, spool."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.mqtt.events import Outcome
from agent.store.segment import Head, Place, Record
from tests.fault.proxy import SEGMENT_BYTES, Shape

ACK_BYTES = 46
"""A PUBACK with the headers below it; hardly anything else comes down."""
READ_S = 0.002


class _Jumping(selectors.SelectSelector):
    """Does not wait: the clock jumps instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of the next thing planned."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class Way:
    """One direction of a link, as `tests.fault.proxy` makes it: when does what is sent arrive?"""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self._shape = shape
        self._rng = rng
        self._bytes_s = (shape.rate_bit_s or 1e12) / 8
        self._idle_at = self._in_order_at = 0.0

    def send(self, size: int, now: float) -> float:
        shape, rng = self._shape, self._rng
        self._idle_at = max(self._idle_at, now)
        while size > 0:
            part = min(size, SEGMENT_BYTES)
            size -= part
            self._idle_at += part / self._bytes_s
            at = self._idle_at + shape.latency_s
            if shape.loss and rng.random() < shape.loss:
                at += rng.uniform(*shape.timeout_s)
            self._in_order_at = max(self._in_order_at, at)
        return self._in_order_at


class ModelSession:
    """Sends over the link, and has each message acknowledged when the answer is back."""

    connected = True

    def __init__(
        self, shape: Shape, window: int, on_arrival: Callable[[str, bytes, float], None]
    ) -> None:
        rng = random.Random(1)
        self._up, self._down = Way(shape, rng), Way(shape, rng)
        self._window = window
        self._under_way = 0
        self._on_arrival = on_arrival
        self._loop = asyncio.get_running_loop()
        self.on_puback: Callable[[int], None] = lambda _token: None

    @property
    def window(self) -> int:
        return self._window - self._under_way

    def publish(self, topic: str, payload: bytes, *, token: int) -> Outcome:
        self._under_way += 1
        arrival = self._up.send(len(payload) + len(topic) + 8, self._loop.time())
        self._loop.call_at(arrival, self._on_arrival, topic, payload, arrival)
        self._loop.call_at(self._down.send(ACK_BYTES, arrival), self._answer, token)
        return Outcome.SENT

    def _answer(self, token: int) -> None:
        self._under_way -= 1
        self.on_puback(token)


@dataclass
class Chain:
    """A segment of the spool."""

    id: str
    boot_id: str
    epoch: int
    heads: list[Head] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)

    @property
    def first_seq(self) -> int:
        return self.heads[0].seq

    @property
    def last_seq(self) -> int:
        return self.heads[-1].last_seq

    @property
    def unsettled(self) -> int:
        return len(self.heads) - len(self.settled)


class ModelSpool:
    """Frames that are all alike, so many to a segment; a segment that is settled whole is gone."""

    def __init__(self, payload: bytes, readings: int, chain_frames: int) -> None:
        self.chains: dict[str, Chain] = {}
        self._payload = payload
        self._readings = readings
        self._chain_frames = chain_frames
        self._open: Chain | None = None
        self._seq = 0

    def roll(self) -> None:
        self._open = None

    def append(self, boot_id: str, epoch: int) -> tuple[Place, Head]:
        head = Head(self._seq + 1, self._seq + self._readings, self._readings, 0.0, 0.0)
        self._seq = head.last_seq
        chain = self._open
        if chain is None or len(chain.heads) >= self._chain_frames:
            chain = self._open = Chain(f"{epoch}.{head.seq:012}", boot_id, epoch)
            self.chains[chain.id] = chain
        chain.heads.append(head)
        return Place(chain.id, len(chain.heads) - 1), head

    def segments(self, _stream: str) -> Sequence[Chain]:
        return list(self.chains.values())

    def unsettled(self, segment_id: str, start: int = 0) -> Sequence[int]:
        chain = self.chains.get(segment_id)
        if chain is None:
            return []
        return [at for at in range(start, len(chain.heads)) if at not in chain.settled]

    def settle(self, segment_id: str, index: int) -> None:
        chain = self.chains.get(segment_id)
        if chain is not None:
            chain.settled.add(index)
            if not chain.unsettled and chain is not self._open:
                del self.chains[segment_id]

    async def read(self, segment_id: str, index: int, limit_bytes: int) -> Sequence[Record]:
        await asyncio.sleep(READ_S)
        chain = self.chains.get(segment_id)
        heads = [] if chain is None else chain.heads[index:]
        most = max(1, limit_bytes // len(self._payload))
        return [self._record(at, head) for at, head in enumerate(heads[:most], index)]

    def _record(self, index: int, head: Head) -> Record:
        times = head.first_at, head.last_at
        return Record(index, head.seq, head.last_seq, head.count, *times, self._payload)
