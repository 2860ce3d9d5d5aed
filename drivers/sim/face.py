"""What a machine shows to the network: one way to answer for each of its ports."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row


class Ask(msgspec.Struct, frozen=True):
    """A web request; header names are lower-case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last of each name."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The body's fields, where it is a form."""
        return dict(parse_qsl(self.body.decode("latin-1"), keep_blank_values=True))

    def json(self) -> Any:
        """The body decoded, None where it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def stays(self) -> bool:
        """True where the client wants the connection kept."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish if self.version == "HTTP/1.1" else "keep-alive" in wish


class Page(msgspec.Struct, frozen=True):
    """What a web server answers."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = "text/html"
    challenge: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    ghs: float | None = None
    """For the log: the rate that the page shows, as it stands there in GH/s."""
    elapsed: int | None = None
    after_s: float = 0.0
    """How much longer than usual the page takes, as the site's pace scales it."""
    silent: bool = False
    """The server hangs up without a word."""


NOT_FOUND = Page(HTTPStatus.NOT_FOUND, b"<h1>404 - Not Found</h1>")
UNAUTHORIZED = Page(HTTPStatus.UNAUTHORIZED, b"<h1>401 - Unauthorized</h1>")


def json_page(content: object, *, status: HTTPStatus = HTTPStatus.OK) -> Page:
    """A page of JSON."""
    return Page(status, msgspec.json.encode(content), "application/json")


def html_page(text: str) -> Page:
    """A page of HTML, for front pages that a firmware is known by."""
    return Page(HTTPStatus.OK, text.encode())


class Web(msgspec.Struct, frozen=True):
    """A web server: its pages, and the realm where all of them want digest authentication."""

    page: Callable[[Machine, Ask, Snapshot], Page]
    realm: str | None = None
    server: str = "lighttpd/1.4.32"


Respond = Callable[[Machine, bytes, float], Reply]
"""Machine, request, moment: the answer."""

Framed = Callable[[Machine, Row, Snapshot], Row]
"""Machine, request object, moment: the answer's object."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of a machine; those that are None refuse connections."""

    rpc: Respond | None = None
    http_on_rpc: Web | None = None
    """A web server on the RPC port, instead of `rpc`."""
    web: Web | None = None
    side: Web | None = None
    framed: Framed | None = None
    polled: str = "rpc"
    """Where the machine is read, by the name of the field: the port that faults strike."""

    @property
    def listens_on_rpc(self) -> bool:
        """True where something answers at the RPC port."""
        return self.rpc is not None or self.http_on_rpc is not None
