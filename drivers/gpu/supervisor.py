"""`stoker-gpu`: a supervisor that never calls NVML, and the child that does.

A call into the driver may never return. It then holds the child, which this process sees, tells,
and replaces; itself it only reads sockets and /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drivers.gpu import resetting, systemd
from drivers.gpu.answers import ServerMessage, Statement, problem_of
from drivers.gpu.bounds import Bounds
from drivers.gpu.gazette import Gazette
from drivers.gpu.keeper import Keeper
from drivers.gpu.office import Office
from drivers.gpu.peers import Peers
from drivers.gpu.protocol import (
    Inventory,
    Release,
    Request,
    Reset,
    Resume,
    Scan,
    Set,
    Status,
)
from drivers.gpu.ring import Ring
from drivers.gpu.roll import Roll
from drivers.gpu.server import Server
from drivers.gpu.worker import Worker

log = logging.getLogger("stoker.gpu")

SOCKET_MODE = 0o666
"""Whoever reaches it may connect: the kernel says who that is, and the directory may narrow it."""
_BACKLOG = 16


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told on its command line."""

    socket_path: Path
    uids: tuple[int, ...] = ()
    gids: tuple[int, ...] = ()
    allowed: tuple[str, ...] = ()
    bounds: Bounds = Bounds()
    reset_program: str = resetting.PROGRAM


class Supervisor:
    """All parts put together."""

    def __init__(self, options: Options) -> None:
        """Needs a running event loop."""
        self._options = options
        self._since = time.time()
        self._children = 0
        self._answered = 0
        ring = Ring(secrets.token_hex(8))
        self._ring = ring
        self._gazette = Gazette(ring, self._roll)
        self._keeper = Keeper(options.bounds, self._gazette.tell, self._spawn)
        reset_gpu = partial(resetting.reset_gpu, program=options.reset_program)
        self._office = Office(self._keeper, self._gazette, options.allowed, reset_gpu)
        self._gazette.look_at = self._office.look_at
        self._gazette.child_started = self._office.give_fans_back
        self._answers: dict[type, Callable[[Any], Awaitable[ServerMessage]]] = {
            Inventory: self._office.inventory,
            Scan: self._office.scan,
            Set: self._office.set,
            Reset: self._office.reset,
            Release: self._office.release,
            Resume: self._office.resume,
            Status: self._status,
        }
        self._server = Server(Peers(options.uids, options.gids), ring, self._answer)

    async def run(self, listening: socket.socket) -> None:
        """Serve until cancelled. Ending takes a moment, however the driver fares."""
        jobs = (
            self._keeper.run(),
            self._keeper.tend(),
            self._server.run(listening),
            self._say_so(),
        )
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            systemd.notify("STOPPING=1")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._keeper.stop()

    def _roll(self) -> Roll:
        return self._keeper.roll

    def _spawn(self) -> Worker:
        self._children += 1
        return Worker(self._gazette.noticed)

    async def _answer(self, request: Request) -> ServerMessage:
        self._answered += 1
        return await self._answers[type(request)](request)

    async def _status(self, request: Status) -> ServerMessage:
        return self._statement(request)

    def _statement(self, request: Status) -> Statement:
        keeper, now_s = self._keeper, time.monotonic()
        why = keeper.released or keeper.outage
        again_s = max(0.0, keeper.pause.until_s - now_s)
        return Statement(
            id=request.id,
            state=self._state(),
            since=self._since,
            child_pid=keeper.worker.pid if keeper.worker else None,
            children_started=self._children,
            answered=self._answered,
            waiting=len(keeper.queue),
            clients=self._server.clients,
            driver=keeper.roll.driver,
            expected=tuple(keeper.roll.uuids()),
            lost=tuple(sorted(keeper.roll.lost)),
            hung=keeper.shunned.all(now_s),
            stuck=tuple(stuck.stated() for stuck in keeper.aside.stuck),
            problem=problem_of(why) if why else None,
            again_in_s=round(again_s, 1) if keeper.outage else None,
            events_heard=self._gazette.hears,
            last_event=self._ring.last,
        )

    def _state(self) -> str:
        keeper = self._keeper
        if keeper.released is not None:
            return "released"
        if keeper.worker is not None:
            return "serving"
        if keeper.opening.under_way:
            return "starting"
        return "stuck" if keeper.aside.stuck else "waiting"

    async def _say_so(self) -> None:
        """Tell systemd once the first child has answered or failed, and then that we live."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.bounds.opening_slow_s):
                await self._keeper.tried.wait()
        systemd.notify("READY=1", f"STATUS={self._words()}")
        interval_s = systemd.watchdog_interval_s()
        while True:
            await asyncio.sleep(interval_s or 10.0)
            beat = ("WATCHDOG=1",) if interval_s else ()
            systemd.notify(*beat, f"STATUS={self._words()}")

    def _words(self) -> str:
        keeper = self._keeper
        there = len(keeper.roll.addresses) - len(keeper.roll.lost)
        parts = [f"{self._state()}: {there} of {len(keeper.roll.addresses)} GPUs"]
        if keeper.aside.stuck:
            parts.append(f"{len(keeper.aside.stuck)} processes hang in the driver")
        if keeper.outage is not None:
            parts.append(str(keeper.outage))
        return " ".join("; ".join(parts).split())


def listen(path: Path) -> socket.socket:
    """Our end of the socket; raises OSError, also where somebody listens there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_way(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(SOCKET_MODE)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _clear_way(path: Path) -> None:
    """Remove the socket of one that died; refuse where one lives or a file stands."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(17, "something else stands there", str(path))
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(17, "another stoker-gpu is running", str(path))


async def serve(options: Options) -> None:
    """Run until SIGTERM or SIGINT."""
    inherited = systemd.inherited_socket()
    listening = inherited or listen(options.socket_path)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  we are awaited by it
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await Supervisor(options).run(listening)
    except asyncio.CancelledError:
        log.info("stopped")
    finally:
        if inherited is None:
            with contextlib.suppress(OSError):
                os.unlink(options.socket_path)
