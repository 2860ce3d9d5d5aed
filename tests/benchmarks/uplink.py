"""A backlog and live data over a poor link, for real: mosquitto behind a proxy that shapes.

5 Mbit/s, 200 ms there and back, 2 % loss; frames of the size that 30,000 miners make every 10 s in
compact form. What the broker got is seen by a subscriber on its side of the link.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import uvloop

from agent.mqtt.events import Events, Message
from agent.telemetry.forms import Message as Note
from tests.benchmarks.drain import HISTORY, LIVE, STREAM, Site, session_to, together
from tests.broker import running
from tests.fault.proxy import BAD_UPLINK, Proxy

ROWS, ROW_BYTES = 1500, 8.9
FRAME_BYTES = int(ROWS * ROW_BYTES)
FRAME_S = 0.5
BACKLOG_BYTES = 40_000_000
RUN_S = 60.0
LINK_BYTES_S = (BAD_UPLINK.rate_bit_s or 0) / 8


class Seen:
    """What arrived at the broker."""

    def __init__(self) -> None:
        self.lateness_s: list[float] = []
        self.history_bytes = 0

    def take(self, message: Message) -> None:
        if message.topic == HISTORY:
            self.history_bytes += len(message.payload)
        else:
            self.lateness_s.append(time.monotonic() - float(message.payload[:20]))


def run() -> None:
    for window in (20, 200):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            options = (f"max_inflight_messages {window}", "max_queued_messages 0")
            with (
                running(directory, *options, "log_type error") as broker,
                Proxy(broker.port, shape=BAD_UPLINK) as proxy,
            ):
                print(f"Receive Maximum {window}")
                uvloop.run(_deliver(directory / "spool", broker.port, proxy.port))


async def _deliver(directory: Path, port: int, proxy_port: int) -> None:
    await _fill(directory, proxy_port)
    site, seen = Site(directory, proxy_port, "now", 2), Seen()
    watcher = session_to(port, Events(on_message=seen.take), "watcher")
    watcher.subscribe([LIVE, HISTORY])
    async with site.spool, together(watcher.run()), site.delivering():
        began, cpu = time.monotonic(), time.process_time()
        async with together(_live(site)):
            await asyncio.sleep(RUN_S)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        uplink = site.courier.uplink()
    late = sorted(seen.lateness_s)
    print(
        f"  {took_s:.0f} s: history {seen.history_bytes / took_s / 1e3:.0f} kB/s "
        f"({seen.history_bytes / took_s / LINK_BYTES_S:.0%} of the link); "
        f"live frames of {FRAME_BYTES} B: {len(late)}, lateness p50 {late[len(late) // 2]:.2f} s, "
        f"p99 {late[int(0.99 * len(late))]:.2f} s, max {late[-1]:.2f} s; "
        f"{uplink.left_behind} not live in time; the link seemed to carry "
        f"{(uplink.full_bytes_s or 0) / 1e3:.0f} kB/s; CPU, proxy included, {cpu_s / took_s:.1%}"
    )


async def _fill(directory: Path, port: int) -> None:
    """What could not be sent before."""
    site = Site(directory, port, "before", 1)
    payload = random.Random(1).randbytes(FRAME_BYTES)
    async with site.spool:
        for _ in range(BACKLOG_BYTES // FRAME_BYTES):
            if site.spool.wants_roll(STREAM):
                site.spool.roll(STREAM)
            site.append(ROWS, payload)
            await asyncio.sleep(0)


async def _live(site: Site) -> None:
    filler = bytes(FRAME_BYTES - 20)
    while True:
        payload = b"%020.6f" % time.monotonic() + filler
        head, offer = site.append(ROWS, payload)
        offer([Note(LIVE, payload, head.seq, head.count)])
        await asyncio.sleep(FRAME_S)
