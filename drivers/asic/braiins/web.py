"""The web side of Braiins OS: REST from 25.07 on, before that GraphQL and LuCI's pages.

Sources: the vendor's OpenAPI document (a token from `auth/login`, sent back bare as
`Authorization`, ends after an hour without use), and what public clients do with older builds (a
cookie from GraphQL's `login` or LuCI's form). Each is tried without a password first: recorded
clients got a model and a version from GraphQL without one; whether all of it is open, and what
LuCI gives then, is unverified. There is nothing to log out of. The factory password is empty or
`root`. A password that opened nothing is left alone for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from drivers.api import Context, Credential, Endpoint, WebReply
from drivers.asic.braiins import graph as braiins_graph
from drivers.errors import AccessDenied, BadReply, DriverError, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import REST_S, Pass, WebClient, decoded

BASE = "/api/v1/"
LOGIN = f"{BASE}auth/login"
GRAPHQL = "/graphql"
LUCI = "/cgi-bin/luci"
NOBODY = Credential("", "")
"""Stands for asking without a session."""
FACTORY = (NOBODY, Credential("root", ""), Credential("root", "root"))
LUCI_HEADERS = {"User-Agent": "BTC Tools v0.1"}
"""Builds of 2023 give LuCI's JSON to this client alone (reported by users)."""
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MUTATION = (
    "mutation ($username: String!, $password: String!) { auth { login(username: $username,"
    " password: $password) { ... on VoidResult { void } } } }"
)
_CLOSED_WORDS = ("auth", "login", "logged", "permission", "denied", "session", "forbidden")
_COOKIE_LIMIT = 1024


async def ask_whole(
    web: BraiinsWeb, deadline: Deadline, errors: dict[str, DriverError] | None = None
) -> Any:
    """The whole question; part by part where an older build refuses a field of it.

    Parts that are refused are named in `errors`; raises where none was answered.
    """
    try:
        return await web.query(braiins_graph.WHOLE, deadline)
    except Refused as error:
        if error.code is not None:  # a status, not the words of GraphQL
            raise
    data: Any = None
    problem: DriverError = BadReply("graphql: no data")
    for name, question in braiins_graph.PARTS.items():
        try:
            data = braiins_graph.merged(data, await web.query(question, deadline))
        except Refused as error:
            problem = error
            if errors is not None:
                errors[f"graphql {name}"] = error
    if data is None:
        raise problem
    return data


