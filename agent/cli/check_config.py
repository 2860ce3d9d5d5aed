"""`stoker check-config`: read the configuration as the agent would, and say what is wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent.config import locations, logins
from agent.config.advice import advice
from agent.config.load import DEFAULT_PATH, load
from agent.config.ranges import OwnedRanges
from agent.errors import EXIT_CONFIG, ConfigError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "check-config",
        help="check the configuration and exit",
        description="Check the configuration, conf.d and the files they name. Run it as the "
        "agent's user, or it may read files that the agent can not.",
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line: what was found in order, or on stderr the first fault; 0 or 78."""
    try:
        print(_summary(args.config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    return 0


def _summary(path: Path) -> str:
    config = load(path)
    owned = OwnedRanges(config.range)
    words = f"ok: {_count(len(owned), 'address', 'es')} in {_count(len(owned.ranges), 'range')}"
    if config.locations:
        words += f", {_count(len(locations.load(Path(config.locations.file))), 'location')}"
    if config.credentials:
        words += f", {_count(len(logins.load(config.credentials)), 'login')}"
    if config.commands.key:
        words += f", {_count(len(config.commands.key), 'key')}"
    for sentence in advice(config):
        print(f"warning: {sentence}", file=sys.stderr)
    return f"{words}; site {config.site.name}, node {config.node.name}"


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"
