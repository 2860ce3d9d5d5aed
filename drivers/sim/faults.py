"""What can go wrong on the wire, as a table of small strategies, and when it does."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from drivers.sim.answers import glue
from drivers.sim.lies import Lie
from drivers.sim.site import Site

_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 32\r\n"
    b"Connection: close\r\n\r\n<html><h1>Bad Request</h1></html"
)
_GARBAGE = bytes(random.Random("garbage").randbytes(200))
DEFAULT_AFTER_S = 30.0


class Wire(Protocol):
    """What a strategy may do with a connection; each ends it sooner or later."""

    def send(self, body: bytes, *, complete: bool) -> None:
        """Send everything, then close."""
        ...

    def drip(self, body: bytes) -> None:
        """Send byte by byte, then close."""
        ...

    def hold(self) -> None:
        """Say nothing for a long time, then close."""
        ...

    def reset(self, first: bytes = b"") -> None:
        """Send `first`, then reset the connection."""
        ...


def _send(wire: Wire, body: bytes) -> None:
    wire.send(body, complete=True)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: what it does on accepting, to an answer's bytes, and in sending them."""

    name: str
    on_accept: Callable[[Wire], None] | None = None
    mangle: Callable[[bytes], bytes] | None = None
    deliver: Callable[[Wire, bytes], None] = _send
    freezes: bool = False


def _truncate(body: bytes) -> bytes:
    return body[: len(body) * 2 // 3]


def _spoil(body: bytes) -> bytes:
    for mark in (b'Description":"', b"Description=", b'Msg":"', b"Msg="):
        if mark in body:
            return body.replace(mark, mark + b"\xff\xfe", 1)
    return b"\xff" + body


_TABLE = (
    Fault(name="refuse", on_accept=lambda wire: wire.reset()),
    Fault(name="tarpit", on_accept=lambda wire: wire.hold()),
    Fault(name="drip", deliver=lambda wire, body: wire.drip(body)),
    Fault(name="reset", deliver=lambda wire, body: wire.reset(body[: len(body) // 2])),
    Fault(name="missing-nul", mangle=lambda body: body.rstrip(b"\0")),
    Fault(name="glued", mangle=glue),
    Fault(
        name="truncated",
        mangle=_truncate,
        deliver=lambda wire, body: wire.send(body, complete=False),
    ),
    Fault(name="bad-utf8", mangle=_spoil),
    Fault(name="garbage", deliver=lambda wire, _: wire.send(_GARBAGE, complete=False)),
    Fault(name="http", deliver=lambda wire, _: wire.send(_HTTP_ANSWER, complete=False)),
    Fault(name="stale", freezes=True),
)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}

# Faults that happen to a machine once, after a time, rather than to its answers.
EVENTS: dict[str, Callable[[Site, str], object]] = {
    "swap": Site.swap,
    "reboot": Site.reboot,
    "remove": Site.remove,
    "sleep": Site.put_to_sleep,
    "lose-board": Site.lose_board,
    "lose-pools": Site.lose_pools,
    **{lie.value: partial(Site.lie, lie=lie) for lie in Lie},
}


class FaultSpec(msgspec.Struct, frozen=True):
    """A fault as asked for: `NAME`, `NAME=NUMBER`, `NAME@ADDRESS` or `NAME=NUMBER@ADDRESS`.

    The number is a rate from 0 to 1, or for an event the seconds until it happens.
    """

    name: str
    number: float | None = None
    address: str | None = None


def parse_fault(text: str) -> FaultSpec:
    """Read a fault's description; raises ValueError with a plain reason."""
    rest, at, address = text.partition("@")
    name, equals, number = rest.partition("=")
    if name not in FAULTS and name not in EVENTS:
        raise ValueError(f"unknown fault {name!r}; known: {', '.join([*FAULTS, *EVENTS])}")
    if at:
        ipaddress.IPv4Address(address)
    value = float(number) if equals else None
    if value is not None and not 0 <= value <= (1 if name in FAULTS else 1e9):
        raise ValueError(f"{text!r}: a rate is 0 to 1, a time is seconds")
    if name in FAULTS and value is None and not at:
        raise ValueError(f"{text!r}: say a rate ({name}=0.01) or an address ({name}@127.10.0.5)")
    return FaultSpec(name, value, address if at else None)


class FaultPlan:
    """Which connection meets which fault."""

    def __init__(self, site: Site, rng: random.Random | None = None) -> None:
        self._site = site
        self._rng = rng or random.Random(site.seed)
        self._anywhere: list[tuple[Fault, float]] = []
        self._at: dict[str, list[tuple[Fault, float]]] = {}
        self.idle = True
        """True while nothing is planned: the fast path looks no further."""

    def add(self, spec: FaultSpec) -> None:
        """Plan one more fault; raises ValueError where no machine stands at its address."""
        if spec.address is not None and self._site.at(spec.address) is None:
            raise ValueError(f"fault {spec.name}: no machine at {spec.address}")
        if spec.name in EVENTS:
            self._schedule(spec)
            return
        rated = (FAULTS[spec.name], 1.0 if spec.number is None else spec.number)
        chosen = self._anywhere if spec.address is None else self._at.setdefault(spec.address, [])
        chosen.append(rated)
        self.idle = False

    def set(self, name: str, *, address: str | None = None, rate: float = 1.0) -> None:
        """Plan one of the table's faults, for one address or everywhere."""
        self.add(FaultSpec(name, rate, address))

    def clear(self, address: str | None = None) -> None:
        """Forget the faults of one address, or all."""
        if address is not None:
            self._at.pop(address, None)
        else:
            self._at.clear()
            self._anywhere.clear()
        self.idle = not self._at and not self._anywhere

    def pick(self, address: str) -> Fault | None:
        """The fault that this connection meets, if any; an address's own come first."""
        for fault, rate in [*self._at.get(address, []), *self._anywhere]:
            if rate >= 1 or self._rng.random() < rate:
                return fault
        return None

    def _schedule(self, spec: FaultSpec) -> None:
        after_s = DEFAULT_AFTER_S if spec.number is None else spec.number
        address = spec.address or self._rng.choice(list(self._site.addresses()))
        event = EVENTS[spec.name]
        self._site.later(after_s, lambda where: event(self._site, where), address)