class BraiinsWeb:
    """Asks one machine's web server, and keeps what logins gave."""

    __slots__ = (
        "_barred",
        "_clock",
        "_context",
        "_endpoint",
        "_graph",
        "_luci",
        "_orders",
        "_rest",
        "_shut",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._clock = context.clock
        self._endpoint, self._context = endpoint, context
        self._orders: WebClient | None = None
        """GraphQL with a login, made when the first order is given."""
        self._rest = WebClient(endpoint, context, enter=self._enter_rest, factory=FACTORY)
        self._graph = WebClient(endpoint, context, enter=self._enter_graph, factory=FACTORY)
        self._luci = WebClient(endpoint, context, enter=self._enter_luci, factory=FACTORY)
        self._barred: dict[tuple[str, Credential], float] = {}
        self._shut: set[str] = set()
        """Sides that do not say by a status that they want a login."""

    async def page(self, path: str, deadline: Deadline) -> Any:
        """A REST page, decoded; raises as `WebClient.json` does."""
        return await self._rest.json(BASE + path, deadline)

    @property
    def is_open(self) -> bool:
        """True while REST's last answer was to a session that it takes."""
        return self._rest.session is not None

    async def enter(self, path: str, deadline: Deadline) -> None:
        """Have REST's token before an order needs it; asks for a page where there is none."""
        if not self.is_open:
            await self.page(path, deadline)

    async def put(
        self, path: str, deadline: Deadline, payload: object = None, *, method: str = "PUT"
    ) -> str:
        """Write a REST page; gives what it answered. None sends no body.

        Raises as `WebClient.json` does, for any status but those of success.
        """
        body = None if payload is None else msgspec.json.encode(payload)
        headers = {} if body is None else _JSON
        reply = await self._rest.request(method, BASE + path, deadline, headers=headers, body=body)
        if not 200 <= reply.status < 300:
            decoded(reply, path)  # raises
        return reply.body.decode("utf-8", "replace")[:200] or f"HTTP status {reply.status}"

    async def enter_graph(self, deadline: Deadline) -> None:
        """Have GraphQL's session before an order needs it."""
        if self._writer.session is None:
            await self.mutate("{ __typename }", {}, deadline)

    async def mutate(self, mutation: str, variables: Mapping[str, Any], deadline: Deadline) -> Any:
        """The data of GraphQL's answer to an order, which wants a login."""
        body = msgspec.json.encode({"query": mutation, "variables": variables})
        for _ in range(2):
            reply = await self._writer.request("POST", GRAPHQL, deadline, headers=_JSON, body=body)
            if not _wants_login(reply):
                return _data(decoded(reply, GRAPHQL))
            self._writer.forget()  # the session has ended
        raise AccessDenied(401, "graph: no password opens it")

    @property
    def _writer(self) -> WebClient:
        if self._orders is None:
            self._orders = WebClient(
                self._endpoint, self._context, enter=self._enter_graph, factory=FACTORY[1:]
            )
        return self._orders

    async def query(self, question: str, deadline: Deadline) -> Any:
        """The data of a GraphQL answer; raises `Refused` where there are errors only."""
        body = msgspec.json.encode({"query": question})

        async def ask() -> WebReply:
            return await self._graph.request("POST", GRAPHQL, deadline, headers=_JSON, body=body)

        return _data(decoded(await self._opened("graph", self._graph, ask, _wants_login), GRAPHQL))

    async def luci(self, path: str, deadline: Deadline) -> Any:
        """One of LuCI's pages of JSON, decoded."""

        async def ask() -> WebReply:
            return await self._luci.request("GET", f"{LUCI}/{path}", deadline, headers=LUCI_HEADERS)

        return decoded(await self._opened("luci", self._luci, ask, _is_form), path)

    async def _opened(
        self,
        side: str,
        client: WebClient,
        ask: Callable[[], Awaitable[WebReply]],
        shut: Callable[[WebReply], bool],
    ) -> WebReply:
        """The answer; asked again with a login where it only says that it wants one."""
        reply = await ask()
        if not shut(reply):
            return reply
        if side in self._shut:
            client.forget()  # a session that has ended, or was never one
            raise AccessDenied(401, f"{side}: no password opens it")
        self._shut.add(side)
        client.forget()
        reply = await ask()
        if shut(reply):
            raise AccessDenied(401, f"{side}: no password opens it")
        return reply

    # --- logins ------------------------------------------------------------------------------

    async def _enter_rest(
        self, client: WebClient, credential: Credential, deadline: Deadline
    ) -> Pass:
        if credential == NOBODY:
            return Pass()
        self._check("rest", credential)
        words = {"username": credential.user or "root", "password": credential.password}
        body = msgspec.json.encode(words)
        reply = await client.send("POST", LOGIN, deadline, headers=_JSON, body=body)
        if not 200 <= reply.status < 300:
            raise self._wrong("rest", credential, reply.status)
        try:
            found = decoded(msgspec.structs.replace(reply, status=200), LOGIN)
        except BadReply:
            found = None
        token = found.get("token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not _is_header(token):
            raise self._wrong("rest", credential, reply.status)
        return Pass({"Authorization": token})

    async def _enter_graph(
        self, client: WebClient, credential: Credential, deadline: Deadline
    ) -> Pass:
        if credential == NOBODY:
            return self._as_nobody("graph")
        self._check("graph", credential)
        words = {"username": credential.user or "root", "password": credential.password}
        body = msgspec.json.encode({"query": _MUTATION, "variables": words})
        reply = await client.send("POST", GRAPHQL, deadline, headers=_JSON, body=body)
        return self._by_cookie("graph", credential, reply)

    async def _enter_luci(
        self, client: WebClient, credential: Credential, deadline: Deadline
    ) -> Pass:
        if credential == NOBODY:
            return self._as_nobody("luci")
        self._check("luci", credential)
        user, password = (
            quote(credential.user or "root", safe=""),
            quote(credential.password, safe=""),
        )
        body = f"luci_username={user}&luci_password={password}".encode()
        headers = {**_FORM, **LUCI_HEADERS}
        reply = await client.send("POST", LUCI, deadline, headers=headers, body=body)
        return self._by_cookie("luci", credential, reply)

    def _as_nobody(self, side: str) -> Pass:
        if side in self._shut:
            raise AccessDenied(401, f"{side}: wants a login")
        return Pass()

    def _by_cookie(self, side: str, credential: Credential, reply: WebReply) -> Pass:
        cookie = reply.headers.get("set-cookie", "").partition(";")[0].strip()
        if "=" not in cookie or cookie.endswith("=") or not _is_header(cookie):
            raise self._wrong(side, credential, reply.status)
        return Pass({"Cookie": cookie})

    def _check(self, side: str, credential: Credential) -> None:
        until = self._barred.get((side, credential))
        if until is not None and self._clock.monotonic() < until:
            raise AccessDenied(401, f"{side}: the password opened nothing a while ago")

    def _wrong(self, side: str, credential: Credential, status: int) -> DriverError:
        self._barred[side, credential] = self._clock.monotonic() + REST_S
        return AccessDenied(status, f"{side}: the password opens nothing")


def _is_header(word: str) -> bool:
    return 0 < len(word) <= _COOKIE_LIMIT and word.isascii() and word.isprintable()


def _is_form(reply: WebReply) -> bool:
    """LuCI sends a browser to its form, or shows it."""
    return reply.status in (301, 302, 303, 307) or reply.body[:64].lstrip().startswith(b"<")


def _wants_login(reply: WebReply) -> bool:
    if b'"errors"' not in reply.body[-4096:] and b'"errors"' not in reply.body[:4096]:
        return False
    try:
        found = decoded(reply, GRAPHQL)
    except DriverError:
        return False
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        return False
    words = _errors(found).lower()
    return any(word in words for word in _CLOSED_WORDS)


def _errors(found: Any) -> str:
    errors = found.get("errors") if isinstance(found, dict) else None
    rows = [row for row in errors[:8] if isinstance(row, dict)] if isinstance(errors, list) else []
    return "; ".join(str(row.get("message"))[:100] for row in rows)


def _data(found: Any) -> Any:
    data = found.get("data") if isinstance(found, dict) else None
    if isinstance(data, dict):
        return data
    words = _errors(found)
    if words:
        raise Refused(None, f"graphql: {words}"[:200])
    raise BadReply("graphql: no data", msgspec.json.encode(str(found)[:200]))
