"""`stoker lock TARGET --reason WHY`: nothing is started or switched there until it is lifted."""

from __future__ import annotations

import argparse
from typing import Any

from agent.cli.gpu_names import resolve
from agent.cli.show import plain, printer
from agent.cli.target import add_socket
from agent.errors import AgentError
from agent.local import client


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `lock`."""
    parser = subparsers.add_parser(
        "lock",
        help="keep anybody from starting or switching what you work on",
        description="Without a target: what is locked, by whom and why.",
    )
    parser.add_argument("target", metavar="TARGET", nargs="?", help="rack=B7, an id or an address")
    parser.add_argument("--reason", default="", help="what whoever finds the lock should know")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lock, or list the locks; fails where somebody else's lock holds already."""
    say = printer().print
    if arguments.target is None:
        (found,) = client.stream(arguments.socket, op="locks")
        for lock in found["locks"]:
            say(plain(_sentence(lock)))
        if not found["locks"]:
            say("nothing is locked")
        return 0
    target = resolve(arguments.target, arguments.socket)
    (found,) = client.stream(arguments.socket, op="lock", target=target, reason=arguments.reason)
    lock = found["lock"]
    if lock["reason"] != arguments.reason.strip():
        raise AgentError(_sentence(lock))
    say(plain(_sentence(lock)))
    devices = found["devices"]
    say(f"it holds {devices} devices" if devices else "it holds no device that is known: a typo?")
    return 0


def _sentence(lock: dict[str, Any]) -> str:
    return f"{lock['scope']} is locked by {lock['who']} since {lock['since']}: {lock['reason']}"
