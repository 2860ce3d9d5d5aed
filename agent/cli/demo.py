"""`stoker demo`: the main job on a simulated site, with a broker of its own, in one command."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
import time
from pathlib import Path

from agent.cli.board import Board
from agent.cli.child import Child
from agent.cli.demo_gpus import DemoGpus, add_option
from agent.cli.embedded_broker import EmbeddedBroker
from agent.cli.sim import EVERY_TYPE
from agent.cli.watch import show, subscribe
from agent.errors import AgentError
from drivers.sim.gpus import PROGRAM

SITE = "demo"
FAULTS = ("refuse=0.02", "tarpit=0.01", "garbage=0.01", "truncated=0.01", "glued=0.02")
EVENTS = ("remove=15@{first}.0.7", "reboot=20@{first}.0.17", "swap=25@{first}.0.27")
"""What happens while one watches: a machine dies, one restarts, one is exchanged."""
EVENTS_FROM = 30
"""The smallest site that has these machines."""

_CONFIG = """\
[site]
name = "{site}"

[node]
name = "demo-node"
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[polling]
interval_s = {interval_s}
deadline_s = 2.0

[discovery]
per_second = 500
per_subnet_per_s = 500
sweep_interval_s = 30

[telemetry]
summary_interval_s = 5

[gpu]
enabled = {gpus}
socket = "{directory}/gpu.sock"
fast_interval_s = {interval_s}

[[control.allow]]

[[range]]
addresses = "{addresses}"
rpc_port = {rpc_port}
web_port = {web_port}
side_port = {side_port}
framed_port = {framed_port}
tags = {{ building = "simulated" }}
"""


PORTS = ("rpc", "web", "side", "framed")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo`."""
    parser = subparsers.add_parser(
        "demo", help="a simulated site, a broker, the agent, a live view"
    )
    parser.add_argument("--count", type=int, default=200, metavar="N", help="simulated miners")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--network", default="127.10.0.0/16", metavar="CIDR", help="loopback range")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds")
    add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start everything, show it, end everything."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="stoker-demo-") as directory:
            _demonstrate(arguments, Path(directory))
    except KeyboardInterrupt:
        print("ended")
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _demonstrate(arguments: argparse.Namespace, directory: Path) -> None:
    command = ["agent", *_sim_command(arguments)]
    with (
        DemoGpus(arguments.gpus, directory, PROGRAM) as gpus,
        EmbeddedBroker() as broker,
        Child("sim", command, directory / "sim.log") as sim,
    ):
        ready = sim.first_line()
        print(ready, flush=True)
        gpus.settle()
        print(f"GPUs: {gpus.words}", flush=True)
        config = directory / "stoker.toml"
        config.write_text(_configuration(arguments, directory, broker.port, ready, gpus))
        print(_how_to_subscribe(broker.port), flush=True)
        print(_how_to_act(directory / "control.sock", gpus), flush=True)
        run = ["agent", "run", "--config", str(config)]
        with Child("run", run, directory / "agent.log") as agent:
            _watch(agent, f"127.0.0.1:{broker.port}", arguments.seconds)


def _watch(agent: Child, broker: str, seconds: float | None) -> None:
    board = Board(f"simulated site on mqtt://{broker}")
    publishing = threading.Event()

    def take(reading: dict[str, object]) -> None:
        board.take(reading)
        publishing.set()

    def wait(period_s: float | None) -> bool:
        agent.check()
        time.sleep(period_s or 0.0)
        return False

    began = time.monotonic()
    mqtt = subscribe(broker, SITE, take)
    try:
        while not publishing.wait(0.1):
            agent.check()
            if seconds is not None and time.monotonic() - began > seconds:
                raise AgentError(f"nothing was published within {seconds:g} s")
        print(f"publishing to mqtt://{broker}", flush=True)
        left = None if seconds is None else max(0.0, seconds - (time.monotonic() - began))
        show(board, wait, left, _how_to_subscribe(broker.rpartition(":")[2]) + "\nCtrl-C ends")
        print(board.line(), flush=True)
    finally:
        mqtt.disconnect()
        mqtt.loop_stop()


def _how_to_subscribe(port: str | int) -> str:
    return (
        "subscribe from another terminal:\n"
        f"  stoker watch --broker 127.0.0.1:{port}\n"
        f"  mosquitto_sub -V mqttv5 -h 127.0.0.1 -p {port} -v -t 'stoker/v1/{SITE}/#'"
    )


def _how_to_act(socket: Path, gpus: DemoGpus) -> str:
    lines = [f"to act:       stoker act make=Bitmain pause --socket {socket}"]
    if gpus.are_there:
        lines.append(f"to see GPUs:  stoker gpu --watch --socket {socket}")
    return "\n".join(lines)


def _sim_command(arguments: argparse.Namespace) -> list[str]:
    events = EVENTS if arguments.count >= EVENTS_FROM else ()
    planned = [*FAULTS, *(event.format(first=_first(arguments)) for event in events)]
    faults = [word for fault in planned for word in ("--fault", fault)]
    count, seed = str(arguments.count), str(arguments.seed)
    ports = ["--rpc-port", "0", "--web-port", "0"]
    return [
        "sim",
        "--network",
        arguments.network,
        "--count",
        count,
        "--seed",
        seed,
        "--mix",
        EVERY_TYPE,
        *ports,
        *faults,
    ]


def _first(arguments: argparse.Namespace) -> str:
    """The first two numbers of the network's addresses."""
    return str(arguments.network).partition("/")[0].rsplit(".", 2)[0]


def _configuration(
    arguments: argparse.Namespace, directory: Path, port: int, ready: str, gpus: DemoGpus
) -> str:
    words = ready.replace(",", "").split()
    first = _first(arguments)
    last = arguments.count
    return _CONFIG.format(
        site=SITE,
        directory=directory,
        broker_port=port,
        interval_s=arguments.interval,
        gpus=str(gpus.are_there).lower(),
        addresses=f"{first}.0.1-{first}.{last // 256}.{last % 256}",
        **{f"{name}_port": words[words.index(name) + 2] for name in PORTS},
    )
