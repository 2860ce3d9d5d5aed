"""One web page on a new connection: our client beside a general one, inside one run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop

from drivers.wire.http import HttpPool
from tests.harness import simulated

MACHINES = 1000
AT_ONCE = 64
PAGE = "/api/system/info"
Get = Callable[[str], Awaitable[None]]


def run() -> None:
    """A thousand pages, each of another machine: no connection can be used twice."""
    with tempfile.TemporaryDirectory() as name:
        options = ("--network", "127.62.0.0/16", "--count", str(MACHINES), "--delay-scale", "0")
        with simulated(Path(name), *options, "--mix", "Bitaxe Gamma=1") as (_, web_port, _sim):
            uvloop.run(_compare(web_port))


async def _compare(port: int) -> None:
    async with HttpPool() as pool, aiohttp.ClientSession() as session:

        async def ours(url: str) -> None:
            assert (await pool.request("GET", url, deadline_s=5.0)).status == 200

        async def general(url: str) -> None:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=5.0)) as response:
                await response.read()
                assert response.status == 200

        for _ in range(2):  # the first pass warms both
            mine_us = await _cost_us(ours, port)
            await asyncio.sleep(1.0)  # until kept connections are gone
            other_us = await _cost_us(general, port)
    print(f"our client {mine_us:.0f} us of CPU a page, aiohttp {other_us:.0f} us", end="")
    print(f": {mine_us / other_us:.2f} of it", flush=True)


async def _cost_us(get: Get, port: int) -> float:
    urls = iter(f"http://127.62.{at // 250}.{at % 250 + 1}:{port}{PAGE}" for at in range(900))

    async def work() -> None:
        for url in urls:
            await get(url)

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return (time.process_time() - began) / 900 * 1e6
