"""Bitmain's stock firmware: polled over 4028, identified over its web pages.

Port 4028 has no MAC; `/cgi-bin/get_system_info.cgi` behind digest authentication has it.
`devs` shows no rate since the S19 and `summary` repeats what `stats` and `pools` say, so
neither is asked unless `stats` fails. Watts are not reported by this firmware, but for the
newest. What the web pages alone know (mode on some builds, faults, light, serials of the boards)
is read every few minutes; a machine whose port 4028 is closed is read by the pages alone. Orders go
to the pages (`orders.py`): port 4028 lets nobody write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.antminer.answers import (
    Pools,
    head_and_body,
    parse,
    parse_page,
    parse_system_info,
    words_of,
)
from drivers.asic.antminer.boards import type_of
from drivers.asic.antminer.orders import MODERN, NOTHING, PAGES_OF, SLEEPLESS, Orders
from drivers.asic.antminer.pages import parse_aside
from drivers.asic.antminer.web import ASIDE_PAGES, WebSide, wants_pools
from drivers.asic.cgminer import ask_version
from drivers.asic.fields import first, number
from drivers.capabilities import PoolSetting
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

__all__ = ["Antminer", "Pools", "merged", "parse", "parse_page", "parse_system_info"]

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "pools")
POOLS_EVERY_S = 45.0
"""Modern firmware wants a connection for each command. Polled every 10 s, most polls then need
one instead of two; polled every 60 s, each has fresh pools."""
PAGES_SHARE = 0.8
"""How much of what the RPC left of the deadline the pages may use where it tells too little."""
NEW_FORM = b'{"command":"stats","new_api":true}'
_POLL_PAGES = ("stats", "pools")
_OLD_PAGES = frozenset({"ant_hwv", "bb_hwv", "bmminer_version", "cgminer_version", "loadaverage"})
"""What `get_system_info.cgi` says before the nineteenth series, and not since (Bitmain's sources
of the S9; recordings of later ones)."""


class Antminer:
    """A stock Antminer."""

    __slots__ = (
        *("_build", "_context", "_endpoint", "_id", "_latencies"),
        *("_pools", "_rpc", "_rpc_closed", "_side"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._side = WebSide(endpoint, context)
        self._id = endpoint.provisional_id
        self._build: str | None = None
        self._latencies = NOTHING
        self._pools: Pools | None = None
        self._rpc_closed = False

    async def identify(self) -> Identity:
        """By the web page where it opens to us, else by `version` alone: then provisional.

        Raises only where neither side answers.
        """
        self._pools = None
        self._side.forget()
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await self._version()
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._side.page("get_system_info", self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        self._rpc_closed = not version and isinstance(problems[0], Unreachable | Refused)
        identity = parse_system_info(version, info, self._endpoint.provisional_id)
        self._id, self._build = identity.id, identity.firmware_version
        self._latencies = _actions_of(info)
        return identity

    async def read(self) -> Sample:
        """`stats`, and `pools` with it where commands join; else `pools` only now and then."""
        deadline = self._deadline()
        if self._rpc_closed:
            return await self._read_pages(deadline, Report({}))
        report, pools = await self._poll(deadline)
        if "stats" not in report.replies and not self._side.rests:
            try:
                share = Deadline(self._context.clock, deadline.left_s(PAGES_SHARE))
                return await self._read_pages(share, report)
            except DriverError:
                self._side.rest()
        return await self._complete(report, pools, deadline)

    async def close(self) -> None:
        """Nothing is held."""

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By the generation of its pages; nothing where they do not open to us."""
        return MODERN if self._side.sleeps else self._latencies

    def refresh(self) -> None:
        """Ask for pools and pages anew."""
        self._pools = None
        self._side.refresh()

    async def recover(self) -> Receipt | None:
        """See what an interrupted change of pools came to."""
        return await self._orders("set_pools").recover()

    async def pause(self) -> Receipt:
        """Sleep mode."""
        return await self._orders("pause").pause()

    async def resume(self) -> Receipt:
        """The mode that it had before it slept."""
        return await self._orders("resume").resume()

    async def set_mode(self, mode: str) -> Receipt:
        """One of normal, sleep, high, low; not every type has all of them."""
        return await self._orders("set_mode").set_mode(mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, keeping the rest of the configuration."""
        return await self._orders("set_pools").set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        return await self._orders("locate").locate(on=on)

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders("reboot").reboot()

    async def factory_reset(self) -> Receipt:
        """Put every setting back."""
        return await self._orders("factory_reset").factory_reset()

    def _orders(self, action: str) -> Orders:
        self._side.watch(*PAGES_OF.get(action, ASIDE_PAGES))
        return Orders(self._side.client, self._rpc, self._context, self._build)

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
        if not self._side.has_watts:
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
        now = self._context.clock.now()
        return wants_pools(self._pools, body, words_of(head, body), now, POOLS_EVERY_S)

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
        aside = await self._side.look(body, words, uptime_s, deadline)
        if self._side.problem is not None:
            report = merged(report, Report({}, {"web": self._side.problem}))
        sample = parse(report, self._id, now, pools, aside)
        fresh = "pools" in report.replies and "pools" not in report.cut
        if fresh and isinstance(sample.reading, MinerReading):
            self._pools = Pools(sample.reading.pools, now, words, sample.reading.uptime_s)
        return sample

    async def _read_pages(self, deadline: Deadline, told: Report) -> Sample:
        """A machine that says too little at port 4028, by its pages."""
        names = (*_POLL_PAGES, *ASIDE_PAGES)
        pages = await self._side.pages(tuple(n for n in names if n not in told.replies), deadline)
        found = told.replies | pages.replies
        stats = _completed(found.get("stats", {}), pages.replies.get("summary", {}))
        if not stats["STATS"]:
            raise Unsupported(None, "no page tells what it does")
        report = Report({"stats": stats, "pools": found.get("pools", {})}, pages.errors)
        return parse(report, self._id, self._context.clock.now(), aside=parse_aside(pages.replies))

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)


def _actions_of(info: dict[str, Any]) -> Mapping[str, Latency]:
    if not info:
        return NOTHING
    return SLEEPLESS if _OLD_PAGES & info.keys() else MODERN


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
