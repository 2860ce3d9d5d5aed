"""Bitmain's stock firmware: polled over 4028, identified over its web pages.

Port 4028 has no MAC; `/cgi-bin/get_system_info.cgi` behind digest authentication has it.
`devs` shows no rate since the S19 and `summary` repeats what `stats` and `pools` say, so
neither is asked unless `stats` fails. Watts are not reported by this firmware.
"""

from __future__ import annotations

from typing import Any

from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer_answers import (
    Pools,
    head_and_body,
    parse,
    parse_page,
    parse_system_info,
    words_of,
)
from drivers.asic.cgminer import ask_version
from drivers.asic.fields import number
from drivers.errors import AccessDenied, DriverError, Refused
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "pools")
FACTORY_CREDENTIAL = Credential("root", "root")
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"


POOLS_EVERY_S = 45.0
"""Modern firmware wants a connection for each command. Polled every 10 s, most polls then need
one instead of two; polled every 60 s, each has fresh pools."""


class Antminer:
    """A stock Antminer."""

    __slots__ = ("_context", "_endpoint", "_id", "_pools", "_rpc")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._pools: Pools | None = None

    async def identify(self) -> Identity:
        """By the web page where it opens to us, else by `version` alone: then provisional.

        Raises only where neither side answers.
        """
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._system_info()
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        identity = parse_system_info(version, info, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`stats`, and `pools` with it where commands join; else `pools` only now and then."""
        if self._rpc.joins is not False:
            return self._remember(await self._rpc.ask_all(COMMANDS))
        try:
            stats = await self._rpc.ask_all(("stats",))
        except Refused:
            return self._remember(await self._rpc.ask_all(FALLBACK_COMMANDS))
        if self._wants_pools(stats):
            return self._remember(merged(stats, await self._ask_pools()))
        return parse(stats, self._id, self._context.clock.now(), self._pools)

    def _remember(self, report: Report) -> Sample:
        """Parse a report that holds fresh pools, and keep those for the next polls."""
        now = self._context.clock.now()
        sample = parse(report, self._id, now)
        fresh = "pools" in report.replies and "pools" not in report.cut
        if fresh and isinstance(sample.reading, MinerReading):
            words = words_of(*head_and_body(report))
            self._pools = Pools(sample.reading.pools, now, words, sample.reading.uptime_s)
        return sample

    def _wants_pools(self, stats: Report) -> bool:
        head, body = head_and_body(stats)
        now, pools = self._context.clock.now(), self._pools
        if pools is None or pools.is_due(now, POOLS_EVERY_S):
            return True
        # A machine that stands still is looked at closely: its pools may be the reason.
        standing = not number(body.get("GHS 5s"))
        return standing or not pools.is_of(words_of(head, body), number(body.get("Elapsed")), now)

    async def _ask_pools(self) -> Report:
        try:
            return await self._rpc.ask_all(("pools",))
        except DriverError as error:
            return Report({}, {"pools": error})

    async def close(self) -> None:
        """Nothing is held."""

    async def _system_info(self) -> dict[str, Any]:
        host = f"{self._endpoint.address}:{self._endpoint.web_port}"
        denied: DriverError = AccessDenied(401, f"{host}: no password opens the web page")
        for credential in (*self._context.credentials(self._endpoint), FACTORY_CREDENTIAL):
            page = await self._context.web.request(
                "GET",
                f"http://{host}{SYSTEM_INFO}",
                deadline_s=self._context.deadline_s,
                login=self._context.web.digest(credential),
            )
            if page.status not in (401, 403):
                return parse_page(page)
        raise denied


def merged(one: Report, other: Report) -> Report:
    """Two reports as one."""
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
