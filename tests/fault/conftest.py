"""Fixtures of faults: `stoker-gpu` over fake GPUs, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.gpu.client import GpuClient
from drivers.sim.nvml.control import FakeGpus
from tests.gpu import Heard, Service, connected, fake_gpus, opened, service


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGpus]:
    """Four GPUs that can be steered."""
    with fake_gpus(tmp_path) as gpus:
        yield gpus


@pytest.fixture
def running(tmp_path: Path, fake: FakeGpus) -> Iterator[Service]:
    """What reads them."""
    with service(tmp_path, fake) as started:
        yield started


@pytest.fixture
def heard() -> Heard:
    """What the client is told of its own accord."""
    return Heard()


@pytest.fixture
async def client(running: Service, heard: Heard) -> AsyncIterator[GpuClient]:
    """A client, once the driver is open."""
    async with connected(running.path, heard) as connection:
        await opened(connection)
        yield connection
