"""What a poll of each dialect costs beside the network: decoding, parsing, and the driver's own.

The answers are those of the fixtures, already as bytes. `usual` is a poll that finds its slow
data fresh, `full` one that asks for everything the driver ever reads.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from drivers.registry import create
from tests.replay import Replay, as_bytes

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
LIMIT_US = 150.0
CALLS, PASSES = 100, 12


class Canned(Replay):
    """Answers that were made into bytes once."""

    def __init__(self, recording: dict[str, Any]) -> None:
        ready = {
            section: {name: as_bytes(answer) for name, answer in answers.items()}
            for section, answers in recording.items()
            if section in ("rpc", "rpc_http", "web", "side", "framed")
        }
        super().__init__({**recording, **ready})
        self._whole: dict[bytes, bytes] = {}

    async def exchange(self, address: str, port: int, request: bytes, **values: Any) -> bytes:
        found = self._whole.get(request)
        if found is None:
            found = self._whole[request] = await super().exchange(address, port, request, **values)
        return found

    def joined(self, names: list[str]) -> bytes:
        """The nested form, put together from bytes."""
        parts = (f'"{name}":['.encode() + as_bytes(self._rpc(name, None)) + b"]" for name in names)
        return b"{" + b",".join(parts) + b"}"


def run() -> None:
    """Print what a poll of each fixture costs: the best of several passes over all of them.

    A neighbour on the machine slows everything for seconds: passes are further apart than that.
    """
    polled = [Polled(path) for path in sorted(FIXTURES.glob("*.json"))]
    for _ in range(PASSES):
        for each in polled:
            asyncio.run(each.measure())
    print(f"{'fixture':40} {'usual us':>9} {'full us':>9}  asks")
    for each in polled:
        mark = "" if each.usual_us <= LIMIT_US else f"  over {LIMIT_US:g} us"
        print(f"{each.name:40} {each.usual_us:9.1f} {each.full_us:9.1f}  {each.asks}{mark}")


class Polled:
    """One fixture and the best figures so far."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.usual_us = self.full_us = float("inf")
        self.asks = 0
        self._fixture = json.loads(path.read_text())

    async def measure(self) -> None:
        """One pass: a usual poll and a full one."""
        replay = Canned(self._fixture)
        driver = create(self._fixture["driver"], replay.endpoint, replay.context())
        await driver.identify()
        await driver.read()
        before = len(replay.asked)
        self.usual_us = min(self.usual_us, await _cpu_us(driver, replay, step_s=0.0))
        self.asks = round((len(replay.asked) - before) / CALLS)
        self.full_us = min(self.full_us, await _cpu_us(driver, replay, step_s=1e5))
        await driver.close()


async def _cpu_us(driver: Any, replay: Replay, step_s: float) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        replay.at += step_s
        await driver.read()
    return (time.process_time() - began) / CALLS * 1e6
