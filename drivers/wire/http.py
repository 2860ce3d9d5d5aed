"""The HTTP client for the web side of devices: one request, one answer, one connection.

A general client may send an order twice where a connection breaks, and keeps connections that a
miner's small web server has few of; this one sends each request once. It costs less CPU as well
(`make bench ARGS=pages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from drivers.api import Credential, Login, WebReply
from drivers.errors import BadReply, DriverError
from drivers.wire.digest import DigestLogin
from drivers.wire.http_message import Incoming, request_bytes
from drivers.wire.sockets import Sockets

CONNECT_S = 5.0
"""A page may take half a minute to answer, a connection that long is none."""


class HttpPool(Sockets):
    """The `Web` of `drivers.api` over real sockets."""

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
        ask = _Ask(method, url, body, limit_bytes)
        if not isinstance(login, DigestLogin):
            return await self._ask(ask, given, deadline_s)
        known = login.authorization(method, ask.target)
        reply = await self._ask(
            ask, given | ({"Authorization": known} if known else {}), deadline_s
        )
        if reply.status != 401 or not login.take_challenge(reply.headers.get("www-authenticate")):
            return reply
        answer = login.authorization(method, ask.target) or ""
        return await self._ask(ask, given | {"Authorization": answer}, until - self._loop.time())

    async def _ask(self, ask: _Ask, headers: Mapping[str, str], deadline_s: float) -> WebReply:
        try:
            raw = request_bytes(ask.method, ask.target, ask.host, headers, ask.body)
        except ValueError as error:
            raise BadReply(f"{ask.url}: {error}") from None
        page = _Page(ask.url, raw, ask.limit_bytes)
        await self._converse(ask.address, ask.port, page, deadline_s, CONNECT_S)
        return page.incoming.reply


class _Ask:
    """A request as it was asked for."""

    __slots__ = ("address", "body", "host", "limit_bytes", "method", "port", "target", "url")

    def __init__(self, method: str, url: str, body: bytes | None, limit_bytes: int) -> None:
        parts = urlsplit(url)
        self.method = method
        self.url = url
        self.body = body
        self.limit_bytes = limit_bytes
        self.address = parts.hostname or ""
        self.port = parts.port or 80
        self.host = parts.netloc
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Page:
    """A request, and an answer that is whole when HTTP says so."""

    __slots__ = ("incoming", "name", "request", "size")

    def __init__(self, url: str, request: bytes, limit_bytes: int) -> None:
        self.name = url
        self.request = request
        self.size = 0
        self.incoming = Incoming(url, limit_bytes)

    def take(self, data: bytes) -> bool:
        self.size += len(data)
        return self.incoming.feed(data)

    def end(self) -> None:
        self.incoming.end()

    def broken(self, error: DriverError) -> None:
        raise error
