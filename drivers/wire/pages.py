"""One device's web side: its pages, the password that opens them, and the session it gave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from drivers.api import Context, Credential, Endpoint, Login, WebReply
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    Unsupported,
)
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.repair import REPAIR_LIMIT_CHARS, mend, patched

DENIED = frozenset({401, 403})
UNKNOWN = frozenset({404, 405, 501})
REST_S = 300.0
"""How long a page that no password opened is left alone: devices lock out who keeps trying."""


class Pass(NamedTuple):
    """What goes with every request of a session: headers, or digest authentication."""

    headers: Mapping[str, str] = {}
    login: Login | None = None


Enter = Callable[["WebClient", Credential, Deadline], Awaitable[Pass]]
"""How a dialect logs in with one credential; raises `AccessDenied` where it opens nothing."""


async def by_digest(client: WebClient, credential: Credential, _: Deadline) -> Pass:
    """Digest authentication; whether it opens shows in the first page."""
    return Pass(login=client.context.web.digest(credential))


class WebClient:
    """Asks one device's web server; logs in when it must, and keeps what that gave.

    `enter` is the dialect's way to log in, None where the pages are open. The operator's
    credentials are tried before the `factory` ones, and the one that opened first of all.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        context: Context,
        *,
        enter: Enter | None = None,
        factory: Sequence[Credential] = (),
        port: int | None = None,
    ) -> None:
        self.context = context
        self._endpoint = endpoint
        self._enter = enter
        self._factory = tuple(factory)
        self._host = f"{endpoint.address}:{endpoint.web_port if port is None else port}"
        self._pass: Pass | None = None
        self._opened_by: Credential | None = None
        self._resting: dict[str, tuple[float, tuple[Credential, ...]]] = {}

    @property
    def opened_by(self) -> Credential | None:
        """The credential that opened last."""
        return self._opened_by

    @property
    def session(self) -> Pass | None:
        """What the device gave at the last login, None before the first and after its end."""
        return self._pass

    def forget(self) -> None:
        """Drop the session: the next request logs in anew."""
        self._pass = None

    async def json(
        self, path: str, deadline: Deadline, *, method: str = "GET", payload: object = None
    ) -> Any:
        """Fetch a page that holds JSON, decoded.

        Raises `Unsupported` for a page that is not there, `Refused` for another status than
        200, `BadReply` for anything but JSON.
        """
        headers, body = {}, None
        if payload is not None:
            headers, body = {"Content-Type": "application/json"}, msgspec.json.encode(payload)
        return decoded(await self.request(method, path, deadline, headers=headers, body=body), path)

    async def pages(self, paths: Sequence[str], deadline: Deadline) -> Report:
        """Fetch several JSON pages one after the other; a failed one is named in `errors`.

        Raises only where none brought anything.
        """
        replies: dict[str, Any] = {}
        errors: dict[str, DriverError] = {}
        for path in paths:
            try:
                replies[path] = await self.json(path, deadline)
            except DriverError as error:
                errors[path] = error
                if isinstance(error, DeviceTimeout | Unreachable | NoResources):
                    break  # the next one would fare no better
        if not replies:
            raise next(iter(errors.values()))
        return Report(replies, errors)

    async def request(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> WebReply:
        """Ask with the session, and once more with a new one where that has ended.

        Raises `AccessDenied` where no credential opens, else as `Web.request` does.
        """
        if self._enter is None:
            return await self.send(method, path, deadline, headers=headers, body=body)
        if self._pass is not None:
            reply = await self.send(method, path, deadline, self._pass, headers, body)
            if reply.status not in DENIED:
                return reply
            self._pass = None
        return await self._request_anew(self._enter, method, path, deadline, headers, body)

    async def send(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        ticket: Pass | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> WebReply:
        """Ask once, with what a login gave or without; for dialects' own way to log in."""
        ticket = ticket or Pass()
        return await self.context.web.request(
            method,
            f"http://{self._host}{path}",
            deadline_s=deadline.left_s(),
            headers={**ticket.headers, **(headers or {})},
            body=body,
            login=ticket.login,
        )

    async def _request_anew(
        self,
        enter: Enter,
        method: str,
        path: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> WebReply:
        candidates = self._candidates()
        if self._rests(path, candidates):
            raise AccessDenied(401, f"{self._host}: no password opened {path} a while ago")
        for credential in candidates:
            try:
                ticket = await enter(self, credential, deadline)
            except AccessDenied:
                continue
            reply = await self.send(method, path, deadline, ticket, headers, body)
            if reply.status not in DENIED:
                self._pass, self._opened_by = ticket, credential
                self.context.note_login(self._endpoint, credential in self._factory)
                self._resting.pop(path, None)
                return reply
        self._resting[path] = self.context.clock.monotonic() + REST_S, candidates
        raise AccessDenied(401, f"{self._host}: no password opens {path}")

    def _candidates(self) -> tuple[Credential, ...]:
        known = (*self.context.credentials(self._endpoint), *self._factory)
        first = (self._opened_by,) if self._opened_by in known and self._opened_by else ()
        return tuple(dict.fromkeys((*first, *known)))

    def _rests(self, path: str, candidates: tuple[Credential, ...]) -> bool:
        until, tried = self._resting.get(path, (0.0, ()))
        return self.context.clock.monotonic() < until and set(tried) == set(candidates)


def decoded(reply: WebReply, path: str) -> Any:
    """The JSON in a web page, mended where it is malformed; raises as `WebClient.json` says."""
    if reply.status in UNKNOWN:
        raise Unsupported(reply.status, f"no page {path}")
    if reply.status in DENIED:
        raise AccessDenied(reply.status, f"{path} is closed")
    if reply.status != 200:
        raise Refused(reply.status, f"HTTP status for {path}")
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _mended(reply.body, path)


def _mended(body: bytes, path: str) -> Any:
    text = body.decode("utf-8", "replace")
    if len(text) > REPAIR_LIMIT_CHARS:
        raise BadReply(f"{path}: malformed and over {REPAIR_LIMIT_CHARS} characters", body)
    if (found := patched(body)) is not None:
        return found
    try:
        return msgspec.json.decode(mend(text))
    except (msgspec.DecodeError, RecursionError):
        raise BadReply(f"{path}: no JSON", body) from None
