"""A day without the center, and how long it takes to catch up over a poor link: simulated in time.

Courier, history and pace are the real ones; spool, session and link are models, and the clock
jumps to whatever happens next. What is sent waits for its turn on the link, travels, and every
fiftieth segment comes a retransmission later, with all behind it. Such a link does not slow down
upon losses, as TCP's older rules do: the last scenario is what they would make of it.

`OUTAGE_HOURS` bounds how much is simulated; the rest is extrapolated.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace

from agent.store.segment import Head, Record
from agent.telemetry.courier import Courier
from agent.telemetry.forms import Message
from agent.telemetry.history import Tell
from agent.telemetry.pace import Pace
from agent.telemetry.parcel import Write
from agent.telemetry.receipts import Receipts
from tests.benchmarks.outage_model import ModelSession, ModelSpool, SimulatedLoop
from tests.fault.proxy import BAD_UPLINK, SEGMENT_BYTES, Shape

STREAM, LIVE, PART, HISTORY = "telemetry", "live", "part", "hist"
MINERS = 30_000
FRAME_S = 0.5
OUTAGE_S = 86_400
SEGMENT_LIMIT_BYTES = 16 << 20
SPOOL_LIMIT_BYTES = 8e9
KEYFRAME_INTERVAL_S = 1800
SETTLING_S = 60.0
"""Until then the pace still looks for the width of the link."""
LIMIT_S = float(os.environ.get("OUTAGE_HOURS", "3")) * 3600
MATHIS = 1.22
"""Segments per round trip, times the root of the loss rate, that TCP's older rules allow."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is delivered over which link."""

    name: str
    every_s: float
    wire_bytes: float
    """A reading on the wire."""
    spool_bytes: float
    """A reading in the spool."""
    parts: int = 1
    """Messages of a frame."""
    window: int = 20
    shape: Shape = BAD_UPLINK

    @property
    def link_bytes_s(self) -> float:
        return (self.shape.rate_bit_s or 0) / 8

    @property
    def live_bytes_s(self) -> float:
        return MINERS / self.every_s * self.wire_bytes

    @property
    def frame_readings(self) -> int:
        return int(MINERS / self.every_s * FRAME_S)

    @property
    def kept_s(self) -> float:
        """How much of the outage the spool keeps reading by reading."""
        spooled_bytes_s = MINERS / self.every_s * self.spool_bytes
        return min(OUTAGE_S, SPOOL_LIMIT_BYTES / spooled_bytes_s)

    @property
    def backlog_bytes(self) -> float:
        return self.kept_s * self.live_bytes_s

    @property
    def chain_frames(self) -> int:
        frame_bytes = self.frame_readings * self.spool_bytes
        return int(min(SEGMENT_LIMIT_BYTES / frame_bytes, KEYFRAME_INTERVAL_S / FRAME_S))


COMPACT_10 = Scenario(name="compact, every 10 s", every_s=10, wire_bytes=8.9, spool_bytes=8.9)
COMPACT_60 = Scenario(name="compact, every 60 s", every_s=60, wire_bytes=17, spool_bytes=17)
BATCH_10 = Scenario(
    name="json-batch, every 10 s", every_s=10, wire_bytes=119, spool_bytes=32, parts=3
)
BATCH_60 = Scenario(name="json-batch, every 60 s", every_s=60, wire_bytes=129, spool_bytes=40)
JSON_60 = Scenario(name="json, every 60 s", every_s=60, wire_bytes=1422, spool_bytes=40, parts=250)
JSON_10 = Scenario(name="json, every 10 s", every_s=10, wire_bytes=1450, spool_bytes=32, parts=1500)
OLD_TCP_BIT_S = 8 * MATHIS * SEGMENT_BYTES / (2 * BAD_UPLINK.latency_s) / BAD_UPLINK.loss**0.5
OLD_TCP = replace(BAD_UPLINK, rate_bit_s=OLD_TCP_BIT_S, loss=0.0)
SCENARIOS = [
    COMPACT_10,
    replace(COMPACT_10, window=200),
    COMPACT_60,
    BATCH_10,
    replace(BATCH_10, window=200),
    BATCH_60,
    JSON_60,
    JSON_10,
    replace(COMPACT_10, name=f"{COMPACT_10.name}; TCP that slows down", shape=OLD_TCP),
]


class Told:
    """Frames go as they lie there, in one message or several."""

    frame_by_frame = True

    def __init__(self, parts: int) -> None:
        self._parts = parts

    def begin(self) -> Tell:
        return lambda record: self.messages(HISTORY, HISTORY, record)

    def messages(self, topic: str, last_topic: str, record: Record) -> list[Message]:
        size, count = len(record.payload) // self._parts, record.count // self._parts
        payload = record.payload[:size]
        topics = [topic] * (self._parts - 1) + [last_topic]
        firsts = range(record.seq, record.last_seq + 1, count)
        return [Message(to, payload, seq, count) for to, seq in zip(topics, firsts, strict=False)]


