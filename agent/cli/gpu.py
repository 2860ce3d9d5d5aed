"""`stoker gpu`: the GPUs of this host in a table, a line for each."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.live import Live

from agent.cli.gpu_source import Source, add_gpu_socket, open_source
from agent.cli.gpu_table import table
from agent.cli.show import printer
from agent.cli.target import add_socket
from agent.errors import AgentError
from agent.local.gpu_views import GpuViews

INTERVAL_S = 2.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gpu`."""
    parser = subparsers.add_parser("gpu", help="the GPUs of this host, a line for each")
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="everything, one object a look")
    parser.add_argument(
        "--interval", type=_interval, default=INTERVAL_S, metavar="SECONDS", help="with --watch"
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="with --watch: end after N")
    add_socket(parser)
    add_gpu_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show them once, or keep showing them."""
    with open_source(arguments.socket, arguments.gpu_socket) as source:
        looks = _looks(source, arguments)
        if arguments.json:
            for views in looks:
                sys.stdout.buffer.write(msgspec.json.encode(views) + b"\n")
                sys.stdout.buffer.flush()
        elif arguments.watch and Console().is_terminal:
            _keep_showing(looks)
        else:
            for views in looks:
                console = printer()
                console.print(table(views, console.width))
    return 0


def _looks(source: Source, arguments: argparse.Namespace) -> Iterator[GpuViews]:
    until = None if arguments.seconds is None else time.monotonic() + arguments.seconds
    while True:
        began = time.monotonic()
        views = source.look()
        if not views.gpus and not arguments.watch:
            raise AgentError(f"no GPUs are known on this host{_why(views)}")
        yield views
        if not arguments.watch or (until is not None and began + arguments.interval >= until):
            return
        time.sleep(max(0.0, began + arguments.interval - time.monotonic()))


def _keep_showing(looks: Iterator[GpuViews]) -> None:
    console = Console()
    with Live(console=console, auto_refresh=False, screen=False) as live:
        for views in looks:
            live.update(table(views, console.width), refresh=True)


def _why(views: GpuViews) -> str:
    return f": {views.problem}" if views.problem else ""


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.2 <= seconds <= 3600:
        raise ValueError
    return seconds
