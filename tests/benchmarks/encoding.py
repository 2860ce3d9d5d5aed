"""What telemetry costs: bytes per miner and poll on the wire, and CPU per reading, in each form.

10,000 machines of every type that the simulator has, read by their real drivers, gathered in
frames of half a second as the agent does it. A chain lasts half an hour: its first poll is
counted once, the later ones as often as they come.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from agent.mqtt.topics import Topics
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.forms import FORMS, Message
from drivers.model import Reading
from tests.benchmarks.near import START, NearSite

MACHINES = 10_000
POLLS = 4
FRAME_S = 0.5
JITTER_S = 0.02
CHAIN_S = 1800.0
BOOT = "039e7e18ac57"
TARGETS = {"json": 1500, "json-batch": 180, "compact": 25}


def run() -> None:
    """Print bytes and CPU for polls every 10 and every 60 seconds."""
    asyncio.run(_run())


async def _run() -> None:
    site = NearSite(MACHINES, every_type=True)
    await site.discover()
    print(f"{len(site.found)} machines, frames of {FRAME_S:g} s")
    for interval_s in (10.0, 60.0):
        figures = Figures()
        for poll in range(POLLS):
            figures.take([frame async for frame in _frames(site, interval_s, poll)], poll)
        figures.report(interval_s)


async def _frames(site: NearSite, interval_s: float, poll: int) -> AsyncIterator[list[Reading]]:
    """One poll of the site, spread over the interval, in the order in which answers come."""
    jitter = random.Random(poll)
    begin = START + 3600 * interval_s + poll * interval_s
    step_s = interval_s / len(site.found)
    due = sorted(
        (begin + at * step_s + site.delay_s(finding) + jitter.uniform(0, JITTER_S), at)
        for at, finding in enumerate(site.found)
    )
    frame: list[Reading] = []
    ends = begin + FRAME_S
    for when, at in due:
        if when >= ends:
            yield frame
            frame, ends = [], ends + FRAME_S
        frame.append(await site.read(site.found[at], when))
    yield frame


class Figures:
    """Bytes and CPU of each form, poll by poll."""

    def __init__(self) -> None:
        topics = Topics("site-1", "node-1")
        self._forms = {name: make(topics, BOOT) for name, make in FORMS.items()}
        self._encoders = {
            exact: ChainEncoder("node-1", BOOT, "telemetry", exact=exact) for exact in (True, False)
        }
        self._decoders = {exact: ChainDecoder() for exact in (True, False)}
        self._seq = 1
        self._readings: defaultdict[int, int] = defaultdict(int)
        self._bytes: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._cpu_s: defaultdict[tuple[str, int], float] = defaultdict(float)
        self._frames = 0

    def take(self, frames: list[list[Reading]], poll: int) -> None:
        """Encode one poll of the site in every form."""
        for readings in filter(None, frames):
            stored = {exact: self._stored(exact, readings, poll) for exact in (True, False)}
            for name, form in self._forms.items():
                frame = stored[form.exact]
                with self._measured(name, poll):
                    messages = form.live(readings, self._seq, frame)
                self._bytes[name, poll] += sum(map(on_wire, messages))
            self._seq += len(readings)
            self._readings[poll] += len(readings)
            self._frames += 1

    def _stored(self, exact: bool, readings: list[Reading], poll: int) -> bytes:
        name = "frame, exact" if exact else "frame"
        with self._measured(name, poll):
            frame = self._encoders[exact].encode(readings, self._seq)
        with self._measured(f"{name}, decoded", poll):
            rows = self._decoders[exact].decode(frame)
        assert len(rows) == len(readings)
        self._bytes[name, poll] += len(frame)
        return frame

    def _measured(self, name: str, poll: int) -> Timer:
        def add(passed_s: float) -> None:
            self._cpu_s[name, poll] += passed_s

        return Timer(add)

    def report(self, interval_s: float) -> None:
        """Print the means over a chain."""
        rows = sum(self._readings.values()) / self._frames
        print(f"\nevery {interval_s:g} s, {rows:.0f} readings in a frame")
        print(f"{'':22} {'B/miner/poll':>12} {'first poll':>11} {'later':>7} {'us/reading':>11}")
        names = dict.fromkeys(name for name, _ in self._cpu_s)
        for name in names:
            first = self._bytes[name, 0] / self._readings[0]
            later = self._mean(self._bytes, name)
            in_chain = CHAIN_S / interval_s
            mean = (first + (in_chain - 1) * later) / in_chain
            cpu_us = self._mean(self._cpu_s, name) * 1e6
            target = TARGETS.get(name)
            mark = f"  target {target}" + (", missed" if mean > target else "") if target else ""
            print(f"{name:22} {mean:12.1f} {first:11.1f} {later:7.1f} {cpu_us:11.1f}{mark}")
        print(end="", flush=True)

    def _mean(self, figures: defaultdict[tuple[str, int], Any], name: str) -> float:
        return sum(figures[name, poll] for poll in range(1, POLLS)) / sum(
            self._readings[poll] for poll in range(1, POLLS)
        )


class Timer:
    """Gives the CPU time of a block."""

    def __init__(self, add: Callable[[float], None]) -> None:
        self._add = add

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._add(time.process_time() - self._began)


def on_wire(message: Message) -> int:
    """Bytes of the PUBLISH: MQTT 5, QoS 1, no properties."""
    rest = 2 + len(message.topic) + 2 + 1 + len(message.payload)
    return 1 + sum(1 for _ in _length_bytes(rest)) + rest


def _length_bytes(length: int) -> Iterator[int]:
    while True:
        yield length & 127
        length >>= 7
        if not length:
            return
