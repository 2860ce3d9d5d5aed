"""Bitdeer SealMiner: bdminer on port 4028 has everything but the locating light.

The light is on a PHP page behind a login; that page is read every few minutes. The PHP pages
also answer where the mining program does not, and are read then. Orders: see `orders`, `pools`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlencode

from drivers.actions import Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.aside import Slow, SlowPages
from drivers.asic.cgminer import missing
from drivers.asic.sealminer.answers import parse, stats_of, uptime_of, words_of
from drivers.asic.sealminer.orders import FOLDER, SYSTEM_INFO, Orders
from drivers.asic.sealminer.pages import WEB_PAGES, locates, parse_identity, parse_pages
from drivers.asic.sealminer.pools import PoolForm
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, DriverError, NoResources, Refused
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import DENIED, UNKNOWN, Pass, WebClient, decoded

COMMANDS = ("stats", "summary", "pools")
FACTORY_CREDENTIAL = Credential("seal", "seal")
LIGHT_EVERY_S = 300.0
RPC_SHARE = 0.6
"""How much of the deadline port 4028 may use: the pages must still have their turn."""


class Sealminer:
    """A SealMiner."""

    __slots__ = ("_context", "_endpoint", "_id", "_orders", "_pools", "_rpc", "_slow", "_web")

    latencies: ClassVar[Mapping[str, Latency]] = MappingProxyType(
        {
            "pause": Latency.MINUTE,
            "resume": Latency.MINUTES,
            "restart_mining": Latency.MINUTE,
            "reboot": Latency.MINUTES,
            "limit_power": Latency.MINUTES,
            "set_pools": Latency.MINUTE,
            "locate": Latency.SECONDS,
        }
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=enter, factory=(FACTORY_CREDENTIAL,))
        self._slow = SlowPages(self._page, {SYSTEM_INFO: Slow(LIGHT_EVERY_S, locates)})
        self._id = endpoint.provisional_id
        self._orders = Orders(context, self._rpc, self._web)
        self._pools = PoolForm(context, self._rpc, self._orders)

    async def identify(self) -> Identity:
        """By `stats`, and by the web page where that has no MAC (the miner is not up yet).

        Raises only where neither side answers.
        """
        report, info = Report({}), {}
        problem: DriverError | None = None
        try:
            report = await self._rpc.ask_all(("stats", "version"))
        except DriverError as error:
            problem = error
        if "MAC" not in stats_of(report.replies.get("stats")):
            try:
                info = await self._page(SYSTEM_INFO, self._deadline())
            except DriverError as error:
                problem = problem or error
        if not report.replies and not info:
            raise problem or BadReply("nothing known in the answers")
        self._slow.forget()
        stats, version = (report.replies.get(name, {}) for name in ("stats", "version"))
        identity = parse_identity(stats, version, info, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """Three reports in one question, and the light now and then."""
        deadline = self._deadline()
        try:
            share = Deadline(self._context.clock, deadline.left_s(RPC_SHARE))
            report = await self._rpc.ask_all(COMMANDS, deadline=share)
        except NoResources:
            raise
        except DriverError as error:
            return await self._read_pages(error, deadline)
        now = self._context.clock.now()
        aside = await self._slow.look(deadline, now, words_of(report), uptime_of(report))
        lacking = missing(Report({}, aside.errors))
        sample = parse(report, self._id, now, aside.parts.get(SYSTEM_INFO), lacking)
        if self._pools.awaited is not None and isinstance(sample.reading, MinerReading):
            await self._pools.settle(sample.reading.pool_targets)
        return sample

    async def close(self) -> None:
        """A PHP session ends by itself; no page is known to end it."""
        self._web.forget()

    def refresh(self) -> None:
        """Read the light anew with the next poll."""
        self._slow.forget()

    # --- orders ------------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Suspend mining."""
        return await self._orders.pause()

    async def resume(self) -> Receipt:
        """Start mining again."""
        return await self._orders.resume()

    async def restart_mining(self) -> Receipt:
        """Restart bdminer."""
        return await self._orders.restart_mining()

    async def reboot(self) -> Receipt:
        """Boot the machine."""
        return await self._orders.reboot()

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit and boot."""
        return await self._orders.limit_power(limit_w)

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the light."""
        return await self._orders.locate(on=on)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the stored pools."""
        return await self._pools.set_pools(pools)

    async def recover(self) -> Receipt | None:
        """Put back pools that an interrupted change has lost."""
        return await self._pools.recover()

    # --- asking ------------------------------------------------------------------------------

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _read_pages(self, problem: DriverError, deadline: Deadline) -> Sample:
        """What the web side gives; raises the RPC's problem where that is nothing."""
        replies: dict[str, Any] = {}
        errors: dict[str, DriverError] = {}
        for name in WEB_PAGES:
            try:
                replies[name] = await self._page(name, deadline)
            except DriverError as error:
                errors[name] = error
                if not replies:
                    raise problem from error
        words = missing(Report({}, {"rpc": problem}))[0]
        pages = Report(replies, errors)
        return parse_pages(pages, self._id, self._context.clock.now(), words)

    async def _page(self, name: str, deadline: Deadline) -> dict[str, Any]:
        page = await self._web.json(f"{FOLDER}/{name}.php", deadline)
        if not isinstance(page, dict):
            raise BadReply("the page is not an object")
        return page


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Log in with a form; the session is a cookie of PHP.

    We name the session ourselves, as a browser that has been there before does, and take the
    name that the server gives where it wants another (source: public clients of both kinds).
    """
    cookies = {"PHPSESSID": secrets.token_hex(13)}
    form = urlencode({"username": credential.user, "origin_pwd": credential.password})
    reply = await client.send(
        "POST",
        f"{FOLDER}/login.php",
        deadline,
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Requested-With": "XMLHttpRequest",
            "Cookie": _header(cookies),
        },
        body=form.encode(),
    )
    if reply.status in UNKNOWN:
        return Pass()  # no login here: the pages are open, or say so themselves
    if reply.status in DENIED or _refused(reply):
        raise AccessDenied(reply.status, "the login is refused")
    cookies |= _given(reply.headers.get("set-cookie", ""))
    return Pass(headers={"Cookie": _header(cookies)})


def _refused(reply: Any) -> bool:
    """The answer is `{"state":0,..}` where the login succeeds."""
    try:
        page = decoded(reply, "login.php")
    except Refused:
        return True
    except BadReply:
        return False  # another form than the one described: the next page tells
    state = page.get("state") if isinstance(page, dict) else None
    return state not in (None, 0, "0")


def _given(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
