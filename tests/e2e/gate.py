"""A gate before simulated devices: it passes everything on, and stops at a chosen write.

It listens on the devices' own addresses at ports of its own, in a thread of its own. A write is
known by what travels, so that nobody has to be asked what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Coroutine, Iterable, Mapping
from enum import StrEnum
from typing import Any

READ_BYTES = 1 << 16
_START_S = 10.0


class When(StrEnum):
    """At which end of a write the gate stops."""

    BEFORE = "before"
    """The device never hears it."""
    AFTER = "after"
    """The device has heard it and answered, and the answer is kept back."""


class Stop:
    """The chosen write of one device; without a number its writes are counted only."""

    def __init__(self, writes: str, number: int | None, when: When) -> None:
        self.when = when
        self.reached = False
        self.sent = 0
        """Writes so far."""
        self._writes = re.compile(writes.encode())
        self._number = number

    def meets(self, data: bytes) -> bool:
        """Count the writes that are sent; true for the chosen one."""
        if self._writes.search(data) is None:
            return False
        self.sent += 1
        return self.sent == self._number


class Gate:
    """Passes on to `ports` (by name) of each address; `ports` of the gate are those before them.

    Use as a context manager.
    """

    def __init__(self, addresses: Iterable[str], ports: Mapping[str, int]) -> None:
        self.ports: dict[str, int] = {}
        self._addresses = list(addresses)
        self._targets = dict(ports)
        self._stops: dict[str, Stop] = {}
        self._passages: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self._opened = asyncio.Event()
        """Of the stops at this moment: the next ones get another."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def __enter__(self) -> Gate:
        self._thread.start()
        assert self._ready.wait(_START_S), "the gate did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_START_S)
        assert not self._thread.is_alive()

    def watch(
        self, address: str, writes: str, number: int | None = None, when: When = When.BEFORE
    ) -> Stop:
        """Count what fits the pattern from now on, and stop at the `number`-th (from 1)."""
        stop = self._stops[address] = Stop(writes, number, when)
        return stop

    def open(self) -> None:
        """Forget every stop, and drop what was kept back."""
        self._wait_for(self._drop_kept())

    async def _drop_kept(self) -> None:
        self._stops.clear()
        self._opened.set()
        self._opened = asyncio.Event()

    def _wait_for(self, deed: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(deed, self._loop).result(_START_S)

    # --- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        servers = [
            await self._listen(address, name, target)
            for name, target in self._targets.items()
            for address in self._addresses
        ]
        self._ready.set()
        await self._end.wait()
        for server in servers:
            server.close()
        for passage in self._passages:
            passage.cancel()
        if self._passages:
            await asyncio.wait(self._passages)

    async def _listen(self, address: str, name: str, target: int) -> asyncio.Server:
        """One port for all addresses: the first one chooses it."""

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._passages.add(task)
            try:
                await self._pass(address, target, reader, writer)
            except asyncio.CancelledError:
                pass  # the gate ends: streams would report it as an error
            finally:
                self._passages.discard(task)

        server = await asyncio.start_server(
            carry, address, self.ports.get(name, 0), family=socket.AF_INET, backlog=256
        )
        self.ports[name] = server.sockets[0].getsockname()[1]
        return server

    async def _pass(
        self,
        address: str,
        target: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        passage = _Passage(self, address, (reader, writer))
        try:
            await passage.carry(target)
        finally:
            writer.transport.abort()

    def stop_at(self, address: str, data: bytes) -> Stop | None:
        """The stop that these bytes to a device meet, if they do."""
        stop = self._stops.get(address)
        return stop if stop is not None and stop.meets(data) else None

    async def keep(self, stop: Stop) -> None:
        """Keep back what has come until the gate is opened."""
        opened = self._opened
        stop.reached = True
        await opened.wait()


class _Passage:
    """One connection of the agent's, and the one to the device that goes with it."""

    def __init__(
        self, gate: Gate, address: str, agent: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self._gate = gate
        self._address = address
        self._from_agent, self._to_agent = agent
        self._stop: Stop | None = None
        """The answer to come is that of the chosen write."""

    async def carry(self, port: int) -> None:
        """Pass on until one end hangs up, or the gate was opened after a stop."""
        with contextlib.suppress(OSError):
            from_device, to_device = await asyncio.open_connection(self._address, port)
            try:
                await self._both_ways(from_device, to_device)
            finally:
                to_device.transport.abort()

    async def _both_ways(
        self, from_device: asyncio.StreamReader, to_device: asyncio.StreamWriter
    ) -> None:
        """Over when the device hangs up: a client that has sent all still waits for the answer."""
        up = asyncio.create_task(self._up(to_device))
        down = asyncio.create_task(self._down(from_device))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.result():
                await down
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _up(self, to_device: asyncio.StreamWriter) -> bool:
        """True where what was kept back has to be dropped."""
        while data := await self._from_agent.read(READ_BYTES):
            stop = self._gate.stop_at(self._address, data)
            if stop is not None and stop.when is When.BEFORE:
                await self._gate.keep(stop)
                return True
            self._stop = stop or self._stop
            to_device.write(data)
            await to_device.drain()
        to_device.write_eof()
        return False

    async def _down(self, from_device: asyncio.StreamReader) -> None:
        data = b"-"
        while data:
            data = await from_device.read(READ_BYTES)
            if self._stop is not None:
                await self._gate.keep(self._stop)
                return
            self._to_agent.write(data)
            await self._to_agent.drain()
        self._to_agent.close()
        with contextlib.suppress(OSError):
            await self._to_agent.wait_closed()
