"""The RPC side of the site: raw sockets in one epoll set, no task per connection."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable

from drivers.sim.connection import Connection, Pace, reset
from drivers.sim.face import Respond
from drivers.sim.faces import face_of
from drivers.sim.faults import FaultPlan
from drivers.sim.log import Answered
from drivers.sim.site import Site

ACCEPT_BATCH = 256
EVENT_BATCH = 512
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class RpcServer:
    """Serves the RPC port of every machine of the site from one listening socket."""

    def __init__(
        self,
        site: Site,
        listener: socket.socket,
        respond: Respond,
        faults: FaultPlan,
        pace: Pace,
        log: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.respond = respond
        self.pace = pace
        self.port: int = listener.getsockname()[1]
        self.loop = asyncio.get_running_loop()
        self._listener = listener
        self._faults = faults
        self._log = log
        self._epoll = select.epoll()
        self._waiting: dict[int, Connection] = {}
        self._held: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self.loop.add_reader(self._epoll.fileno(), self._on_events)
        self._sweep()

    def close(self) -> None:
        """Stop accepting and reset whoever is still waiting."""
        if self._epoll.closed:
            return
        if self._timer:
            self._timer.cancel()
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._listener.close()
        for connection in list(self._held):
            reset(connection.sock)
        self._held.clear()
        self._waiting.clear()

    # --- for connections ----------------------------------------------------------------

    def wait(self, connection: Connection, events: int, limit_s: float) -> None:
        """Have `resume` called on these events; drop the connection after `limit_s`."""
        number = connection.sock.fileno()
        if number in self._waiting:
            self._epoll.modify(number, events)
            return
        self._epoll.register(number, events)
        self._waiting[number] = connection
        self._held[connection] = self.loop.time() + limit_s

    def keep(self, connection: Connection) -> None:
        """Remember a connection that a timer goes on with, so that closing finds it."""
        self._held.setdefault(connection, self.loop.time() + self.pace.tarpit_s + self.pace.idle_s)

    def forget(self, connection: Connection) -> None:
        """Wait no longer for anything on this connection."""
        if not self._held:
            return
        self._held.pop(connection, None)
        number = connection.sock.fileno()
        if self._waiting.get(number) is connection:
            del self._waiting[number]
            self._epoll.unregister(number)

    def drop(self, connection: Connection) -> None:
        """Close a connection on which nobody asked or nobody was answered."""
        if connection.fault and connection.fault.on_accept:
            self.note(connection, complete=False)
        self.forget(connection)
        connection.sock.close()

    def note(self, connection: Connection, *, complete: bool) -> None:
        """Log what the client was given."""
        if self._log is None:
            return
        reply = connection.reply
        self._log(
            Answered(
                t=self.site.clock(),
                address=connection.address,
                port=self.port,
                command=reply.command,
                complete=complete,
                fault=connection.fault.name if connection.fault else None,
                malformed=reply.malformed,
                ghs=reply.ghs,
                elapsed=reply.elapsed,
            )
        )

    # --- events -------------------------------------------------------------------------

    def _on_events(self) -> None:
        listener = self._listener.fileno()
        for number, events in self._epoll.poll(0, EVENT_BATCH):
            if number == listener:
                self._accept()
            elif connection := self._waiting.get(number):
                connection.resume(events)

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._rest_after(error)
                return
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        try:
            address = sock.getsockname()[0]
        except OSError:
            sock.close()
            return
        machine = self.site.at(address)
        if machine is None or not face_of(machine.model.dialect).listens_on_rpc:
            reset(sock)
            return
        fault = None if self._faults.idle else self._faults.pick(address)
        Connection(self, sock, address, machine, fault).begin()

    def _rest_after(self, error: OSError) -> None:
        # Level-triggered: without a pause a full descriptor table would spin the loop.
        if error.errno in _NO_ROOM:
            self._epoll.unregister(self._listener.fileno())
            self.loop.call_later(0.1, self._accept_again)

    def _accept_again(self) -> None:
        if not self._epoll.closed:
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [held for held, until in self._held.items() if until < now]:
            self.drop(connection)
        self._timer = self.loop.call_later(self.pace.sweep_s, self._sweep)
