"""The HTTP client for the web side of devices: one request, one answer, one connection.

A general client may send an order twice where a connection breaks, and keeps connections that a
miner's small web server has few of; this one sends each request once. It costs less CPU as well
(`make bench ARGS=pages`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import cast
from urllib.parse import urlsplit

from drivers.api import Credential, Login, WebReply
from drivers.errors import BadReply, DeviceTimeout, DriverError, NoResources, Unreachable
from drivers.wire.digest import DigestLogin
from drivers.wire.exchange import OURS
from drivers.wire.http_message import Incoming, request_bytes

CONNECT_S = 5.0
"""A page may take half a minute to answer, a connection that long is none."""


class HttpPool:
    """The `Web` of `drivers.api`; belongs to one running event loop."""

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._source_address = source_address
        self._interface = interface
        self._open: set[_Page] = set()
        self._closed = False
        # Kept: Python 3.11 asks the kernel for the process id each time that one asks for the loop.
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> HttpPool:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Break every open connection."""
        self._closed = True
        for page in list(self._open):
            page.fail(Unreachable(f"{page.incoming.url}: the client was closed"))

    def digest(self, credential: Credential) -> Login:
        """Digest authentication for one device, to be kept as long as the device."""
        return DigestLogin(credential)

    async def request(
        self,
        method: str,
        url: str,
        *,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        login: Login | None = None,
        limit_bytes: int = 1 << 20,
    ) -> WebReply:
        """Ask a web server once, and once more where it challenges; see `drivers.api.Web`."""
        until = self._loop.time() + deadline_s
        given = dict(headers or {})
        ask = _Ask(method, url, body, until, deadline_s, limit_bytes)
        if not isinstance(login, DigestLogin):
            return await self._ask(ask, given)
        known = login.authorization(method, ask.target)
        reply = await self._ask(ask, given | ({"Authorization": known} if known else {}))
        if reply.status != 401 or not login.take_challenge(reply.headers.get("www-authenticate")):
            return reply
        answer = login.authorization(method, ask.target) or ""
        return await self._ask(ask, given | {"Authorization": answer})

    async def _ask(self, ask: _Ask, headers: Mapping[str, str]) -> WebReply:
        loop = self._loop
        if self._closed:
            raise Unreachable(f"{ask.url}: the client was closed")
        if loop.time() >= ask.until:
            raise DeviceTimeout(f"{ask.url}: no time left to ask")
        try:
            raw = request_bytes(ask.method, ask.target, ask.host, headers, ask.body)
        except ValueError as error:
            raise BadReply(f"{ask.url}: {error}") from None
        page = _Page(Incoming(ask.url, ask.limit_bytes), raw, loop.create_future())
        self._open.add(page)
        try:
            async with asyncio.timeout_at(min(ask.until, loop.time() + CONNECT_S)):
                await self._connect(page, ask)
            page.end_at(ask.until, loop)
            return await page.answer
        except TimeoutError as error:
            if isinstance(error, DriverError):
                raise
            late = DeviceTimeout(f"{ask.url}: no whole answer within {ask.deadline_s:g} s")
            late.sent = page.sent
            raise late from None
        except OSError as error:
            raise _translated(error, ask.url, sent=page.sent) from None
        finally:
            self._open.discard(page)
            page.abort()

    async def _connect(self, page: _Page, ask: _Ask) -> None:
        loop = self._loop
        address = (ask.address, ask.port)
        if self._interface is None:
            local = (self._source_address, 0) if self._source_address else None
            await loop.create_connection(lambda: page, *address, local_addr=local)
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
            if self._source_address:
                sock.bind((self._source_address, 0))
            await loop.sock_connect(sock, address)
            await loop.create_connection(lambda: page, sock=sock)
        except BaseException:
            sock.close()
            raise


class _Ask:
    """A request as it was asked for."""

    __slots__ = (
        *("address", "body", "deadline_s", "host", "limit_bytes", "method", "port"),
        *("target", "until", "url"),
    )

    def __init__(
        self,
        method: str,
        url: str,
        body: bytes | None,
        until: float,
        deadline_s: float,
        limit_bytes: int,
    ) -> None:
        parts = urlsplit(url)
        self.method = method
        self.url = url
        self.body = body
        self.until = until
        self.deadline_s = deadline_s
        self.limit_bytes = limit_bytes
        self.address = parts.hostname or ""
        self.port = parts.port or 80
        self.host = parts.netloc
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Page(asyncio.Protocol):
    """One connection: sends the request, and reads until the answer is whole."""

    def __init__(
        self, incoming: Incoming, request: bytes, answer: asyncio.Future[WebReply]
    ) -> None:
        self.incoming = incoming
        self.answer = answer
        self.sent = False
        """Whether the request has left: from then on the device may have heard it."""
        self._request = request
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.sent = True
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            if self.incoming.feed(data):
                self.answer.set_result(self.incoming.reply)
        except DriverError as error:
            self.fail(error)

    def eof_received(self) -> None:
        if self.answer.done():
            return
        try:
            self.incoming.end()
        except DriverError as error:
            self.fail(error)
        else:
            self.answer.set_result(self.incoming.reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            words = str(exc) if exc else "closed without an answer"
            self.fail(Unreachable(f"{self.incoming.url}: {words}"))

    def end_at(self, until: float, loop: asyncio.AbstractEventLoop) -> None:
        """End with a `TimeoutError` where the answer is not whole by then."""
        if not self.answer.done():
            self._timer = loop.call_at(until, self._expire)

    def _expire(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(TimeoutError())

    def fail(self, error: DriverError) -> None:
        """End with an error."""
        error.sent = self.sent
        if not self.answer.done():
            self.answer.set_exception(error)
        self.abort()

    def abort(self) -> None:
        """Close at once: nothing more is wanted from this connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self.answer.done() and not self.answer.cancelled():
            self.answer.exception()  # looked at, also where nobody waits any more


def _translated(error: OSError, url: str, *, sent: bool) -> DriverError:
    words = os.strerror(error.errno) if error.errno else str(error)
    kind = NoResources if error.errno in OURS else Unreachable
    found = kind(f"{url}: {words}")
    found.sent = sent
    return found
