"""How Hiveon and MSKMiner are polled: `stats` and `pools` on 4028, the web side for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Latency
from drivers.api import Context, Endpoint
from drivers.asic.antminer.answers import Pools, head_and_body, words_of
from drivers.asic.antminer.pages import NOTHING_ASIDE, Aside
from drivers.asic.cgminer import ask_version
from drivers.asic.fields import number
from drivers.asic.rwglr.answers import parse, parse_identity
from drivers.errors import DriverError, Refused, Unreachable, Unsupported
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "devs", "pools")
POOLS_EVERY_S = 45.0
ASIDE_EVERY_S = 45.0
ASIDE_SHARE = 0.4
"""How much of what the RPC left of the deadline the web side may use."""


WATCH_S = 60.0
NOTHING: Mapping[str, Latency] = MappingProxyType({})


class Rwglr:
    """A machine whose bmminer says `rwglr`; its firmware adds the web side."""

    __slots__ = (
        *("_aside", "_build", "_context", "_endpoint", "_id", "_latencies", "_lit_at"),
        *("_looked_at", "_pools", "_rpc", "_seeks_light"),
    )

    firmware = ""

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._pools: Pools | None = None
        self._aside = NOTHING_ASIDE
        self._looked_at: float | None = None
        self._build: str | None = None
        self._latencies = NOTHING
        self._lit_at: float | None = None
        self._seeks_light = False

    async def identify(self) -> Identity:
        """By `version`, and by the web page where it opens; raises only where neither answers."""
        self._pools, self._looked_at, self._aside = None, None, NOTHING_ASIDE
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._web_info(self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        identity = parse_identity(version, info, self._endpoint.provisional_id, self.firmware)
        self._id, self._build = identity.id, identity.firmware_version
        self._latencies = await self._actions() if info else NOTHING
        return identity

    async def read(self) -> Sample:
        """`stats` with each poll, `pools` where they join or are due; the web only of a stand."""
        deadline = self._deadline()
        report, earlier = await self._poll(deadline)
        now = self._context.clock.now()
        head, body = head_and_body(report)
        report = await self._look_aside(report, body, deadline)
        aside = await self._with_light(deadline) if self._seeks_light else self._aside
        sample = parse(report, self._id, now, earlier, aside)
        fresh = "pools" in report.replies and "pools" not in report.cut
        if fresh and isinstance(sample.reading, MinerReading):
            words = words_of(head, body)
            self._pools = Pools(sample.reading.pools, now, words, sample.reading.uptime_s)
        return sample

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What the web side of this machine lets us do; nothing where it does not open to us."""
        return self._latencies

    def refresh(self) -> None:
        """Ask for the pools anew, for a reason of a stand, and after an order for the light."""
        self._pools, self._looked_at = None, None
        now, lit_at = self._context.clock.now(), self._lit_at
        self._seeks_light = lit_at is not None and 0 <= now - lit_at <= WATCH_S

    # --- for the firmwares -------------------------------------------------------------------

    async def _web_info(self, deadline: Deadline) -> dict[str, Any]:
        """What the web side says of the machine, under the names of `get_system_info.cgi`."""
        raise NotImplementedError

    async def _web_aside(self, deadline: Deadline) -> Aside:
        """Why a machine stands still, where the web side says it."""
        return NOTHING_ASIDE

    async def _web_light(self, deadline: Deadline) -> bool | None:
        """Whether the light blinks, asked after it was switched."""
        return None

    async def _actions(self) -> Mapping[str, Latency]:
        """What this machine can do, its web side being open."""
        return NOTHING

    # --- a poll ------------------------------------------------------------------------------

    async def _poll(self, deadline: Deadline) -> tuple[Report, Pools | None]:
        """What was asked, and earlier pools where none were."""
        if self._rpc.joins is not False:
            return await self._poll_whole(deadline), None
        try:
            stats = await self._rpc.ask_all(("stats",), deadline=deadline)
        except Refused:
            return await self._rpc.ask_all(FALLBACK_COMMANDS, deadline=deadline), None
        if not self._wants_pools(stats):
            return stats, self._pools
        try:
            pools = await self._rpc.ask_all(("pools",), deadline=deadline)
        except DriverError as error:
            pools = Report({}, {"pools": error})
        return _merged(stats, pools), None

    async def _poll_whole(self, deadline: Deadline) -> Report:
        report = await self._rpc.ask_all(COMMANDS, deadline=deadline)
        if "stats" in report.replies:
            return report
        try:
            rest = await self._rpc.ask_all(("summary", "devs"), deadline=deadline)
        except DriverError:
            return report
        return _merged(report, rest)

    def _wants_pools(self, stats: Report) -> bool:
        head, body = head_and_body(stats)
        now, pools = self._context.clock.now(), self._pools
        if pools is None or pools.is_due(now, POOLS_EVERY_S) or not number(body.get("GHS 5s")):
            return True
        return not pools.is_of(words_of(head, body), number(body.get("Elapsed")), now)

    async def _look_aside(self, report: Report, body: Any, deadline: Deadline) -> Report:
        """Ask the web side why a machine stands still, now and then; what fails is named."""
        now = self._context.clock.now()
        if not body or number(body.get("GHS 5s")):
            self._aside, self._looked_at = NOTHING_ASIDE, None
            return report
        if self._looked_at is not None and 0 <= now - self._looked_at < ASIDE_EVERY_S:
            return report
        self._looked_at = now
        try:
            share = Deadline(self._context.clock, deadline.left_s(ASIDE_SHARE))
            self._aside = await self._web_aside(share)
        except (Unreachable, Unsupported):  # old machines and closed sites have no web side
            self._aside = NOTHING_ASIDE
        except DriverError as error:
            self._aside = NOTHING_ASIDE
            return _merged(report, Report({}, {"web": error}))
        return report

    async def _with_light(self, deadline: Deadline) -> Aside:
        self._seeks_light = False
        try:
            share = Deadline(self._context.clock, deadline.left_s(ASIDE_SHARE))
            return msgspec.structs.replace(self._aside, locating=await self._web_light(share))
        except DriverError:
            return self._aside

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)


def _merged(one: Report, other: Report) -> Report:
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
