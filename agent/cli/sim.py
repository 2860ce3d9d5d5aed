"""`stoker sim`: a simulated site on loopback addresses."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from drivers.sim.connection import Pace
from drivers.sim.faults import FaultSpec, parse_fault
from drivers.sim.models import load_models
from drivers.sim.server import SimError, SimServer
from drivers.sim.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_USAGE = 2
EVERY_TYPE = "all"
SIDE_PORT = 8080
FRAMED_PORT = 4433


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `sim` command."""
    parser = subparsers.add_parser(
        "sim", help="simulate a site of miners on loopback addresses", description=__doc__
    )
    parser.add_argument("--network", default="127.10.0.0/16", help="where the miners stand")
    parser.add_argument("--count", type=int, default=200, help="how many miners")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same site")
    parser.add_argument("--rpc-port", type=_port, default=4028, help="0 takes a free port")
    parser.add_argument("--web-port", type=_port, default=80, help="0 takes a free port")
    free = "0 takes a free port, as does --web-port 0"
    parser.add_argument("--side-port", type=_port, help=f"default 8080; {free}")
    parser.add_argument("--framed-port", type=_port, help=f"default 4433; {free}")
    parser.add_argument(
        "--delay-scale", type=_not_negative, default=1.0, help="factor on the thinking times"
    )
    parser.add_argument(
        "--mix",
        metavar="MODEL=WEIGHT,...",
        help="machine types and their weights instead of the default mix; `all` has every type",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[=NUMBER][@ADDRESS]",
        help="a fault at a rate or an address; may be repeated (see docs/simulator.md)",
    )
    parser.add_argument("--log", type=Path, help="write each answer given as a JSON line")
    parser.add_argument(
        "--replay", action="store_true", help="answer from memory, for load measurements"
    )
    parser.add_argument("--seconds", type=_not_negative, help="end after this long")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes or the time is over; 2 where the arguments are wrong."""
    _raise_descriptor_limit()
    try:
        site = Site(
            args.seed,
            args.network,
            args.count,
            mix=_parse_mix(args.mix),
            delay_scale=args.delay_scale,
        )
        faults = [parse_fault(text) for text in args.fault]
        server = SimServer(
            site,
            rpc_port=args.rpc_port,
            web_port=args.web_port,
            more_ports=(
                _beside(args.web_port, args.side_port, SIDE_PORT),
                _beside(args.web_port, args.framed_port, FRAMED_PORT),
            ),
            pace=Pace(delay_scale=args.delay_scale),
            replay=args.replay,
            log=args.log,
        )
        uvloop.run(_serve(server, faults, args.seconds))
    except (ValueError, SimError, OSError) as error:
        print(f"stoker sim: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


async def _serve(server: SimServer, faults: list[FaultSpec], seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    site = server.site
    for fault in faults:
        server.faults.add(fault)
    async with server:
        print(
            f"sim: {site.count} miners on {site.network}, rpc port {server.rpc_port}, "
            f"web port {server.web_port}, side port {server.side_port}, "
            f"framed port {server.framed_port}, seed {site.seed}",
            flush=True,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


def _beside(web_port: int, wanted: int | None, default: int) -> int:
    """A port that nobody asked for is a free one where the web port is."""
    if wanted is not None:
        return wanted
    return default if web_port else 0


def _parse_mix(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    if text == EVERY_TYPE:
        return {name: model.share or 1.0 for name, model in load_models().items()}
    mix = {}
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        try:
            mix[name if equals else weight] = float(weight) if equals else 1.0
        except ValueError:
            raise ValueError(f"--mix: {part!r} is not MODEL=WEIGHT") from None
    return mix


def _checked(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _port(text: str) -> int:
    return int(_checked(int, 0, 65_535)(text))


def _not_negative(text: str) -> float:
    return _checked(float, 0, 1e9)(text)


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
