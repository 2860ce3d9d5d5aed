"""Bitmain's stock firmware: polled over 4028, identified over its web pages.

Port 4028 has no MAC; `/cgi-bin/get_system_info.cgi` behind digest authentication has it.
`devs` shows no rate since the S19 and `summary` repeats what `stats` and `pools` say, so
neither is asked unless `stats` fails. Watts are not reported by this firmware, but for the
newest. What the web pages alone know (mode on some builds, faults, light, serials of the boards)
is read every few minutes; a machine whose port 4028 is closed is read by the pages alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer.answers import (
    Pools,
    head_and_body,
    parse,
    parse_page,
    parse_system_info,
    words_of,
)
from drivers.asic.antminer.boards import type_of
from drivers.asic.antminer.pages import NOTHING_ASIDE, Aside, parse_aside
from drivers.asic.cgminer import ask_version
from drivers.asic.fields import first, number
from drivers.asic.kept import Kept
from drivers.errors import DriverError, Refused, Unreachable, Unsupported
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import (
    ANSWER_LIMIT_BYTES,
    CgminerRpc,
    Report,
    checked,
    decode,
    rows,
)
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

__all__ = ["Antminer", "Pools", "merged", "parse", "parse_page", "parse_system_info"]

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "pools")
FACTORY_CREDENTIAL = Credential("root", "root")
POOLS_EVERY_S = 45.0
"""Modern firmware wants a connection for each command. Polled every 10 s, most polls then need
one instead of two; polled every 60 s, each has fresh pools."""
ASIDE_EVERY_S = 900.0
"""A web page costs as much CPU as two polls: three of them every 5 minutes were a sixth of all."""
ASIDE_RETRY_S = 45.0
"""A machine that stands still is looked at closely: it may have been told to sleep."""
ASIDE_SHARE = 0.4
"""How much of what the RPC left of the deadline the web side may use."""
PAGES_SHARE = 0.8
"""The same where the RPC tells too little."""
NEW_FORM = b'{"command":"stats","new_api":true}'
WEB_RESTS_S = 300.0
_ASIDE_PAGES = ("get_miner_conf", "summary", "get_blink_status")
_POLL_PAGES = ("stats", "pools")


class Antminer:
    """A stock Antminer."""

    __slots__ = (
        *("_aside", "_context", "_endpoint", "_id", "_looked_at", "_pools", "_rpc"),
        *("_new_form", "_rpc_closed", "_web", "_web_problem", "_web_rests_until"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=by_digest, factory=(FACTORY_CREDENTIAL,))
        self._id = endpoint.provisional_id
        self._pools: Pools | None = None
        self._aside: Kept[Aside] | None = None
        self._looked_at = 0.0
        self._new_form = False
        self._rpc_closed = False
        self._web_rests_until = 0.0
        self._web_problem: DriverError | None = None

    async def identify(self) -> Identity:
        """By the web page where it opens to us, else by `version` alone: then provisional.

        Raises only where neither side answers.
        """
        self._pools, self._aside, self._new_form, self._web_rests_until = None, None, False, 0.0
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await self._version()
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._page("get_system_info", self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        self._rpc_closed = not version and isinstance(problems[0], Unreachable | Refused)
        identity = parse_system_info(version, info, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`stats`, and `pools` with it where commands join; else `pools` only now and then."""
        deadline = self._deadline()
        if self._rpc_closed:
            return await self._read_pages(deadline, Report({}))
        report, pools = await self._poll(deadline)
        if "stats" not in report.replies and not self._web_rests:
            try:
                share = Deadline(self._context.clock, deadline.left_s(PAGES_SHARE))
                return await self._read_pages(share, report)
            except DriverError:
                self._rest()
        return await self._complete(report, pools, deadline)

    async def close(self) -> None:
        """Nothing is held."""

    # --- port 4028 -------------------------------------------------------------------------

    async def _version(self) -> dict[str, Any]:
        """`version`; where it names no model, with the head of `stats` that does."""
        version = await ask_version(self._rpc)
        row = (rows(version, "VERSION") or [{}])[0]
        if type_of(row) is None:
            try:
                head, _ = head_and_body(Report({"stats": await self._rpc.ask("stats")}))
            except DriverError:
                return version
            return {"VERSION": [{**head, **row}]}
        return version

    async def _poll(self, deadline: Deadline) -> tuple[Report, Pools | None]:
        """What was asked, and earlier pools where none were."""
        if self._rpc.joins is not False:
            return await self._rpc.ask_all(COMMANDS, deadline=deadline), None
        try:
            stats = await self._ask_stats(deadline)
        except Refused:
            return await self._rpc.ask_all(FALLBACK_COMMANDS, deadline=deadline), None
        if self._wants_pools(stats):
            return merged(stats, await self._ask_pools(deadline)), None
        return stats, self._pools

    async def _ask_stats(self, deadline: Deadline) -> Report:
        if not self._new_form:
            return await self._rpc.ask_all(("stats",), deadline=deadline)
        # The newest machines know their watts, and tell them in the new form alone.
        raw = await self._context.wire.exchange(
            self._endpoint.address,
            self._endpoint.rpc_port,
            NEW_FORM,
            deadline_s=deadline.left_s(),
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
        answer = decode(raw)
        return Report({"stats": checked(answer.reply)}, {}, ("stats",) if answer.cut else ())

    def _wants_pools(self, stats: Report) -> bool:
        head, body = head_and_body(stats)
        now, pools = self._context.clock.now(), self._pools
        if pools is None or pools.is_due(now, POOLS_EVERY_S):
            return True
        # A machine that stands still is looked at closely: its pools may be the reason.
        return _stands(body) or not pools.is_of(words_of(head, body), _uptime_s(body), now)

    async def _ask_pools(self, deadline: Deadline) -> Report:
        try:
            return await self._rpc.ask_all(("pools",), deadline=deadline)
        except DriverError as error:
            return Report({}, {"pools": error})

    async def _complete(self, report: Report, pools: Pools | None, deadline: Deadline) -> Sample:
        """The sample, with what the web side says; fresh pools are kept for the next polls."""
        now = self._context.clock.now()
        head, body = head_and_body(report)
        words, uptime_s = words_of(head, body), _uptime_s(body)
        aside = self._known(words, uptime_s, now)
        if self._wants_aside(body, words, uptime_s, now):
            aside = await self._look_aside(aside, Kept(aside, now, words, uptime_s), deadline)
        if self._web_problem is not None:
            report = merged(report, Report({}, {"web": self._web_problem}))
        sample = parse(report, self._id, now, pools, aside)
        fresh = "pools" in report.replies and "pools" not in report.cut
        if fresh and isinstance(sample.reading, MinerReading):
            self._pools = Pools(sample.reading.pools, now, words, sample.reading.uptime_s)
        return sample

    # --- the web side ----------------------------------------------------------------------

    def _wants_aside(
        self, body: Any, words: tuple[str, ...], uptime_s: float | None, now: float
    ) -> bool:
        if not body or self._web_rests:
            return False
        kept = self._aside
        if kept is None:
            return True
        if not (_stands(body) or not kept.is_of(words, uptime_s, now)):
            return kept.is_due(now, ASIDE_EVERY_S)
        return not 0 <= now - self._looked_at < ASIDE_RETRY_S

    def _known(self, words: tuple[str, ...], uptime_s: float | None, now: float) -> Aside:
        kept = self._aside
        return kept.value if kept and kept.is_of(words, uptime_s, now) else NOTHING_ASIDE

    async def _look_aside(self, before: Aside, mark: Kept[Aside], deadline: Deadline) -> Aside:
        """Read the slow pages in a small share of the time; after a failure they rest."""
        self._looked_at = mark.at
        # The serials of the boards do not change: one look is enough.
        names = _ASIDE_PAGES if before.serials else (*_ASIDE_PAGES, "stats")
        try:
            share = Deadline(self._context.clock, deadline.left_s(ASIDE_SHARE))
            pages = await self._pages(names, share)
        except DriverError as error:
            self._rest()
            # Old machines and locked-down sites have no web side: nothing is missing there.
            absent = isinstance(error, Unreachable | Unsupported)
            self._web_problem = None if absent else error
            return before
        self._web_problem = None
        found = parse_aside(pages.replies, before)
        self._new_form = self._new_form or found.watts is not None
        self._aside = mark._replace(value=msgspec.structs.replace(found, watts=None))
        return found

    @property
    def _web_rests(self) -> bool:
        return self._context.clock.monotonic() < self._web_rests_until

    def _rest(self) -> None:
        self._web_rests_until = self._context.clock.monotonic() + WEB_RESTS_S

    async def _read_pages(self, deadline: Deadline, told: Report) -> Sample:
        """A machine that says too little at port 4028, by its pages."""
        names = (*_POLL_PAGES, *_ASIDE_PAGES)
        pages = await self._pages(tuple(n for n in names if n not in told.replies), deadline)
        found = told.replies | pages.replies
        stats = _completed(found.get("stats", {}), pages.replies.get("summary", {}))
        if not stats["STATS"]:
            raise Unsupported(None, "no page tells what it does")
        report = Report({"stats": stats, "pools": found.get("pools", {})}, pages.errors)
        return parse(report, self._id, self._context.clock.now(), aside=parse_aside(pages.replies))

    async def _pages(self, names: tuple[str, ...], deadline: Deadline) -> Report:
        found = await self._web.pages([_path(name) for name in names], deadline)
        by_path = {_path(name): name for name in names}
        pages = {by_path[path]: page for path, page in found.replies.items()}
        errors = {by_path[path]: error for path, error in found.errors.items()}
        return Report({k: v for k, v in pages.items() if isinstance(v, dict)}, errors)

    async def _page(self, name: str, deadline: Deadline) -> dict[str, Any]:
        return parse_page(await self._web.request("GET", _path(name), deadline))

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)


def _path(name: str) -> str:
    return f"/cgi-bin/{name}.cgi"


def _stands(body: Any) -> bool:
    return not number(first(body, ("GHS 5s", "rate_5s", "MHS 5s")))


def _uptime_s(body: Any) -> float | None:
    return number(first(body, ("Elapsed", "elapsed")))


def _completed(stats: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """`stats.cgi` with the rates and errors that stand in `summary.cgi`, or these alone."""
    body = {**_first(summary, "SUMMARY"), **_first(stats, "STATS")}
    return {"INFO": stats.get("INFO") or summary.get("INFO"), "STATS": [body] if body else []}


def _first(page: dict[str, Any], section: str) -> dict[str, Any]:
    return (rows(page, section) or [{}])[0]


def merged(one: Report, other: Report) -> Report:
    """Two reports as one."""
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
