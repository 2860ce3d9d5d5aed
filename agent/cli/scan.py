"""`stoker scan RANGE...`: who answers in these ranges."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from itertools import chain

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agent import process
from agent.cli.show import plain, printer
from agent.cli.target import add_ports, context, ports
from agent.clock import SystemClock
from agent.config.ranges import Addresses, RangeError, parse
from agent.errors import AgentError
from agent.fleet.lane import Lane
from agent.fleet.pacer import Pacer
from drivers.api import Context, Endpoint
from drivers.errors import DriverError, WrongProtocol
from drivers.probe import Finding, probe
from drivers.registry import Network


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `scan`."""
    parser = subparsers.add_parser("scan", help="find the devices of address ranges")
    parser.add_argument(
        "ranges", nargs="+", metavar="RANGE", help="10.1.0.0/24, 10.1.0.5-10.1.0.20 or 10.1.0.7"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--explain", action="store_true", help="show the evidence")
    parser.add_argument("--concurrency", type=int, default=256, metavar="N")
    parser.add_argument("--per-second", type=float, default=500.0, metavar="N")
    add_ports(parser)
    parser.set_defaults(run=run, deadline=3.0)


def run(arguments: argparse.Namespace) -> int:
    """Scan, with a progress bar on a terminal; exit code 1 where nothing was found."""
    parts = [_parse(text) for text in arguments.ranges]
    process.raise_descriptor_limit(arguments.concurrency)
    console = Console(stderr=True)
    columns = (TextColumn("scanning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("scan", total=sum(map(len, parts)))
        findings, failures = uvloop.run(_scan(arguments, parts, lambda: progress.advance(bar)))
    findings.sort(key=lambda finding: _in_order(finding.endpoint.address))
    if arguments.json:
        json.dump([_record(finding) for finding in findings], sys.stdout, indent=2)
        print()
    else:
        _show(findings, failures, explain=arguments.explain)
    return 0 if findings else 1


def _parse(text: str) -> Addresses:
    try:
        return parse(text)
    except RangeError as error:
        raise AgentError(f"{text}: {error}") from None


async def _scan(
    arguments: argparse.Namespace, parts: Sequence[Addresses], advance: Callable[[], None]
) -> tuple[list[Finding], list[str]]:
    findings: list[Finding] = []
    failures: list[str] = []
    asked = ports(arguments)
    pacer = Pacer(arguments.per_second, SystemClock())
    async with Network() as network:
        surroundings = context(network, arguments.deadline)

        async def ask(where: Endpoint) -> None:
            await _ask(where, surroundings, findings, failures)
            advance()

        async with asyncio.TaskGroup() as group:
            lane = Lane("scan", arguments.concurrency, ask, group)
            for address in dict.fromkeys(chain(*parts)):
                await pacer.turn()
                await lane.until(lambda: lane.busy < arguments.concurrency)
                lane.put(Endpoint(address, **asked))
            await lane.until(lambda: not lane.busy and not len(lane))
            lane.dismiss()
    return findings, failures


async def _ask(
    where: Endpoint, surroundings: Context, findings: list[Finding], failures: list[str]
) -> None:
    try:
        findings.append(await probe(where, surroundings))
    except WrongProtocol as error:
        failures.append(f"{where.address}: {error}")
    except DriverError:
        pass  # nobody there, or nobody who speaks: what a scan mostly meets


def _in_order(address: str) -> tuple[int, ...]:
    return tuple(map(int, address.split(".")))


def _record(finding: Finding) -> dict[str, object]:
    return {
        "address": finding.endpoint.address,
        "driver": finding.driver_name,
        "identity": msgspec.to_builtins(finding.identity),
        "evidence": list(finding.evidence),
    }


def _show(findings: Sequence[Finding], failures: Sequence[str], *, explain: bool) -> None:
    console = printer()
    table = Table()
    for name in ("address", "make", "model", "firmware", "version", "mac", "serial"):
        table.add_column(name, no_wrap=name in {"address", "mac"})
    if explain:
        table.add_column("evidence")
    for finding in findings:
        who = finding.identity
        words = (who.make, who.model, who.firmware, who.firmware_version, who.mac, who.serial)
        evidence = [plain("; ".join(finding.evidence))] if explain else []
        table.add_row(finding.endpoint.address, *map(plain, words), *evidence)
    console.print(table)
    console.print(f"{len(findings)} found")
    for failure in failures:
        console.print(plain(failure))
