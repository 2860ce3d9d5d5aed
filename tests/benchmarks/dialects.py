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
CALLS, ROUNDS = 200, 5


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
    """Print what a poll of each fixture costs."""
    print(f"{'fixture':40} {'usual us':>9} {'full us':>9}  asks")
    for path in sorted(FIXTURES.glob("*.json")):
        usual_us, full_us, asked = asyncio.run(_measure(json.loads(path.read_text())))
        mark = "" if usual_us <= LIMIT_US else f"  over {LIMIT_US:g} us"
        print(f"{path.stem:40} {usual_us:9.1f} {full_us:9.1f}  {asked}{mark}")


async def _measure(fixture: dict[str, Any]) -> tuple[float, float, int]:
    replay = Canned(fixture)
    driver = create(fixture["driver"], replay.endpoint, replay.context())
    await driver.identify()
    await driver.read()
    before = len(replay.asked)
    usual_us = await _best(driver, replay, step_s=0.0)
    asked = round((len(replay.asked) - before) / (CALLS * ROUNDS))
    full_us = await _best(driver, replay, step_s=1e5)
    await driver.close()
    return usual_us, full_us, asked


async def _best(driver: Any, replay: Replay, step_s: float) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            replay.at += step_s
            await driver.read()
        best = min(best, (time.process_time() - began) / CALLS)
    return best * 1e6
