"""A real mosquitto that tests can kill, freeze and start again, and sessions to speak to it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from agent.clock import SystemClock
from agent.config.schema import Mqtt
from agent.mqtt.events import Events, Message
from agent.mqtt.failure import LinkLost
from agent.mqtt.session import Session
from agent.mqtt.settings import SessionSettings

_READY_S = 10.0


def mosquitto() -> str:
    """The path of mosquitto; skips the test where there is none."""
    found = shutil.which(
        "mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    )
    if found is None:
        pytest.skip("mosquitto is not installed")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One mosquitto process; `options` are lines of its configuration file."""

    def __init__(self, directory: Path, *options: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self.log = directory / "mosquitto.log"
        self._program = mosquitto()
        self._config = directory / "mosquitto.conf"
        self._config.write_text(
            "\n".join(
                (
                    "per_listener_settings false",
                    f"allow_anonymous {'true' if anonymous else 'false'}",
                    "persistence false",
                    # Started by root, it would become a user who cannot read the test's files.
                    "user root" if os.geteuid() == 0 else "",
                    f"listener {self.port} 127.0.0.1",
                    *options,
                    "",
                )
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, also again, and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._config), "-v"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _READY_S
        while not self._listens():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def freeze(self) -> None:
        """Stop it in its tracks: the kernel still takes connections, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """Have it read its files again, also those of passwords and access rules."""
        self._signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self.running:
            self._signal(signal.SIGCONT)
        self._end(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self._signal(number)
        self._process.wait(10)
        self._process = None


@contextlib.contextmanager
def running(directory: Path, *options: str, anonymous: bool = True) -> Iterator[Broker]:
    """A broker that is up, and down again afterwards."""
    broker = Broker(directory, *options, anonymous=anonymous)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition that no event announces."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test once under asyncio's own loop and once under uvloop."""

    def run_it(*args: Any, runner: Callable[..., None], **kwargs: Any) -> None:
        runner(test(*args, **kwargs))

    signature = inspect.signature(test)
    runner = inspect.Parameter("runner", inspect.Parameter.KEYWORD_ONLY)
    run_it.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), runner]
    )
    run_it.__name__, run_it.__doc__ = test.__name__, test.__doc__
    loops = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
    return loops(run_it)


class Owner:
    """What a session tells its owner, remembered."""

    def __init__(self) -> None:
        self.connects = 0
        self.lost: list[LinkLost] = []
        self.unacknowledged: list[int] = []
        self.acknowledged: list[int] = []
        self.refused: list[tuple[int, int]] = []
        self.messages: list[Message] = []
        self.events = Events(
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
            on_puback=self.acknowledged.append,
            on_refused=lambda token, reason: self.refused.append((token, reason)),
            on_message=self.messages.append,
        )

    def _on_connect(self) -> None:
        self.connects += 1

    def _on_disconnect(self, lost: LinkLost, unacknowledged: Sequence[int]) -> None:
        self.lost.append(lost)
        self.unacknowledged += unacknowledged


def quick(port: int, **keys: Any) -> Mqtt:
    """Settings for a broker on this port, impatient enough for a test."""
    patient = {"reconnect_min_s": 0.02, "reconnect_max_s": 0.1, "connect_timeout_s": 5.0}
    return Mqtt(port=port, **{**patient, **keys})


def new_session(
    mqtt: Mqtt, events: Events, *, client_id: str = "under-test", clean: bool = True, **keys: Any
) -> Session:
    """A session that is not yet running."""
    settings = SessionSettings(mqtt=mqtt, client_id=client_id, clean=clean, **keys)
    return Session(settings, events, clock=SystemClock(), rng=random.Random(1))


@contextlib.asynccontextmanager
async def kept(session: Session) -> AsyncIterator[asyncio.Task[None]]:
    """The session runs; at the end it is told to stop, and must."""
    task = asyncio.create_task(session.run())
    try:
        yield task
    finally:
        await ended(task)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a session and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def connected(mqtt: Mqtt, **keys: Any) -> AsyncIterator[tuple[Session, Owner]]:
    """A session that is connected, and its owner."""
    owner = Owner()
    session = new_session(mqtt, owner.events, **keys)
    async with kept(session):
        await until(lambda: owner.connects > 0)
        yield session, owner


@contextlib.asynccontextmanager
async def watching(port: int, *filters: str) -> AsyncIterator[list[Message]]:
    """Everything that arrives on these topics, seen by another client."""
    owner = Owner()
    observer = new_session(quick(port), owner.events, client_id="observer")
    observer.subscribe([*filters, "probe"])
    async with kept(observer):
        await until(lambda: observer.connected)
        observer.publish("probe", b"", token=0)
        # What comes back proves the subscription.
        await until(lambda: any(message.topic == "probe" for message in owner.messages))
        owner.messages[:] = [message for message in owner.messages if message.topic != "probe"]
        yield owner.messages
