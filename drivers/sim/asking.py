"""A client's lasting connection to a machine: finding it, thinking, answering, and faults."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from drivers.sim.answers import Reply
from drivers.sim.connection import Pace
from drivers.sim.faults import Fault, FaultPlan
from drivers.sim.log import Answered
from drivers.sim.machine import Machine
from drivers.sim.site import Site


class Sockets:
    """What the connections to one port share."""

    def __init__(
        self,
        site: Site,
        port: int,
        pace: Pace,
        faults: Callable[[Machine], FaultPlan | None],
        log: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.port = port
        self.pace = pace
        self.faults = faults
        """The plan that strikes this port of a machine, None where none does."""
        self.log = log
        self.open: set[Asking] = set()

    def close(self) -> None:
        """Drop every open connection."""
        for connection in list(self.open):
            connection.transport.abort()


class Asking(asyncio.Protocol):
    """One connection; the protocols of the ports say what a request is and answer it."""

    transport: asyncio.Transport

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._fault: Fault | None = None
        self._reply = Reply(b"")
        self._until = 0.0
        self.buffer = b""

    def serves(self, machine: Machine) -> bool:
        """True where the machine answers at this port."""
        raise NotImplementedError

    def advance(self) -> None:
        """Take the next request off the buffer where it is whole, and `think` about it."""
        raise NotImplementedError

    # --- what asyncio calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find out which machine is meant; reset where none answers at this port."""
        self.transport = cast("asyncio.Transport", transport)
        self._sockets.open.add(self)
        self._address = transport.get_extra_info("sockname")[0]
        machine = self._machine()
        if machine is None:
            self.reset()
            return
        plan = self._sockets.faults(machine)
        self._fault = None if plan is None or plan.idle else plan.pick(self._address)
        self._wait()
        if self._fault and self._fault.on_accept:
            self._busy = True
            self._fault.on_accept(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._sockets.open.discard(self)
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect, and answer what is whole."""
        self.buffer += data
        self._go_on()

    # --- for the protocols of the ports --------------------------------------------------

    def now(self, machine: Machine) -> float:
        """The moment that the machine shows: this one, unless it is frozen."""
        moment = self._sockets.site.clock()
        if self._fault and self._fault.freezes:
            machine.stale_at = moment = machine.stale_at or moment
        return moment

    def think(self, answer: Callable[[Machine], None]) -> None:
        """Have `answer` called when the machine has thought about a request."""
        machine = self._machine()
        if machine is None:
            self.reset()
            return
        self._busy = True
        delay_s = machine.delay_s * self._sockets.pace.delay_scale
        if delay_s:
            self._wait(delay_s, lambda: self._tell(answer))
        else:
            self._tell(answer)

    def reply_after(self, reply: Reply, *, stays: bool) -> None:
        """Send an answer when the machine has taken its time for it; or hang up."""
        if reply.silent:
            self._reply = reply
            self._note(complete=False)
            self.transport.close()
            return
        delay_s = reply.after_s * self._sockets.pace.delay_scale
        if delay_s:
            self._wait(delay_s, lambda: self.reply(reply, stays=stays))
        else:
            self.reply(reply, stays=stays)

    def reply(self, reply: Reply, *, stays: bool) -> None:
        """Send an answer, through the fault where there is one, and wait for more or close."""
        self._reply = reply
        if self._fault:
            body = self._fault.mangle(reply.body) if self._fault.mangle else reply.body
            self._fault.deliver(self, body)
            return
        self.transport.write(reply.body)
        self._note(complete=not self.transport.is_closing())
        if not stays:
            self.transport.close()
            return
        self._busy = False
        self._wait()
        self._go_on()

    # --- what a fault may do -------------------------------------------------------------

    def send(self, body: bytes, *, complete: bool) -> None:
        """Send everything, then close."""
        self.transport.write(body)
        self._note(complete=complete)
        self.transport.close()

    def drip(self, body: bytes) -> None:
        """Send byte by byte, then close; give up when the bound for held clients passes."""
        loop, pace = asyncio.get_running_loop(), self._sockets.pace
        self._until = self._until or loop.time() + pace.tarpit_s
        if self.transport.is_closing():
            return
        self.transport.write(body[:1])
        if len(body) == 1 or loop.time() > self._until:
            self._note(complete=len(body) == 1)
            self.transport.close()
            return
        self._wait(pace.drip_s, lambda: self.drip(body[1:]))

    def hold(self) -> None:
        """Say nothing until the bound passes."""
        self._wait(self._sockets.pace.tarpit_s)

    def reset(self, first: bytes = b"") -> None:
        """Send `first`, then reset the connection."""
        if first:
            self.transport.write(first)
        sock = self.transport.get_extra_info("socket")
        # l_onoff 1, l_linger 0: closing sends a reset, as an absent machine would.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()

    # --- inside --------------------------------------------------------------------------

    def _machine(self) -> Machine | None:
        machine = self._sockets.site.at(self._address)
        return machine if machine and self.serves(machine) else None

    def _go_on(self) -> None:
        if not self._busy and not self.transport.is_closing():
            self.advance()

    def _tell(self, answer: Callable[[Machine], None]) -> None:
        machine = self._machine()
        if machine is None:
            self.reset()
        else:
            answer(machine)

    def _note(self, *, complete: bool) -> None:
        sockets, reply = self._sockets, self._reply
        if sockets.log is None:
            return
        sockets.log(
            Answered(
                t=sockets.site.clock(),
                address=self._address,
                port=sockets.port,
                command=reply.command,
                complete=complete,
                fault=self._fault.name if self._fault else None,
                ghs=reply.ghs,
                elapsed=reply.elapsed,
            )
        )

    def _wait(self, after_s: float | None = None, act: Callable[[], None] | None = None) -> None:
        if self._timer:
            self._timer.cancel()
        wait_s = self._sockets.pace.idle_s if after_s is None else after_s
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, act or self.transport.abort)
