"""`stoker read ADDRESS`: one device, now; of this host's GPUs also `gpu:N` or their ids."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import msgspec
import uvloop

from agent.cli.gpu_names import names_a_gpu
from agent.cli.gpu_sheet import sheet
from agent.cli.gpu_source import add_gpu_socket, read_one
from agent.cli.show import printer, show_device
from agent.cli.target import add_ports, add_socket, context, endpoint, ports
from agent.errors import AgentError
from agent.local import client
from agent.local.gpu_views import GpuView
from drivers.api import Endpoint
from drivers.errors import DriverError
from drivers.probe import identify, probe
from drivers.registry import DRIVERS, Network


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `read`."""
    parser = subparsers.add_parser("read", help="read one device")
    parser.add_argument(
        "address", metavar="ADDRESS", help="address[:port], host name, gpu:NUMBER or gpu-UUID"
    )
    parser.add_argument("--driver", choices=sorted(DRIVERS), metavar="NAME", help="do not guess")
    parser.add_argument("--json", action="store_true")
    add_ports(parser)
    add_socket(parser)
    add_gpu_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Through the agent where one runs, else by ourselves."""
    if names_a_gpu(arguments.address):
        return _show_gpu(
            read_one(arguments.address, arguments.socket, arguments.gpu_socket),
            as_json=arguments.json,
        )
    where = endpoint(arguments.address, ports(arguments))
    try:
        found = client.ask(
            arguments.socket,
            op="read",
            address=where.address,
            driver=arguments.driver,
            ports={**ports(arguments), **_other_rpc_port(where)},
        )
    except client.NoAgent:
        found = uvloop.run(_read(where, arguments.driver, arguments.deadline))
    if arguments.json:
        _print_json(found)
    else:
        show_device(found)
    return 0


def _print_json(found: Any) -> None:
    json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
    print()


def _show_gpu(view: GpuView, *, as_json: bool) -> int:
    if as_json:
        _print_json(msgspec.to_builtins(view))
    else:
        console = printer()
        console.print(sheet(view, beside=console.is_terminal))
    return 0


def _other_rpc_port(where: Endpoint) -> dict[str, int]:
    return {"rpc_port": where.rpc_port} if where.rpc_port != Endpoint("").rpc_port else {}


async def _read(where: Endpoint, name: str | None, deadline_s: float) -> Any:
    async with Network() as network:
        surroundings = context(network, deadline_s)
        try:
            if name is None:
                finding = await probe(where, surroundings)
            else:
                finding = await identify(name, where, surroundings)
            try:
                sample = await finding.driver.read()
            finally:
                await finding.driver.close()
        except DriverError as error:
            raise AgentError(f"{where.address}: {type(error).__name__}: {error}") from None
    return msgspec.to_builtins({"identity": finding.identity, "reading": sample.reading})
