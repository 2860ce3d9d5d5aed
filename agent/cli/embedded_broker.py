"""A broker for the demo: rumqttd as a child process that never outlives us."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from agent.errors import AgentError

HOST = "127.0.0.1"
_READY_S = 10.0
_STOP_S = 5.0

# `[v5.1]`: the first listener of MQTT 5. The payload limit is rumqttd's own default times 400:
# above it the broker hangs up without a word.
_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "stoker-demo"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {max_payload_size}
max_inflight_count = 1000
dynamic_filters = true
"""

# rumqttd logs every packet as an error, so that only a crash is let through. It ends with its
# standard input, which only we hold open: also kill -9 of the parent ends it.
_CHILD = """\
import logging, os, sys, threading
from iotcore import IotCoreBroker
logging.basicConfig(level=logging.CRITICAL)
def follow():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=follow, daemon=True).start()
IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""


class EmbeddedBrokerError(AgentError):
    """The demo's broker is not installed or does not start."""


class EmbeddedBroker:
    """A context manager around one broker on 127.0.0.1; in memory only, never for production."""

    def __init__(self, port: int = 0, *, max_payload_size: int = 8 << 20) -> None:
        self.host = HOST
        self.port = port
        self._max_payload_size = max_payload_size
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the child and block until it accepts connections."""
        self.port = _free_port(self.port)
        self._directory = tempfile.TemporaryDirectory(prefix="stoker-broker-")
        config = Path(self._directory.name, "rumqttd.toml")
        config.write_text(
            _CONFIG.format(host=HOST, port=self.port, max_payload_size=self._max_payload_size)
        )
        with config.with_name("stderr").open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-P", "-c", _CHILD, str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C is for the agent, which still has a farewell to publish.
                start_new_session=True,
            )
        try:
            self._await_listener()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the child and remove its files; harmless when repeated."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _await_listener(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not _accepts(self.port):
            if not self.running:
                raise EmbeddedBrokerError(f"the broker ended at its start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedBrokerError(f"the broker does not listen after {_READY_S:g} s")
            time.sleep(0.02)

    def _last_words(self) -> str:
        if self._directory is None:
            return ""
        words = Path(self._directory.name, "stderr").read_text(errors="replace").strip()
        return words.rpartition("\n")[2]


def _free_port(wanted: int) -> int:
    """The wanted port if nobody listens there, any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise EmbeddedBrokerError(f"port {wanted}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
