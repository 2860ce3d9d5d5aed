"""The real thing for tests: our own commands as processes, and a subscriber that counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.local import client

STOKER = [sys.executable, "-P", "-m", "agent"]

CONFIG = """\
[site]
name = "test"
[node]
name = "n1"
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"
[mqtt]
host = "127.0.0.1"
port = {broker_port}
reconnect_min_s = 0.2
reconnect_max_s = 1.0
keepalive_s = 5
[polling]
interval_s = {interval_s}
deadline_s = {deadline_s}
concurrency = 2000
suspect_concurrency = 2000
{polling}
[discovery]
per_second = {discovery_per_s}
per_subnet_per_s = {discovery_per_s}
sweep_interval_s = {sweep_s}
concurrency = 1000
[telemetry]
summary_interval_s = 2
host_interval_s = 5
[[range]]
addresses = "{addresses}"
rpc_port = {rpc_port}
web_port = {web_port}
side_port = {side_port}
framed_port = {framed_port}
{more}
"""


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str = "") -> Any:
    """Wait for something another process does, which no event announces."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what or condition}")


class Process:
    """One of our commands, ended at the end by its process id."""

    def __init__(self, *command: str, log: Path) -> None:
        self.log = log
        self.ports: dict[str, int] = {}
        with log.open("wb") as stderr:
            self.popen = subprocess.Popen(
                [*STOKER, *command], stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        self.usage = psutil.Process(self.popen.pid)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, and the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.end(timeout_s)

    def kill(self) -> int:
        """SIGKILL, and the exit code."""
        self.popen.kill()
        return self.end(20.0)

    def end(self, timeout_s: float) -> int:
        """The exit code, once it has ended."""
        try:
            return self.popen.wait(timeout_s)
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait()
            if self.popen.stdout:
                self.popen.stdout.close()

    def cpu_s(self) -> float:
        """User and system seconds so far."""
        times = self.usage.cpu_times()
        return times.user + times.system


@contextmanager
def simulated(directory: Path, *options: str) -> Iterator[tuple[int, int, Process]]:
    """`stoker sim` on free ports: its RPC port, its web port, and the process."""
    command = ("sim", "--rpc-port", "0", "--web-port", "0", *options)
    process = Process(*command, log=directory / "sim.err")
    try:
        assert process.popen.stdout
        words = process.popen.stdout.readline().replace(",", "").split()
        assert words, (directory / "sim.err").read_text()
        names = ("rpc", "web", "side", "framed")
        process.ports = {f"{name}_port": int(words[words.index(name) + 2]) for name in names}
        yield int(words[words.index("rpc") + 2]), int(words[words.index("web") + 2]), process
    finally:
        process.stop()


class Node:
    """`stoker run` with a configuration of its own."""

    def __init__(self, directory: Path, **values: Any) -> None:
        defaults = {
            "interval_s": 1.0,
            "deadline_s": 0.9,
            "polling": "",
            "discovery_per_s": 2000,
            "sweep_s": 5,
            "side_port": 8080,
            "framed_port": 4433,
            "more": "",
        }
        self.directory = directory
        self.config = directory / "stoker.toml"
        self.config.write_text(CONFIG.format(directory=directory, **{**defaults, **values}))
        self.socket = directory / "control.sock"
        self.process: Process | None = None

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.popen.poll() is None:
            self.process.stop()

    def start(self) -> None:
        """Start, and wait for the control socket."""
        self.process = Process("run", "--config", str(self.config), log=self.directory / "run.err")
        wait_until(self._answers, 20, "the agent's control socket")

    def _answers(self) -> bool:
        assert self.process
        assert self.process.popen.poll() is None, (self.directory / "run.err").read_text()
        try:
            self.status()
        except client.NoAgent:
            return False
        return True

    def status(self) -> Any:
        """What `stoker status --json` prints."""
        return client.ask(self.socket, op="status")

    def act(self, target: str, verb: str, **params: Any) -> list[dict[str, Any]]:
        """Every result of an order, once all are there."""
        ask = {"op": "act", "target": target, "verb": verb, "params": params}
        lines = list(client.stream(self.socket, **ask))
        assert "ended" in lines[-1], lines[-1:]
        return [line["result"] for line in lines if "result" in line]

    def await_devices(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many devices are known."""
        wait_until(lambda: self.status()["devices"] >= count, timeout_s, f"{count} devices")


class Subscriber:
    """A consumer at QoS 1 that keeps every message; duplicates are known by their numbers."""

    def __init__(
        self,
        port: int,
        topic: str = "stoker/v1/#",
        *,
        keep: Callable[[str, dict[str, Any]], bool] = lambda _topic, _content: True,
    ) -> None:
        self.messages: list[tuple[str, dict[str, Any], bool]] = []
        self.by_device: Counter[str] = Counter()
        self.seen: set[tuple[Any, ...]] = set()
        self.duplicates = 0
        self._keep = keep
        self._topic = topic
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._client = Client(
            CallbackAPIVersion.VERSION2, "subscriber", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = lambda *_: self._client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = 3600  # keeps what comes while the broker restarts
        lasting.ReceiveMaximum = 1000
        self._client.connect("127.0.0.1", port, properties=lasting)
        self._client.loop_start()
        assert self._ready.wait(10)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        content = json.loads(message.payload) if message.payload else {}
        number = tuple(content.get(key) for key in ("node", "boot_id", "stream", "seq"))
        with self._changed:
            if number[-1] is not None and number in self.seen:
                self.duplicates += 1
                return
            self.seen.add(number)
            if message.topic.endswith("/telemetry"):
                self.by_device[content["device_id"]] += 1
            if self._keep(message.topic, content):
                self.messages.append((message.topic, content, bool(message.retain)))
            self._changed.notify_all()

    def on(self, part: str) -> list[dict[str, Any]]:
        """The messages whose topic contains a part."""
        with self._changed:
            return [content for topic, content, _ in self.messages if part in topic]

    def readings(self, device_id: str | None = None) -> list[dict[str, Any]]:
        """Telemetry, of one device or of all miners."""
        found = [each for each in self.on("/telemetry") if each["kind"] == "asic"]
        return [each for each in found if device_id in (None, each["device_id"])]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a name."""
        return [event for event in self.on("/event/") if event["name"] == name]

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """Wait until what has arrived fulfils a condition."""
        with self._changed:
            found = self._changed.wait_for(condition, timeout_s)
        assert found, f"not within {timeout_s} s"
        return found
