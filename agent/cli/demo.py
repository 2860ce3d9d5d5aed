"""`stoker demo`: the main job on a simulated site, with a broker of its own, in one command."""

from __future__ import annotations

import argparse
import ctypes
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from agent.cli.board import Board
from agent.cli.embedded_broker import EmbeddedBroker
from agent.cli.sim import EVERY_TYPE
from agent.cli.watch import show, subscribe
from agent.errors import AgentError

SITE = "demo"
FAULTS = ("refuse=0.02", "tarpit=0.01", "garbage=0.01", "truncated=0.01", "glued=0.02")
EVENTS = ("remove=15@{first}.0.7", "reboot=20@{first}.0.17", "swap=25@{first}.0.27")
"""What happens while one watches: a machine dies, one restarts, one is exchanged."""
EVENTS_FROM = 30
"""The smallest site that has these machines."""
STOP_S = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

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
    with EmbeddedBroker() as broker, _Child(_sim_command(arguments), directory / "sim.log") as sim:
        ready = sim.first_line()
        print(ready, flush=True)
        config = directory / "stoker.toml"
        config.write_text(_configuration(arguments, directory, broker.port, ready))
        print(_how_to_subscribe(broker.port), flush=True)
        socket = directory / "control.sock"
        print(f"to act:       stoker act make=Bitmain pause --socket {socket}", flush=True)
        with _Child(["run", "--config", str(config)], directory / "agent.log") as agent:
            _watch(agent, f"127.0.0.1:{broker.port}", arguments.seconds)


def _watch(agent: _Child, broker: str, seconds: float | None) -> None:
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


def _configuration(arguments: argparse.Namespace, directory: Path, port: int, ready: str) -> str:
    words = ready.replace(",", "").split()
    first = _first(arguments)
    last = arguments.count
    return _CONFIG.format(
        site=SITE,
        directory=directory,
        broker_port=port,
        interval_s=arguments.interval,
        addresses=f"{first}.0.1-{first}.{last // 256}.{last % 256}",
        **{f"{name}_port": words[words.index(name) + 2] for name in PORTS},
    )


class _Child:
    """One of our own commands as a child process that ends with us."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._name = command[0]
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-P", "-m", "agent", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for us: we end the children in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  no threads run yet in the child
            )

    def __enter__(self) -> _Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    @property
    def _output(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise AssertionError("started with a pipe")
        return self._process.stdout

    def first_line(self) -> str:
        """The line that says that it is ready."""
        line = self._output.readline().decode().strip()
        if not line:
            self._process.wait(STOP_S)
            self.check()
        return line

    def check(self) -> None:
        """Raise `AgentError` with its last words where it has ended."""
        if self._process.poll() is not None:
            words = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise AgentError(f"the {self._name} ended by itself: {words or 'no word'}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
