"""What the node says of itself, and that it goes on where that cannot be made."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from agent.app.agent import Agent
from agent.config.schema import Config, Node, Site, Telemetry
from agent.fleet.poller import PollStats
from agent.mqtt.topics import Topics
from tests.fakes import kept


class Stumbling:
    """A poller whose figures cannot be had, the first time."""

    def __init__(self) -> None:
        self.total = PollStats()
        self.busy = 0
        self.asked = 0

    def take_stats(self) -> PollStats:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("no figures")
        return self.total


async def test_a_summary_that_cannot_be_made_is_counted_and_the_next_one_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(
        site=Site(name="s"),
        node=Node(name="n", state_dir=str(tmp_path), control_socket=str(tmp_path / "c.sock")),
        telemetry=Telemetry(summary_interval_s=0.02),
    )
    topic = Topics("s", "n").summary
    async with Agent(config) as agent, asyncio.timeout(10):
        agent.statements.poller = Stumbling()  # type: ignore[assignment]
        said = asyncio.get_running_loop().create_future()
        agent.outbox.state = lambda *letter: said.done() or said.set_result(letter)  # type: ignore[method-assign]
        async with kept(agent.statements.run()):
            found, payload = await said
        overview = msgspec.json.decode(agent.statements.overview())
    assert found == topic
    assert msgspec.json.decode(payload)["seq"] == 1
    assert overview["failed_statements"] == 1
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "summary" in told.getMessage()
    assert told.exc_info
