"""`stoker quarantine GPU --reason WHY`: it takes no more jobs until somebody lifts that."""

from __future__ import annotations

import argparse

import msgspec

from agent.cli.gpu_names import resolve
from agent.cli.gpu_table import reasons_of
from agent.cli.show import plain, printer
from agent.cli.target import add_socket
from agent.errors import AgentError
from agent.local import client
from agent.local.gpu_views import GpuViews


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quarantine`."""
    parser = subparsers.add_parser(
        "quarantine",
        help="have a GPU take no more jobs, or let it out again",
        description="Without a GPU: which are in quarantine, and why.",
    )
    parser.add_argument("gpu", metavar="GPU", nargs="?", help="gpu:NUMBER or gpu-UUID")
    parser.add_argument("--reason", default="", help="what whoever finds it should know")
    parser.add_argument("--lift", action="store_true", help="end it, whatever began it")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Begin or end one, or list them."""
    if arguments.gpu is None:
        return _list(arguments)
    if arguments.lift and arguments.reason:
        raise AgentError("either --reason or --lift")
    say = printer().print
    gpu = resolve(arguments.gpu, arguments.socket)
    if arguments.lift:
        (found,) = client.stream(arguments.socket, op="lift", target=gpu)
        say(plain(f"{found['device']} is out of quarantine"))
        return 0
    (found,) = client.stream(arguments.socket, op="quarantine", target=gpu, reason=arguments.reason)
    reasons = "; ".join(reason["message"] for reason in found["quarantine"]["reasons"])
    say(plain(f"{found['device']} is in quarantine: {reasons}"))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    views = msgspec.convert(client.ask(arguments.socket, op="gpus"), GpuViews)
    standing = {
        view.identity.id: reasons for view in views.gpus if (reasons := reasons_of(view.reading))
    }
    for device_id, reasons in standing.items():
        printer().print(plain(f"{device_id}: {reasons}"))
    if not standing:
        printer().print("no GPU is in quarantine")
    return 0
