"""`stoker run`: the agent itself."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import uvloop

from agent import __version__
from agent import log as logs
from agent.app.agent import Agent
from agent.config.load import DEFAULT_PATH, load
from agent.config.schema import Config
from agent.errors import AgentError, ConfigError

log = logging.getLogger("stoker")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run`."""
    parser = subparsers.add_parser("run", help="run the agent of this host")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FILE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    config = load(arguments.config)
    logs.set_up(config.log.level)
    log.info("stoker %s for site %s, node %s", __version__, config.site.name, config.node.name)
    uvloop.run(serve(config, arguments.config))
    return 0


async def serve(config: Config, path: Path | None = None) -> None:
    """Run an agent until a signal asks for its end; raises `AgentError` where it cannot start.

    SIGHUP has the configuration in `path` read again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # unheard it would end the process
    with _one_error():
        async with Agent(config, path) as agent:
            loop.add_signal_handler(signal.SIGHUP, agent.reloading.reload_soon)
            await agent.run(stop)


@contextlib.contextmanager
def _one_error() -> Iterator[None]:
    """A part that fails at start ends the agent with its own words, not with a traceback."""
    try:
        yield
    except* ConfigError as group:  # a file that the configuration names: a restart would not help
        raise group.exceptions[0] from None
    except* AgentError as group:
        raise AgentError("; ".join(str(error) for error in group.exceptions)) from None
