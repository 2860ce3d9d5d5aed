"""What the commands that speak to devices have in common: addresses, ports, contexts."""

from __future__ import annotations

import argparse
import re
import socket
from pathlib import Path

from agent.clock import SystemClock
from agent.errors import AgentError
from drivers.api import Context, Endpoint
from drivers.registry import Network

DEFAULT_SOCKET = Path("/run/stoker/control.sock")
PORTS = ("rpc_port", "web_port", "side_port", "framed_port")
_WITH_PORT = re.compile(r"(?P<host>[^:]+):(?P<port>\d{1,5})")


class NoMemory:
    """The `Memory` of a command that ends when it has answered: nothing is kept."""

    def get(self, _key: str) -> bytes | None:
        """Always None."""
        return None

    async def put(self, _key: str, _value: bytes) -> None:
        """Keep nothing."""

    async def forget(self, _key: str) -> None:
        """Nothing is kept."""


def add_ports(parser: argparse.ArgumentParser) -> None:
    """Add the options of the ports and of patience."""
    parser.add_argument("--rpc-port", type=int, metavar="PORT", help="default: 4028")
    parser.add_argument("--web-port", type=int, metavar="PORT", help="default: 80")
    parser.add_argument("--side-port", type=int, metavar="PORT", help="default: 8080")
    parser.add_argument("--framed-port", type=int, metavar="PORT", help="default: 4433")
    parser.add_argument(
        "--deadline", type=float, default=5.0, metavar="SECONDS", help="patience for one answer"
    )


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the control socket."""
    parser.add_argument(
        "--socket", type=Path, default=DEFAULT_SOCKET, metavar="PATH", help="the agent's socket"
    )


def ports(arguments: argparse.Namespace) -> dict[str, int]:
    """The ports that were asked for, by their names in `Endpoint`."""
    asked = {name: getattr(arguments, name) for name in PORTS}
    return {name: port for name, port in asked.items() if port is not None}


def endpoint(text: str, ports: dict[str, int]) -> Endpoint:
    """`10.1.2.3`, `10.1.2.3:4029` or a host name; raises `AgentError` for what is neither."""
    match = _WITH_PORT.fullmatch(text)
    host = match["host"] if match else text
    if match:
        ports = {**ports, "rpc_port": int(match["port"])}
    try:
        found = socket.getaddrinfo(host, ports.get("rpc_port"), socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise AgentError(f"{text}: not an address: {error}") from None
    return Endpoint(str(found[0][4][0]), **ports)


def context(network: Network, deadline_s: float) -> Context:
    """What drivers get that a command uses."""
    return Context(
        wire=network.wire,
        web=network.web,
        clock=SystemClock(),
        credentials=lambda _: (),
        memory=NoMemory(),
        deadline_s=deadline_s,
    )
