"""The shared HTTP client for the web side of devices."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import TracebackType

from aiohttp import (
    AddrInfoType,
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DigestAuthMiddleware,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)

from drivers.api import Credential, Login, WebReply
from drivers.errors import BadReply, DeviceTimeout, DriverError, NoResources, Unreachable
from drivers.wire.exchange import OURS

CONNECT_S = 5.0
"""A page may take half a minute to answer, a connection that long is none."""
KEPT_S = 0.2
"""Longer than a driver needs from page to page. A second long, a sweep of 400 devices a second held
thousands of idle connections."""


class HttpPool:
    """The `Web` of `drivers.api` over aiohttp; belongs to one running event loop.

    A connection is kept for a moment: the pages of one poll share it, and between polls the
    few that a miner's small web server has are free for its owner.
    """

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._session = ClientSession(
            connector=TCPConnector(
                limit=0,  # bounded by those who ask: here, the silent would hold up the rest
                keepalive_timeout=KEPT_S,
                local_addr=(source_address, 0) if source_address else None,
                socket_factory=_socket_on(interface) if interface else None,
            ),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,  # a small compressed body could unfold past every limit
        )

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
        """Close every connection."""
        await self._session.close()

    def digest(self, credential: Credential) -> Login:
        """Digest authentication for one device, to be kept as long as the device."""
        return DigestAuthMiddleware(credential.user, credential.password)

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
        """Ask a web server once; see `drivers.api.Web`."""
        if deadline_s <= 0:
            raise DeviceTimeout(f"{url}: no time left to ask")
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=ClientTimeout(total=deadline_s, sock_connect=CONNECT_S),
                middlewares=(
                    *(() if method == "GET" and "Connection" not in (headers or {}) else (_once,)),
                    *((login,) if isinstance(login, DigestAuthMiddleware) else ()),
                ),
                allow_redirects=False,
            ) as response:
                return await _read(response, url, limit_bytes)
        except (ClientError, OSError, ValueError) as error:
            raise _translated(error, url, deadline_s) from None


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Where a connection breaks aiohttp sends a `PUT` anew, as it does a `GET`; an order must not
    leave twice. Orders that are a `GET` are those with a `Connection` header of their own.
    """  # noqa: D205
    try:
        return await handler(request)
    except ClientConnectorError:
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise _translated(error, str(request.url), 0.0) from None


def _translated(error: Exception, url: str, deadline_s: float) -> DriverError:
    """What went wrong, and whether the request may have reached the device."""
    found: DriverError
    if isinstance(error, TimeoutError):
        found = DeviceTimeout(f"{url}: no whole answer within {deadline_s:g} s")
    elif isinstance(error, ClientConnectionError | ClientPayloadError | OSError):
        ours = isinstance(error, OSError) and error.errno in OURS
        kind = NoResources if ours else Unreachable
        found = kind(f"{url}: {error or type(error).__name__}")
    else:  # no HTTP, or a challenge that is none
        words = getattr(error, "message", "") or str(error)
        found = BadReply(f"{url}: not understood", words.encode("utf-8", "replace"))
    found.sent = not isinstance(error, ClientConnectorError | ConnectionTimeoutError)
    return found


async def _read(response: ClientResponse, url: str, limit_bytes: int) -> WebReply:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            problem = BadReply(f"{url}: page over {limit_bytes} bytes")
            problem.sent = True
            raise problem
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        former = headers.get(name.lower())
        headers[name.lower()] = value if former is None else f"{former}\n{value}"
    return WebReply(response.status, headers, bytes(body))


def _socket_on(interface: str) -> Callable[[AddrInfoType], socket.socket]:
    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = info
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        return sock

    return make
