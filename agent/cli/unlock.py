"""`stoker unlock TARGET`: lift a lock, on the spot."""

from __future__ import annotations

import argparse

from agent.cli.gpu_names import resolve
from agent.cli.show import plain, printer
from agent.cli.target import add_socket
from agent.local import client


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `unlock`."""
    parser = subparsers.add_parser("unlock", help="lift a lock")
    parser.add_argument("target", metavar="TARGET", help="what was locked, as it was written")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lift the lock."""
    target = resolve(arguments.target, arguments.socket)
    (found,) = client.stream(arguments.socket, op="unlock", target=target)
    lock = found["unlocked"]
    printer().print(
        plain(f"{lock['scope']} is free again (was locked by {lock['who']}: {lock['reason']})")
    )
    return 0
