"""What a device has shown of itself so far, while we find out what it is."""

from __future__ import annotations

import asyncio
import re
import zlib

from drivers.api import Context, Credential, Endpoint, WebReply
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    WrongProtocol,
)
from drivers.registry import DRIVERS, GENERIC_DRIVER
from drivers.signs import Observation, Source, shows
from drivers.wire import framed
from drivers.wire.cgminer import CgminerRpc
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

PAGE_LIMIT_BYTES = TEXT_LIMIT_CHARS = 1 << 18
SILENT_PATIENCE_S = 2.0
"""How long the other ports may take where the RPC port was silent: most such addresses are
empty, and a sweep waits for each of them."""
FACTORY_CREDENTIALS = (Credential("root", "root"),)
"""For pages behind digest authentication, which is all that a page's existence is asked with."""
_REALM = re.compile(r'realm="([^"]*)"', re.IGNORECASE)


class Sightings:
    """Asks one address, keeps what it showed, and tells which driver that speaks for."""

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._observations: list[Observation] = []
        self.evidence: list[str] = []
        """What was asked and what it showed, in order, for people."""
        self.speaks_rpc = False
        """A whole answer came from the RPC port, if only a refusal."""
        self.rpc_answers = False
        """The RPC port answered the last question with anything at all."""
        self.speaks_http = False
        self.problem: DriverError | None = None
        """Why the RPC port gave nothing."""
        self.best: str | None = None
        """The name of the driver that has been shown so far."""

    @property
    def settled(self) -> bool:
        """True where the driver is certain: its signs are nobody else's."""
        return self.best is not None and not DRIVERS[self.best].borrowed

    @property
    def _patience_s(self) -> float:
        patience_s = self._context.deadline_s
        somebody = self.speaks_rpc or self.speaks_http
        return patience_s if somebody else min(patience_s, SILENT_PATIENCE_S)

    # --- the RPC port --------------------------------------------------------------------

    async def ask(self, command: str) -> None:
        """Ask the RPC port for a report."""
        self.rpc_answers = False
        try:
            reply = await self._rpc.ask(command)
        except NoResources:
            raise
        except WrongProtocol as error:
            self._fail(f"rpc {command}", error)
            await self._ask_http_on_rpc_port()
        except (DeviceTimeout, Unreachable) as error:
            self._fail(f"rpc {command}", error)
        except (BadReply, Refused) as error:
            # A machine that does not know one report, or garbles it, may give another.
            self.rpc_answers = True
            self.speaks_rpc = self.speaks_rpc or isinstance(error, Refused)
            self._fail(f"rpc {command}", error)
            self._note(Source.RPC, command, str(error).upper())
        else:
            self.speaks_rpc = self.rpc_answers = True
            self._note(Source.RPC, command, str(reply)[:TEXT_LIMIT_CHARS].upper())

    async def _ask_http_on_rpc_port(self) -> None:
        client = WebClient(self._endpoint, self._context, port=self._endpoint.rpc_port)
        for path in _paths(Source.RPC_HTTP):
            reply = await self._fetch(client, path)
            if reply is not None and reply.status == 200:
                self._note(Source.RPC_HTTP, path, _text(reply))

    # --- the web server and the framed port ----------------------------------------------

    async def look_around(self) -> None:
        """The front page and the framed port: both at once, for at most addresses nobody is."""
        await asyncio.gather(self._see_front_page(), self._ask_framed())

    async def _see_front_page(self) -> None:
        reply = await self._fetch(WebClient(self._endpoint, self._context), "/")
        if reply is None:
            return
        self.speaks_http = True
        self._note(Source.PAGE, "/", _text(reply))
        self._note(Source.LOCATION, "/", reply.headers.get("location", ""))
        for found in _REALM.findall(reply.headers.get("www-authenticate", "")):
            self._note(Source.REALM, "/", found)

    async def _ask_framed(self) -> None:
        try:
            answers = await self._context.wire.converse(
                self._endpoint.address,
                self._endpoint.framed_port,
                [framed.request("get.device.info")],
                length_of=framed.length_of,
                deadline_s=self._patience_s,
                limit_bytes=framed.ANSWER_LIMIT_BYTES,
            )
        except DriverError as error:
            self._fail("framed get.device.info", error)
        else:
            self._note(Source.FRAMED, "get.device.info", answers[0].decode("utf-8", "replace"))

    async def try_pages(self) -> None:
        """Single pages that only one firmware has, until one shows its sign.

        Where a vendor has been recognised, only those of firmwares that hide behind its signs.
        """
        if not self.speaks_http:
            return
        vendor = self.best is not None and self.best != GENERIC_DRIVER
        client = WebClient(
            self._endpoint, self._context, enter=by_digest, factory=FACTORY_CREDENTIALS
        )
        for path in _paths(Source.PAGE, disguised=vendor):
            if self.settled:
                return
            reply = await self._fetch(client, path) if path != "/" else None
            if reply is not None and reply.status == 200:
                self._note(Source.PAGE, path, _text(reply))

    async def _fetch(self, client: WebClient, path: str) -> WebReply | None:
        try:
            deadline = Deadline(self._context.clock, self._patience_s)
            reply = await client.request("GET", path, deadline)
        except NoResources:
            raise
        except DriverError as error:
            self._fail(f"web {path}", error)
            return None
        self.evidence.append(f"web {path}: status {reply.status}")
        return reply

    # --- what it means -------------------------------------------------------------------

    def _fail(self, what: str, error: DriverError) -> None:
        self.problem = self.problem or error
        self.evidence.append(f"{what}: {type(error).__name__} {error}"[:160])

    def _note(self, source: Source, where: str, text: str) -> None:
        observation = Observation(source, where, text)
        self._observations.append(observation)
        if source is Source.RPC:
            self.evidence.append(f"rpc {where}: answered")
        for name, spec in DRIVERS.items():
            sign = next((sign for sign in spec.signs if shows(observation, sign)), None)
            if sign:
                self.evidence.append(f"{source} {where} shows {sign.word!r}: {spec.title}")
                self._weigh(name)

    def _weigh(self, name: str) -> None:
        if self.best is None or _rank(name) < _rank(self.best):
            self.best = name


def _rank(name: str) -> tuple[bool, int]:
    """What is certain goes before what others borrow, then the order of the table decides."""
    return DRIVERS[name].borrowed, list(DRIVERS).index(name)


def _paths(source: Source, *, disguised: bool = False) -> list[str]:
    """The pages that signs of this source want to see, in the order of the drivers."""
    specs = [spec for spec in DRIVERS.values() if spec.disguised or not disguised]
    found = [sign.path for spec in specs for sign in spec.signs if sign.source is source]
    return list(dict.fromkeys(found))


def _text(reply: WebReply) -> str:
    body = reply.body[:PAGE_LIMIT_BYTES]
    if reply.headers.get("content-encoding", "") == "gzip":
        body = _unpacked(body)
    return body.decode("utf-8", "replace")


def _unpacked(body: bytes) -> bytes:
    """A page that is sent packed whether one asks or not (AxeOS); never more than the limit."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, PAGE_LIMIT_BYTES)
    except zlib.error:
        return b""
