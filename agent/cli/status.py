"""`stoker status`: how the agent of this host fares."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.table import Table

from agent.cli.show import figure, plain, printer
from agent.cli.target import add_socket
from agent.local import client


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `status`."""
    parser = subparsers.add_parser("status", help="how the agent of this host fares")
    parser.add_argument("--json", action="store_true")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask the agent and print what it says."""
    found = client.ask(arguments.socket, op="status")
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        printer().print(_table(found))
    return 0


def _broker(delivery: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {'connected' if way['connected'] else 'not connected'}"
        for name, way in delivery.items()
    )


def _backlog(telemetry: dict[str, Any]) -> str:
    backlog, spool = telemetry["backlog"], telemetry["spool"]
    lost = sum(spool["lost"].values()) + sum(telemetry["uplink"]["dropped"].values())
    oldest = min(backlog["oldest_at"].values(), default=None)
    since = f" since {oldest}" if oldest else ""
    trouble = f"; the disk: {spool['trouble']}" if spool["trouble"] else ""
    return f"{backlog['readings']} readings{since}, {lost} lost{trouble}"


def _table(found: dict[str, Any]) -> Table:
    status, totals, delivery = found["status"], found["totals"], found["delivery"]
    lateness = found["polls"]["lateness"]
    table = Table(show_header=False, title=f"{status['site']} / {status['node']}")
    rows = {
        "version": f"{status['version']}, started {status['started_at']}",
        "clock": f"synchronised: {status['clock_synchronised']}",
        "broker": _broker(delivery),
        "backlog": _backlog(delivery["telemetry"]),
        "devices": f"{found['devices']}",
        "states": ", ".join(f"{count} {state}" for state, count in totals["by_state"].items()),
        "hashrate": f"{figure(totals['hashrate_ths'], 'TH/s')} of "
        f"{figure(totals['hashrate_nominal_ths'], 'TH/s')}",
        "polls": ", ".join(f"{n} {what}" for what, n in found["polls"]["outcomes"].items()),
        "lateness": ", ".join(
            f"{name} {figure(lateness[f'{name}_s'], 's', 3)}" for name in ("p50", "p99", "max")
        ),
        "events": ", ".join(f"{n} {name}" for name, n in found["events"].items()),
        "control": status["control"],
    }
    for name, value in rows.items():
        table.add_row(name, plain(value))
    return table
