"""Hammer, blackMiner and VolcMiner: one program and one web side under three names.

Polled over 4028, identified over the web pages behind digest authentication (realm
"blackMiner"). The factory's password is root for Hammer and ltc@dog for VolcMiner. Where port
4028 is closed, the status page is read instead. Watts are not reported by any of them.
"""

from __future__ import annotations

from typing import Any

from drivers.api import Context, Credential, Endpoint
from drivers.asic.aside import Slow, SlowPages
from drivers.asic.cgminer import ask_version, missing
from drivers.asic.hammer.answers import (
    make_of,
    parse,
    parse_identity,
    read_blink,
    read_config,
    uptime_of,
    words_of,
)
from drivers.asic.hammer.pages import decode, parse_status
from drivers.errors import BadReply, DriverError, NoResources, Refused, Unreachable, Unsupported
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest, decoded

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "devs", "pools")
FACTORY_CREDENTIALS = (Credential("root", "root"), Credential("root", "ltc@dog"))
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
CONFIG = "/cgi-bin/get_miner_conf.cgi"
BLINK = "/cgi-bin/get_blink_status.cgi"
STATUS_PAGES = ("/cgi-bin/get_miner_statusV1.cgi", "/cgi-bin/get_miner_status.cgi")
SLOW_PAGES = {CONFIG: Slow(300.0, read_config), BLINK: Slow(300.0, read_blink)}
CLOSED_S = 60.0
"""How long a port 4028 that is closed is left alone where the status page answers."""
RPC_SHARE = 0.6
"""How much of the deadline port 4028 may use: the pages must still have their turn."""


class Hammer:
    """A Hammer, a blackMiner or a VolcMiner."""

    __slots__ = (
        *("_closed", "_closed_until", "_context", "_endpoint", "_id", "_info", "_rpc", "_slow"),
        *("_status_page", "_web"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=by_digest, factory=FACTORY_CREDENTIALS)
        self._slow = SlowPages(self._page, SLOW_PAGES)
        self._id = endpoint.provisional_id
        self._info: dict[str, Any] = {}
        self._status_page: str | None = None
        self._closed: DriverError | None = None
        """Why port 4028 is left alone for a while."""
        self._closed_until = 0.0

    async def identify(self) -> Identity:
        """By `version` and by the web page; raises only where neither side answers."""
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._page(SYSTEM_INFO, self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        self._slow.forget()
        self._closed = None
        self._info = _essence(info)
        identity = parse_identity(version, info, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`stats` and `pools` in one question where commands join, and pages now and then."""
        deadline = self._deadline()
        try:
            report = await self._ask_rpc(deadline)
        except NoResources:
            raise
        except DriverError as error:
            return await self._read_page(error, deadline)
        now = self._context.clock.now()
        aside = await self._slow.look(deadline, now, words_of(report), uptime_of(report))
        lacking = missing(Report({}, aside.errors))
        parts = aside.parts
        return parse(report, self._id, now, parts.get(CONFIG), parts.get(BLINK), lacking)

    async def close(self) -> None:
        """Nothing is held: digest authentication knows no sessions."""
        self._web.forget()

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _ask_rpc(self, deadline: Deadline) -> Report:
        if self._closed and self._context.clock.monotonic() < self._closed_until:
            raise self._closed
        share = Deadline(self._context.clock, deadline.left_s(RPC_SHARE))
        try:
            report = await self._rpc.ask_all(COMMANDS, deadline=share)
        except Refused:
            return await self._rpc.ask_all(FALLBACK_COMMANDS, deadline=share)
        if "stats" in report.replies or not isinstance(report.errors.get("stats"), Refused):
            return report
        more = await self._rpc.ask_all(FALLBACK_COMMANDS[:2], deadline=share)
        replies, errors = {**more.replies, **report.replies}, {**more.errors, **report.errors}
        return Report(replies, errors, report.cut + more.cut)

    async def _read_page(self, problem: DriverError, deadline: Deadline) -> Sample:
        """The status page; raises the RPC's problem where that does not help."""
        if not self._info:
            try:
                self._info = _essence(await self._page(SYSTEM_INFO, deadline))
            except DriverError as error:
                raise problem from error
        page = await self._ask_status(problem, deadline)
        if problem is not self._closed and isinstance(problem, Refused | Unreachable):
            self._closed = problem
            self._closed_until = self._context.clock.monotonic() + CLOSED_S
        words = missing(Report({}, {"rpc": problem}))
        make = make_of(self._info.get("minertype"))
        now = self._context.clock.now()
        return parse_status(page, self._info, make, self._id, now, words)

    async def _ask_status(self, problem: DriverError, deadline: Deadline) -> dict[str, Any]:
        for path in (self._status_page,) if self._status_page else STATUS_PAGES:
            try:
                reply = await self._web.request("GET", path, deadline)
                if reply.status != 200:
                    decoded(reply, path)  # raises what the status says
                page = decode(reply.body)
            except Unsupported:
                continue
            except DriverError as error:
                raise problem from error
            self._status_page = path
            return page
        raise problem

    async def _page(self, path: str, deadline: Deadline) -> dict[str, Any]:
        page = await self._web.json(path, deadline)
        if not isinstance(page, dict):
            raise BadReply("the page is not an object")
        return page


def _essence(info: dict[str, Any]) -> dict[str, Any]:
    """What a reading takes from the page: thousands of machines keep it."""
    keys = ("minertype", "macaddr", "system_filesystem_version")
    return {key: info[key] for key in keys if key in info}
