"""Web clients that stand around the real one: they tell, answer, break off or kill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from drivers.api import Context, Credential, Web
from drivers.errors import Unreachable
from tests.wire.acting import Killed


class Around:
    """A `Web` that hands everything on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def digest(self, credential: Credential) -> Any:
        return self.inner.digest(credential)

    async def request(self, method: str, url: str, **kwargs: Any) -> Any:
        return await self.inner.request(method, url, **kwargs)


class Spy(Around):
    """Keeps what is sent: method, path, body, and headers."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.sent: list[tuple[str, str, bytes | None]] = []
        self.headers: list[dict[str, str]] = []

    async def request(self, method: str, url: str, **kwargs: Any) -> Any:
        self.sent.append((method, path_of(url), kwargs.get("body")))
        self.headers.append(dict(kwargs.get("headers") or {}))
        return await super().request(method, url, **kwargs)


class Canned(Around):
    """Puts bodies of its own into the answers of some paths."""

    def __init__(self, inner: Any, bodies: dict[str, bytes]) -> None:
        super().__init__(inner)
        self.bodies = bodies

    async def request(self, method: str, url: str, **kwargs: Any) -> Any:
        reply = await super().request(method, url, **kwargs)
        found = self.bodies.get(path_of(url))
        return reply if found is None else msgspec.structs.replace(reply, body=found)


class Breaking(Around):
    """Breaks off whatever is asked."""

    async def request(self, method: str, url: str, **kwargs: Any) -> Any:
        raise Unreachable(f"{url}: broke")


class Deadly(Around):
    """Kills the process before or after its n-th write."""

    def __init__(self, inner: Any, when: str, at: int, writes: Callable[[str, str], bool]) -> None:
        super().__init__(inner)
        self.when, self.left, self.writes = when, at, writes

    def count(self) -> None:
        """One more write."""
        self.left -= 1
        if self.left < 0:
            raise Killed

    async def request(self, method: str, url: str, **kwargs: Any) -> Any:
        counts = self.writes(method, path_of(url))
        if counts and self.when == "before":
            self.count()
        reply = await super().request(method, url, **kwargs)
        if counts and self.when == "after":
            self.count()
        return reply


def path_of(url: str) -> str:
    """The path and query of a URL."""
    return "/" + url.split("/", 3)[3]


def through(context: Context, web: Around) -> Context:
    """The same surroundings with another web client."""
    return msgspec.structs.replace(context, web=cast("Web", web))
