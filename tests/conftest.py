"""Fixtures for tests that run the real commands against a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, running


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto of its own, that queues without a bound."""
    with running(tmp_path, "max_queued_messages 0") as started:
        yield started
