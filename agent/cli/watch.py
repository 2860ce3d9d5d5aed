"""`stoker watch`: a live view, from the agent of this host or from a broker."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from rich.console import Console
from rich.live import Live

from agent.cli.board import Board
from agent.cli.target import add_socket
from agent.errors import AgentError
from agent.local import client
from agent.mqtt.topics import PREFIX
from agent.telemetry.reader import Reader

REFRESH_S = 0.5
LINE_EVERY_S = 5.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `watch`."""
    parser = subparsers.add_parser("watch", help="a live view of the devices")
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="watch a broker, not the agent")
    parser.add_argument("--site", default="+", metavar="NAME", help="with --broker: one site only")
    parser.add_argument("--json", action="store_true", help="a line for each reading")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Watch until Ctrl-C, or for a while."""
    board = Board(f"{arguments.broker or arguments.socket}")
    take = _print if arguments.json else board.take
    source = _Source(arguments, take)
    source.start()
    try:
        if arguments.json:
            source.wait(arguments.seconds)
        else:
            show(board, source.wait, arguments.seconds)
    finally:
        source.stop()
    return 0


def show(
    board: Board,
    wait: Callable[[float | None], bool],
    seconds: float | None,
    footer: str = "Ctrl-C ends",
) -> None:
    """Keep the board on the screen, or print a line now and then, until `wait` says it is over."""
    until = time.monotonic() + seconds if seconds is not None else None
    console = Console()
    if not console.is_terminal:
        while not _over(until) and not wait(_left(until, LINE_EVERY_S)):
            print(board.line(), flush=True)
        return
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while not _over(until) and not wait(_left(until, REFRESH_S)):
            live.update(board.table(footer), refresh=True)


def _over(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def _left(until: float | None, most_s: float) -> float:
    return most_s if until is None else min(most_s, max(0.0, until - time.monotonic()))


def _print(reading: dict[str, Any]) -> None:
    json.dump(reading, sys.stdout, ensure_ascii=False)
    print(flush=True)


class _Source:
    """Where readings come from, in a thread of its own."""

    def __init__(
        self, arguments: argparse.Namespace, take: Callable[[dict[str, Any]], None]
    ) -> None:
        self._arguments = arguments
        self._take = take
        self._over = threading.Event()
        self._failure: AgentError | None = None
        self._mqtt: Client | None = None

    def start(self) -> None:
        if self._arguments.broker:
            self._mqtt = subscribe(self._arguments.broker, self._arguments.site, self._take)
        else:
            threading.Thread(target=self._follow, daemon=True).start()

    def wait(self, seconds: float | None) -> bool:
        """True where there is nothing more to come; raises what ended it."""
        over = self._over.wait(seconds)
        if self._failure:
            raise self._failure
        return over

    def stop(self) -> None:
        if self._mqtt:
            self._mqtt.disconnect()
            self._mqtt.loop_stop()

    def _follow(self) -> None:
        try:
            for reading in client.follow(self._arguments.socket):
                self._take(reading)
        except AgentError as error:
            self._failure = error
        except OSError as error:
            self._failure = AgentError(f"the agent is gone: {error}")
        self._over.set()


def subscribe(broker: str, site: str, take: Callable[[dict[str, Any]], None]) -> Client:
    """Hand every live reading of a broker to `take`; call disconnect() and loop_stop()."""
    host, _, port = broker.partition(":")
    mqtt = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    reader = Reader()

    def connected(*_: Any) -> None:
        # At QoS 1: a compact frame that is missed leaves a gap up to the next keyframe.
        for level in ("device/+/telemetry", "batch/+/live"):
            mqtt.subscribe(f"{PREFIX}/{site}/{level}", qos=1)

    def message(_client: Client, _data: Any, received: MQTTMessage) -> None:
        for reading in reader.readings(bytes(received.payload)):
            take(reading)

    mqtt.on_connect = connected
    mqtt.on_message = message
    try:
        mqtt.connect(host, int(port or 1883), keepalive=30)
    except (OSError, ValueError) as error:
        raise AgentError(f"no broker at {broker}: {error}") from None
    mqtt.loop_start()
    return mqtt
