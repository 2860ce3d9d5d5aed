"""The spool: CPU per frame, what a day writes to the disk, and what a full one costs."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import uvloop

from agent.clock import SystemClock
from agent.store.contents import Contents
from agent.store.disk import whole
from agent.store.segment import Head, Record, SegmentHead, Tier
from agent.store.spool import Spool

READINGS_PER_S = 3000
FRAME_S = 0.5
ROWS = int(READINGS_PER_S * FRAME_S)
FRAMES_PER_DAY = round(86_400 / FRAME_S)
SECONDS = 30
"""How much of a day is written, in its own time, frame by frame."""
STORED_SEGMENTS = 1900
"""Of 16 MiB each: 30 GB."""


def run() -> None:
    uvloop.run(_run())


async def _run() -> None:
    for row_bytes in (20, 75):
        with tempfile.TemporaryDirectory() as name:
            await _day(Path(name), row_bytes)
    with tempfile.TemporaryDirectory() as name:
        await _burst(Path(name))
    with tempfile.TemporaryDirectory() as name:
        await _full(Path(name))


def _spool(directory: Path) -> Spool:
    return Spool(directory, limit_bytes=64 << 30, boot_id="0" * 32, epoch=9, clock=SystemClock())


def _frame(at: int, size: int) -> tuple[Head, bytes]:
    seq = at * ROWS + 1
    return Head(seq, seq + ROWS - 1, ROWS, at * FRAME_S, (at + 1) * FRAME_S), bytes(size)


async def _day(directory: Path, row_bytes: int) -> None:
    """Frames as an agent writes them, settled one behind the other: a tenth of the time."""
    frames = round(SECONDS / FRAME_S)
    waits = []
    async with _spool(directory) as spool:
        before, began = _written_bytes(), time.process_time()
        for at in range(frames):
            head, payload = _frame(at, ROWS * row_bytes)
            place = spool.append("telemetry", head, payload)
            started = time.monotonic()
            await spool.flush()
            waits.append(time.monotonic() - started)
            spool.settle(place.segment_id, place.index)
            await asyncio.sleep(FRAME_S / 10)
        cpu_us = (time.process_time() - began) / frames * 1e6
        by_system = _written_bytes() - before
        by_us = spool.stats().written_bytes
    payload_bytes = ROWS * row_bytes
    print(f"{row_bytes} bytes a reading: {cpu_us:.0f} us of CPU a frame of {payload_bytes} bytes,")
    print(f"  on disk after {max(waits) * 1000:.0f} ms at most;", end=" ")
    print(f"{by_us / frames - payload_bytes:.0f} bytes of heads a frame")
    day, pages = (each / frames * FRAMES_PER_DAY / 1e9 for each in (by_us, by_system))
    print(
        f"  a day at {READINGS_PER_S} readings/s: {day:.2f} GB, {pages:.2f} GB in pages", flush=True
    )


def _written_bytes() -> int:
    """What this process had the system write, in whole pages, from the system's own accounting."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


async def _burst(directory: Path) -> None:
    frames, size = 2000, 100_000
    async with _spool(directory) as spool:
        began_cpu, began = time.process_time(), time.monotonic()
        for at in range(frames):
            spool.append("telemetry", *_frame(at, size))
            if at % 50 == 49:
                await spool.flush()
        await spool.flush()
        cpu_ms = (time.process_time() - began_cpu) * 1000
        took_s = time.monotonic() - began
    megabytes = frames * size / 1e6
    print(f"a burst: {cpu_ms / megabytes:.1f} ms of CPU per MB, {megabytes / took_s:.0f} MB/s")


async def _full(directory: Path) -> None:
    """A spool with as many segments as 30 GB have; their frames are not there, only their lists."""
    for at in range(STORED_SEGMENTS):
        head = SegmentHead("telemetry", Tier.RAW, "0" * 32, 1, at * 560 * ROWS + 1)
        _sparse(directory / (head.name + ".seg"), head)
    began = time.monotonic()
    async with _spool(directory) as spool:
        print(f"a start with {STORED_SEGMENTS} segments: {time.monotonic() - began:.2f} s", end="")
        began_cpu = time.process_time()
        for _ in range(10):
            spool.segments("telemetry")
        print(f", to list them {(time.process_time() - began_cpu) * 100:.1f} ms", end="")
        began_cpu = time.process_time()
        for at in range(100):
            spool.append("telemetry", *_frame(at, 1000))
            await spool.flush()
        print(f", a frame {(time.process_time() - began_cpu) * 1e4:.0f} us of CPU", flush=True)


def _sparse(path: Path, head: SegmentHead) -> None:
    record = Record(0, head.seq, head.seq + ROWS - 1, ROWS, 1.0, 2.0, b"")
    contents, data = whole(head, [])
    begin = len(data) - contents.packed_bytes
    contents = Contents()
    for at in range(560):
        contents.add(record, begin + at * 30_056, 30_056)
    with path.open("wb") as file:
        file.write(data[:begin])
        file.seek(begin + 560 * 30_056)
        file.write(contents.pack())
    os.chmod(path, 0o600)
