"""Where the GPUs of this host are seen: through the running agent, else by asking `stoker-gpu`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from agent.cli.gpu_names import choose, resolve
from agent.clock import SystemClock
from agent.errors import AgentError
from agent.local import client
from agent.local.gpu_views import GONE, GpuView, GpuViews, in_order
from drivers.api_gpu import BuiltIn, GpuSettings, HostGpus, Mark
from drivers.errors import DriverError
from drivers.model_gpu import GpuReading
from drivers.registry import gpus

DEFAULT_GPU_SOCKET = Path("/run/stoker-gpu/gpu.sock")
MEDIUM_S, SLOW_S = 10.0, 60.0
"""How old the dearer values may be while somebody watches without an agent."""
SURVEY_S = 30.0
"""How often it is looked which GPUs there are."""
CONNECT_S = 5.0
_LOOK_S = 0.01


def add_gpu_socket(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the socket of `stoker-gpu`."""
    parser.add_argument(
        "--gpu-socket",
        type=Path,
        default=DEFAULT_GPU_SOCKET,
        metavar="PATH",
        help="stoker-gpu's own, asked where no agent runs",
    )


class Source(Protocol):
    """Shows all GPUs as they are now, as often as it is asked."""

    def look(self) -> GpuViews:
        """Raises `AgentError` where nobody can say anything."""
        ...


@contextlib.contextmanager
def open_source(agent_socket: Path, gpu_socket: Path) -> Iterator[Source]:
    """The agent where one runs, else `stoker-gpu`; raises `AgentError` where neither is there."""
    agent = FromAgent(agent_socket)
    try:
        agent.look()
    except client.NoAgent as no_agent:
        with asyncio.Runner() as runner, Direct(runner, gpu_socket) as direct:
            try:
                direct.connect()
            except AgentError as error:
                raise AgentError(f"{no_agent}; {error}") from None
            yield direct
    else:
        yield agent


def read_one(name: str, agent_socket: Path, gpu_socket: Path) -> GpuView:
    """One GPU, now and everything of it; raises `AgentError` where it cannot be read."""
    try:
        device_id = resolve(name, agent_socket)
        found = client.ask(agent_socket, op="read", address=device_id)
    except client.NoAgent:
        with open_source(agent_socket, gpu_socket) as source:
            return _readable(name, source.look())
    return msgspec.convert(found, GpuView)


def _readable(name: str, views: GpuViews) -> GpuView:
    view = choose(name, views)
    if view.reading is None:
        raise AgentError(f"{name}: {view.problem or 'it could not be read'}")
    return view


class FromAgent:
    """What the agent last read. To look costs the GPUs nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> GpuViews:
        """Raises `NoAgent` where none runs."""
        return msgspec.convert(client.ask(self._path, op="gpus"), GpuViews)


class Direct:
    """Asks `stoker-gpu` itself, where no agent runs. Each look reads every GPU."""

    def __init__(self, runner: asyncio.Runner, path: Path) -> None:
        self._runner = runner
        self._path = path
        settings = GpuSettings(socket=path, medium_s=MEDIUM_S, slow_s=SLOW_S)
        self._gpus: HostGpus = gpus(settings, SystemClock(), lambda _: None, Mark())
        self._task: asyncio.Task[None] | None = None
        self._found: tuple[BuiltIn, ...] = ()
        self._survey_at_s = 0.0

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def connect(self) -> None:
        """Raises `AgentError` with the reason where it cannot be asked."""
        self._runner.run(self._connect())

    def look(self) -> GpuViews:
        """Read all."""
        return self._runner.run(self._look())

    async def _connect(self) -> None:
        # it has one before its first attempt, and another one or none after it
        first = self._gpus.problem
        self._task = asyncio.create_task(self._gpus.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                while self._gpus.problem is first:  # noqa: ASYNC110  a change announces itself by no event
                    await asyncio.sleep(_LOOK_S)
        if self._gpus.problem is not None:
            raise AgentError(f"no stoker-gpu: {self._gpus.problem}")

    async def _look(self) -> GpuViews:
        problem = None
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._survey_at_s:
            try:
                self._found = await self._gpus.survey()
                self._survey_at_s = now_s + SURVEY_S
            except DriverError as error:
                problem = str(error)
        views = await asyncio.gather(*map(self._view, self._found))
        return GpuViews(
            at=datetime.now(UTC),
            source=f"stoker-gpu at {self._path}",
            gpus=in_order(tuple(views)),
            problem=problem,
        )

    async def _view(self, found: BuiltIn) -> GpuView:
        reading, problem = None, found.problem
        if problem is None:
            try:
                shown = (await found.driver.read()).reading
                reading = shown if isinstance(shown, GpuReading) else None
            except DriverError as error:
                problem = error
        return GpuView(
            identity=found.identity,
            address=found.address,
            facts=found.facts,
            reading=reading,
            problem=None if problem is None else str(problem),
            gone=problem is not None and self._gpus.verdict(problem).fault.code in GONE,
        )
