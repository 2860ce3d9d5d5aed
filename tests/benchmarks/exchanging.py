"""One request, one answer, one connection: our wire against asyncio's streams, in one run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from drivers.wire.cgminer import request
from drivers.wire.exchange import SocketWire
from tests.harness import simulated

POLLS = 6000
AT_ONCE = 30
REQUEST = request("summary")


def run() -> None:
    """Print CPU per exchange for both, and the ratio."""
    with tempfile.TemporaryDirectory() as directory:
        options = ("--network", "127.60.0.0/16", "--count", "200", "--replay", "--delay-scale", "0")
        with simulated(Path(directory), *options) as (port, _, _):
            ours_us = uvloop.run(_with_wire(port))
            streams_us = uvloop.run(_measure(lambda address: _with_streams(address, port)))
    print(f"our wire on uvloop        {ours_us:7.1f} us per exchange")
    print(f"asyncio streams on uvloop {streams_us:7.1f} us per exchange")
    print(f"ratio                     {ours_us / streams_us:7.2f}")


async def _with_wire(port: int) -> float:
    async with SocketWire() as wire:
        return await _measure(
            lambda address: wire.exchange(address, port, REQUEST, deadline_s=5, limit_bytes=1 << 20)
        )


async def _with_streams(address: str, port: int) -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(REQUEST)
            return await reader.read(-1)
        finally:
            writer.close()


async def _measure(ask: Callable[[str], Awaitable[bytes]]) -> float:
    left = list(range(POLLS))

    async def work() -> None:
        while left:
            address = f"127.60.0.{1 + left.pop() % 200}"
            assert len(await ask(address)) > 100

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / POLLS * 1e6
