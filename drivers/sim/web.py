"""The web sides of the site: a small HTTP/1.1 server for the pages that dialects give it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from drivers.sim.answers import Reply
from drivers.sim.asking import Asking, Sockets
from drivers.sim.digest import DigestGate
from drivers.sim.face import Ask, Page, Web
from drivers.sim.machine import Machine

HEAD_BYTES = 16_384
BODY_BYTES = 65_536
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


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


def page_for(web: Web, gate: DigestGate, machine: Machine, ask: Ask, now: float) -> Page:
    """What this web server of a machine answers, after looking at the password."""
    if ask.method not in METHODS:
        return Page(HTTPStatus.NOT_IMPLEMENTED)
    if web.realm:
        header = ask.headers.get("authorization", "")
        challenge = gate.judge(header, ask.method, ask.target, machine.credential, web.realm)
        if challenge:
            body = b"<h1>401 - Unauthorized</h1>"
            return Page(HTTPStatus.UNAUTHORIZED, body, challenge=challenge)
    return web.page(machine, ask, machine.at(now))


def as_bytes(web: Web, page: Page, *, stays: bool, with_body: bool = True) -> bytes:
    """An answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        f"Connection: {'keep-alive' if stays else 'close'}",
        f"Server: {web.server}",
    ]
    if page.challenge:
        lines.append(f"WWW-Authenticate: {page.challenge}")
    lines += [f"{name}: {value}" for name, value in page.headers]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + page.body if with_body else head


def respond_http(web: Web, machine: Machine, data: bytes, now: float) -> Reply:
    """Answer one HTTP request that came in one piece, without a password: on the RPC port."""
    head, _, body = data.partition(b"\r\n\r\n")
    ask = parse_head(head)
    if ask is None:
        return Reply(as_bytes(web, Page(HTTPStatus.BAD_REQUEST), stays=False))
    ask = Ask(ask.method, ask.target, ask.version, ask.headers, body)
    known = ask.method in METHODS
    page = web.page(machine, ask, machine.at(now)) if known else Page(HTTPStatus.NOT_IMPLEMENTED)
    raw = as_bytes(web, page, stays=False, with_body=ask.method != "HEAD")
    return Reply(raw, ask.path, page.ghs, page.elapsed, after_s=page.after_s, silent=page.silent)


class WebConnection(Asking):
    """One client's connection, which may carry many requests."""

    def __init__(
        self, sockets: Sockets, web_of: Callable[[Machine], Web | None], gate: DigestGate
    ) -> None:
        super().__init__(sockets)
        self._web_of = web_of
        self._gate = gate

    def serves(self, machine: Machine) -> bool:
        """True where the machine has this web server."""
        return self._web_of(machine) is not None

    def advance(self) -> None:
        """Take the next request off the buffer where it is whole."""
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
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
            size = int(length)
            self.buffer = rest[size:]
            whole = Ask(ask.method, ask.target, ask.version, ask.headers, rest[:size])
            self.think(lambda machine: self._answer(machine, whole))

    def _answer(self, machine: Machine, ask: Ask) -> None:
        web = self._web_of(machine)
        if web is None:
            self.reset()
            return
        page = page_for(web, self._gate, machine, ask, self.now(machine))
        raw = as_bytes(web, page, stays=ask.stays, with_body=ask.method != "HEAD")
        reply = Reply(
            raw, ask.path, page.ghs, page.elapsed, after_s=page.after_s, silent=page.silent
        )
        self.reply_after(reply, stays=ask.stays)

    def _refuse(self, status: HTTPStatus) -> None:
        self.transport.write(as_bytes(Web(_no_page), Page(status), stays=False))
        self.transport.close()


def _no_page(*_: object) -> Page:
    return Page(HTTPStatus.NOT_FOUND)


def listener(
    sockets: Sockets, web_of: Callable[[Machine], Web | None], gate: DigestGate
) -> Callable[[], asyncio.Protocol]:
    """What makes a protocol object for each connection to one of the web ports."""
    return lambda: WebConnection(sockets, web_of, gate)