class Node:
    """Has its connection back, with a backlog; and what the broker sees of it."""

    def __init__(self, scenario: Scenario) -> None:
        self.lateness_s: list[float] = []
        """Of live frames, from when they were taken until all of them was at the broker."""
        self.history_bytes = self.settled_bytes = 0
        """History that came, and how much of it while the pace was still looking."""
        self._scenario = scenario
        self._loop = asyncio.get_running_loop()
        self._payload = bytes(round(scenario.frame_readings * scenario.wire_bytes))
        self._spool = ModelSpool(self._payload, scenario.frame_readings, scenario.chain_frames)
        self._told = Told(scenario.parts)
        self.pace = Pace(self._loop.time)
        self.courier = Courier(
            self._spool,
            {STREAM: self._told},
            Receipts(self._spool, "now", {}, self._loop.time),
            self.pace,
            boot_id="now",
            monotonic=self._loop.time,
            on_new_chain=self._spool.roll,
            on_lost=lambda loss: print("lost:", loss),
        )

    async def deliver(self) -> float:
        """Deliver until the backlog is gone; how long that took, or the limit."""
        for _ in range(int(self._scenario.kept_s / FRAME_S)):
            self._spool.append("before", 1)
        self._spool.roll()
        events = self.courier.events()
        session = ModelSession(self._scenario.shape, self._scenario.window, self._arrived)
        session.on_puback = events.on_puback
        self.courier.session = session
        tasks = [asyncio.create_task(work) for work in (self.courier.run(), self._live())]
        events.on_connect()
        while self.left and self._loop.time() < LIMIT_S:
            await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._loop.time()

    @property
    def left(self) -> int:
        """Frames of the outage that the broker has not acknowledged."""
        chains = self._spool.chains.values()
        return sum(chain.unsettled for chain in chains if chain.boot_id == "before")

    async def _live(self) -> None:
        while True:
            place, head = self._spool.append("now", 2)
            stamp = b"%020.6f" % self._loop.time()
            payload = stamp + self._payload[len(stamp) :]
            self.courier.offer(STREAM, place, head, self._writing(head, payload), len(payload))
            await asyncio.sleep(FRAME_S)

    def _writing(self, head: Head, payload: bytes) -> Write:
        record = Record(0, head.seq, head.last_seq, head.count, 0.0, 0.0, payload)
        return lambda: self._told.messages(PART, LIVE, record)

    def _arrived(self, topic: str, payload: bytes, at: float) -> None:
        if topic == HISTORY:
            self.history_bytes += len(payload)
            if at < SETTLING_S:
                self.settled_bytes += len(payload)
        elif topic == LIVE:
            self.lateness_s.append(at - float(payload[:20]))


def run() -> None:
    for scenario in SCENARIOS:
        _print_arithmetic(scenario)
        if scenario.live_bytes_s < scenario.link_bytes_s:
            _simulate(scenario)
        else:
            print("  the link cannot carry it even without a backlog")


def _print_arithmetic(scenario: Scenario) -> None:
    link, live = scenario.link_bytes_s, scenario.live_bytes_s
    kept = scenario.backlog_bytes
    print(
        f"{scenario.name}, Receive Maximum {scenario.window}\n"
        f"  link {link / 1e3:.0f} kB/s, live {MINERS / scenario.every_s:.0f} readings/s of "
        f"{scenario.wire_bytes:g} B = {live / 1e3:.1f} kB/s ({live / link:.0%}); in full the spool "
        f"keeps {scenario.kept_s / 3600:.1f} h = {kept / 1e9:.2f} GB on the wire"
    )
    if live < link:
        share = min(0.5 * link, link - live)
        print(
            f"  half of the link, or what live leaves: {share / 1e3:.0f} kB/s, so at best "
            f"{kept / share / 3600:.2f} h"
        )


def _simulate(scenario: Scenario) -> None:
    began = time.process_time()
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        node, took_s, left = runner.run(_delivered(scenario))
    total = int(scenario.kept_s / FRAME_S)
    history_s = (node.history_bytes - node.settled_bytes) / (took_s - SETTLING_S)
    lateness = sorted(node.lateness_s)
    whole_s = took_s if not left else took_s + left / total * scenario.backlog_bytes / history_s
    print(
        f"  simulated {took_s / 3600:.2f} h ({time.process_time() - began:.0f} s of CPU): "
        + (f"{1 - left / total:.0%} drained, so " if left else "")
        + f"drained in {whole_s / 3600:.2f} h\n"
        f"  history {history_s / 1e3:.0f} kB/s, {history_s / scenario.link_bytes_s:.0%} of the link"
        f"; live lateness p50 {_at(lateness, 0.5):.2f} s, p99 {_at(lateness, 0.99):.2f} s, "
        f"max {lateness[-1]:.2f} s; {node.courier.uplink().left_behind} frames not live in time"
    )


def _at(values: list[float], part: float) -> float:
    return values[int(part * len(values))]


async def _delivered(scenario: Scenario) -> tuple[Node, float, int]:
    node = Node(scenario)
    took_s = await node.deliver()
    return node, took_s, node.left
