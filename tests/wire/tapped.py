"""The web and the wire of a `Context` with a tap on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.api import Context, Credential, WebReply


class Tapped:
    """The web with a tap: what was sent, and a way to alter what comes back or to die."""

    def __init__(self, context: Context) -> None:
        self._web = context.web
        self.sent: list[tuple[str, str, dict[str, str], bytes | None, float]] = []
        self.alter: Callable[[str, WebReply], WebReply] = lambda _, reply: reply
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, **named: Any) -> WebReply:
        path = "/" + url.split("/", 3)[3]
        self.before(path)
        headers = dict(named.get("headers") or {})
        self.sent.append((method, path, headers, named.get("body"), named["deadline_s"]))
        reply = await self._web.request(method, url, **named)
        self.after(path)
        return self.alter(path, reply)


class TappedWire:
    """The wire with a tap: what was asked, and a way to die before or after it."""

    def __init__(self, context: Context) -> None:
        self._wire = context.wire
        self.sent: list[bytes] = []
        self.before: Callable[[bytes], None] = lambda _: None
        self.after: Callable[[bytes], None] = lambda _: None

    async def exchange(self, address: str, port: int, request: bytes, **named: Any) -> bytes:
        self.before(request)
        self.sent.append(request)
        answer = await self._wire.exchange(address, port, request, **named)
        self.after(request)
        return answer

    async def converse(self, *arguments: Any, **named: Any) -> list[bytes]:
        return await self._wire.converse(*arguments, **named)
