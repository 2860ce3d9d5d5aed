"""The web side of the site: a small HTTP/1.1 server for the pages of stock Antminers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import msgspec

from drivers.sim import bitmain
from drivers.sim.connection import Pace
from drivers.sim.digest import DigestGate
from drivers.sim.log import Answered
from drivers.sim.machine import Machine
from drivers.sim.site import Site

HEAD_BYTES = 16_384
BODY_BYTES = 65_536
FRONT_PAGE = b"<html><head><title>Miner</title></head><body></body></html>"
METHODS = frozenset({"GET", "HEAD", "POST"})


class Ask(msgspec.Struct, frozen=True):
    """A request's head; header names are lower-case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def stays(self) -> bool:
        """True where the client wants the connection kept."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish if self.version == "HTTP/1.1" else "keep-alive" in wish


class Page(msgspec.Struct, frozen=True):
    """What is answered."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = "text/html"
    challenge: str | None = None
    ghs: float | None = None
    elapsed: int | None = None


def parse_head(head: bytes) -> Ask | None:
    """Read a request's head; None where it is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    return Ask(words[0], words[1], words[2], headers)


def find_page(machine: Machine, path: str, now: float) -> Page:
    """The page of a machine at a path, for a client that has shown its password."""
    moment = machine.at(now)
    if path == "/":
        return Page(HTTPStatus.OK, FRONT_PAGE)
    if path == "/cgi-bin/log.cgi":
        return Page(HTTPStatus.OK, bitmain.boot_log(machine, moment).encode(), "text/plain")
    page = bitmain.PAGES.get(path)
    if page is None:
        return Page(HTTPStatus.NOT_FOUND, b"<h1>404 - Not Found</h1>")
    body = msgspec.json.encode(page(machine, moment))
    rated = path in bitmain.RATED_PAGES
    return Page(
        HTTPStatus.OK,
        body,
        "application/json",
        ghs=round(moment.ghs_5s, 2) if rated else None,
        elapsed=moment.uptime_s if rated else None,
    )


class WebServer:
    """Makes one protocol object per connection; holds what they share."""

    def __init__(
        self,
        site: Site,
        port: int,
        gate: DigestGate,
        pace: Pace,
        log: Callable[[Answered], None] | None = None,
    ) -> None:
        self.site = site
        self.port = port
        self.gate = gate
        self.pace = pace
        self.log = log
        self.open: set[WebConnection] = set()

    def connection(self) -> WebConnection:
        """A protocol object, as `create_server` wants it."""
        return WebConnection(self)

    def close(self) -> None:
        """Drop every open connection."""
        for connection in list(self.open):
            connection.transport.abort()


class WebConnection(asyncio.Protocol):
    """One client's connection, which may carry many requests."""

    transport: asyncio.Transport

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._address = ""
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find out which machine is meant; reset where none with a web server is."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.open.add(self)
        self._address = transport.get_extra_info("sockname")[0]
        if self._machine() is None:
            self._reset()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._server.open.discard(self)
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect, and answer what is whole."""
        self._buffer += data
        self._advance()

    def _machine(self) -> Machine | None:
        machine = self._server.site.at(self._address)
        return machine if machine and machine.model.has_web else None

    def _advance(self) -> None:
        if self._busy or self.transport.is_closing():
            return
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if len(head) > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif end:
            self._take(head, rest)

    def _take(self, head: bytes, rest: bytes) -> None:
        ask = parse_head(head)
        length = ask.headers.get("content-length", "0") if ask else ""
        if ask is None or not length.isascii() or not length.isdigit():
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif int(length[:9]) > BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif len(rest) >= int(length):
            self._buffer = rest[int(length) :]
            self._think(ask)

    def _think(self, ask: Ask) -> None:
        machine = self._machine()
        if machine is None:
            self._reset()
            return
        delay_s = machine.delay_s * self._server.pace.delay_scale
        self._busy = True
        if delay_s:
            self._wait(delay_s, lambda: self._answer(ask))
        else:
            self._answer(ask)

    def _answer(self, ask: Ask) -> None:
        self._busy = False
        machine = self._machine()
        if machine is None:
            self._reset()
            return
        page = self._page(machine, ask)
        self._write(page, stays=ask.stays, with_body=ask.method != "HEAD")
        self._note(ask, page)
        if not ask.stays:
            self.transport.close()
            return
        self._wait()
        self._advance()

    def _page(self, machine: Machine, ask: Ask) -> Page:
        if ask.method not in METHODS:
            return Page(HTTPStatus.NOT_IMPLEMENTED)
        header = ask.headers.get("authorization", "")
        gate = self._server.gate
        challenge = gate.judge(header, ask.method, ask.target, machine.credential)
        if challenge:
            body = b"<h1>401 - Unauthorized</h1>"
            return Page(HTTPStatus.UNAUTHORIZED, body, challenge=challenge)
        return find_page(machine, ask.path, self._server.site.clock())

    def _refuse(self, status: HTTPStatus) -> None:
        self._write(Page(status), stays=False)
        self.transport.close()

    def _write(self, page: Page, *, stays: bool, with_body: bool = True) -> None:
        lines = [
            f"HTTP/1.1 {page.status.value} {page.status.phrase}",
            f"Content-Type: {page.kind}",
            f"Content-Length: {len(page.body)}",
            f"Connection: {'keep-alive' if stays else 'close'}",
            "Server: lighttpd/1.4.32",
        ]
        if page.challenge:
            lines.append(f"WWW-Authenticate: {page.challenge}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.transport.write(head + page.body if with_body else head)

    def _note(self, ask: Ask, page: Page) -> None:
        server = self._server
        if server.log:
            server.log(
                Answered(
                    t=server.site.clock(),
                    address=self._address,
                    port=server.port,
                    command=ask.path,
                    complete=not self.transport.is_closing(),
                    ghs=page.ghs,
                    elapsed=page.elapsed,
                )
            )

    def _wait(self, after_s: float | None = None, act: Callable[[], None] | None = None) -> None:
        if self._timer:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        wait_s = self._server.pace.idle_s if after_s is None else after_s
        self._timer = loop.call_later(wait_s, act or self.transport.abort)

    def _reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        # l_onoff 1, l_linger 0: closing sends a reset, as an absent machine would.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()
