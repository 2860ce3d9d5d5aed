"""A backlog brought to a real broker while live data go on, and what one live message costs.

Frames are of the size of compact ones; nothing on the way looks into them. `DRAIN_READINGS`
sets how many readings wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import uvloop

from agent.clock import SystemClock
from agent.config.schema import Mqtt
from agent.mqtt.events import Events, Message
from agent.mqtt.session import Session
from agent.mqtt.settings import SessionSettings
from agent.store.segment import Head, Record
from agent.store.spool import Spool
from agent.telemetry.courier import Courier
from agent.telemetry.forms import Message as Note
from agent.telemetry.history import Tell
from agent.telemetry.pace import Pace
from agent.telemetry.receipts import Receipts
from tests.broker import running

READINGS = int(os.environ.get("DRAIN_READINGS", "10_000_000"))
ROWS, ROW_BYTES = 1000, 20
LIVE_ROWS, LIVE_EVERY_S = 1500, 0.5
JSON_PER_FRAME, JSON_BYTES, JSON_S = 1500, 1400, 5.0
WAITING_BYTES = 8 << 20
STREAM, LIVE, HISTORY = "telemetry", "bench/live", "bench/hist"


class Stored:
    """Frames go as they lie in the spool."""

    frame_by_frame = True

    def begin(self) -> Tell:
        return self.tell

    def tell(self, record: Record) -> Sequence[Note]:
        return [Note(HISTORY, record.payload, record.seq, record.count)]


class Site:
    """A spool, a courier and a session to the broker."""

    def __init__(self, directory: Path, port: int, boot_id: str, epoch: int) -> None:
        clock = SystemClock()
        self.boot_id = boot_id
        self.spool = Spool(
            directory, limit_bytes=16 << 30, boot_id=boot_id, epoch=epoch, clock=clock
        )
        self.courier = Courier(
            self.spool,
            {STREAM: Stored()},
            Receipts(self.spool, boot_id, {}, clock.monotonic),
            Pace(clock.monotonic),
            boot_id=boot_id,
            monotonic=clock.monotonic,
            on_new_chain=lambda: self.spool.roll(STREAM),
            on_lost=lambda loss: print("lost:", loss),
        )
        self.session = session_to(port, self.courier.events(), "bench")
        self.courier.session = self.session
        self._seq = 0

    def append(self, rows: int, payload: bytes) -> tuple[Head, Callable[[list[Note]], None]]:
        """Put a frame into the spool; the second value offers it."""
        now = time.time()
        head = Head(self._seq + 1, self._seq + rows, rows, now, now)
        self._seq += rows
        place = self.spool.append(STREAM, head, payload)

        def offer(notes: list[Note]) -> None:
            self.courier.offer(STREAM, place, head, lambda: notes, len(payload))

        return head, offer

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        async with together(self.session.run(), self.courier.run()):
            while not self.session.connected:
                await asyncio.sleep(0.01)
            yield


def run() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with running(directory, "max_queued_messages 0", "log_type error") as broker:
            uvloop.run(_drain(directory / "drain", broker.port))
            uvloop.run(_live_json(directory / "json", broker.port))


async def _drain(directory: Path, port: int) -> None:
    await _fill(directory, port)
    site = Site(directory, port, "now", 2)
    lateness_s: list[float] = []

    def seen(message: Message) -> None:
        lateness_s.append(time.monotonic() - float(message.payload[:20]))

    watcher = session_to(port, Events(on_message=seen), "watcher")
    watcher.subscribe([LIVE])
    async with site.spool, together(watcher.run()), site.delivering():
        began, cpu = time.monotonic(), time.process_time()
        async with together(_live(site)):
            await _until_drained(site)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    lateness_s.sort()
    p99_s = lateness_s[int(0.99 * len(lateness_s))]
    print(
        f"{READINGS:,} readings ({ROW_BYTES} B each, {ROWS} a frame) in {took_s:.1f} s: "
        f"{READINGS / took_s:,.0f}/s\n"
        f"CPU, disk and live data included: {cpu_s / READINGS * 1e6:.2f} us a reading, "
        f"so {cpu_s / READINGS * 5e6:.1f} % of a core at 50,000/s\n"
        f"live frames beside it: {len(lateness_s)}, lateness "
        f"median {lateness_s[len(lateness_s) // 2] * 1e3:.1f} ms, "
        f"p99 {p99_s * 1e3:.1f} ms, max {lateness_s[-1] * 1e3:.1f} ms"
    )


async def _fill(directory: Path, port: int) -> None:
    """What an earlier run could not send."""
    site = Site(directory, port, "before", 1)
    payload = random.Random(1).randbytes(ROWS * ROW_BYTES)
    async with site.spool:
        for _ in range(READINGS // ROWS):
            if site.spool.wants_roll(STREAM):
                site.spool.roll(STREAM)
            site.append(ROWS, payload)
            while site.spool.stats().waiting_bytes > WAITING_BYTES:
                await asyncio.sleep(0.01)


async def _live(site: Site) -> None:
    filler = bytes(LIVE_ROWS * ROW_BYTES - 20)
    while True:
        payload = b"%020.6f" % time.monotonic() + filler
        head, offer = site.append(LIVE_ROWS, payload)
        offer([Note(LIVE, payload, head.seq, head.count)])
        await asyncio.sleep(LIVE_EVERY_S)


async def _until_drained(site: Site) -> None:
    while any(s.unsettled and s.boot_id == "before" for s in site.spool.segments(STREAM)):
        await asyncio.sleep(0.1)


async def _live_json(directory: Path, port: int) -> None:
    """Many small messages, as the JSON encoding makes them, at the rate of 3,000 a second."""
    site = Site(directory, port, "now", 1)
    payload, sent = bytes(JSON_BYTES), 0
    async with site.spool, site.delivering():
        began, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - began < JSON_S:
            head, offer = site.append(JSON_PER_FRAME, b"")
            offer([Note(LIVE, payload, seq, 1) for seq in range(head.seq, head.last_seq + 1)])
            sent += JSON_PER_FRAME
            await asyncio.sleep(LIVE_EVERY_S)
        await site.courier.drain(10)
        cpu_s = time.process_time() - cpu
    uplink = site.courier.uplink()
    print(
        f"live, a message of {JSON_BYTES} B for each reading: {sent} in {JSON_S:g} s, "
        f"{cpu_s / sent * 1e6:.1f} us of CPU each; left behind: {uplink.left_behind}"
    )


def session_to(port: int, events: Events, client_id: str) -> Session:
    settings = SessionSettings(mqtt=Mqtt(port=port), client_id=client_id, clean=True)
    return Session(settings, events, clock=SystemClock(), rng=random.Random(1))


@contextlib.asynccontextmanager
async def together(*work: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
