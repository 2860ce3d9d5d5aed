"""Goldshell: polled over port 4028, which wants no password; its pages know MAC and plan.

The web server is the weaker side: its program crashed at some fifteen requests a second and
now and then denies a good token when several requests run at once. So it is asked for the
power plan alone, every two minutes, one page after the other, and polled only where port 4028
is closed.
"""

from __future__ import annotations

from typing import Any, cast

from drivers.api import Context, Endpoint
from drivers.asic.goldshell.answers import (
    ALGORITHMS_PAGE,
    DEVS_PAGE,
    NO_PLAN,
    POOLS_PAGE,
    SETTING_PAGE,
    STATUS_PAGE,
    Plan,
    as_report,
    parse,
    parse_chips,
    parse_identity,
    parse_plan,
    with_plan,
)
from drivers.asic.goldshell.login import FACTORY, enter
from drivers.asic.kept import Kept
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
)
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

COMMANDS = ("summary", "devs", "pools")
PLAN_EVERY_S = 120.0


class Goldshell:
    """A Goldshell miner or box."""

    __slots__ = ("_chips", "_context", "_endpoint", "_id", "_plan", "_rpc", "_web")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._endpoint = endpoint
        self._id = endpoint.provisional_id
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=enter, factory=FACTORY)
        self._chips: dict[int, int] = {}
        self._plan: Kept[Plan] | None = None

    async def identify(self) -> Identity:
        """By `version` and the pages; raises only where neither side answers."""
        version, problem = await self._ask("version")
        details, _ = await self._ask("devdetails") if problem is None else ({}, None)
        pages = await self._fetch()
        if problem is not None and not pages:
            raise problem
        self._chips = parse_chips(details)
        identity = parse_identity(version, pages, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One joined question, and the plan where it is due; the pages where the port is closed."""
        deadline = self._deadline()
        now = self._context.clock.now()
        try:
            report = await self._rpc.ask_all(COMMANDS, deadline=deadline)
        except (Unreachable, Refused, BadReply) as error:
            return await self._read_pages(error, now, deadline)
        sample = parse(report, self._id, now, NO_PLAN, self._chips)
        return with_plan(sample, await self._plan_of(sample, now, deadline))

    async def close(self) -> None:
        """Nothing is held: the token is the same for everybody and never ends."""

    async def _read_pages(self, error: DriverError, now: float, deadline: Deadline) -> Sample:
        try:
            found = await self._web.pages((DEVS_PAGE, POOLS_PAGE, SETTING_PAGE), deadline)
        except DriverError:
            raise error from None
        report = as_report(found.replies, Report({}, {"rpc": error, **found.errors}))
        if not report.replies:
            raise error
        plan = parse_plan(found.replies.get(SETTING_PAGE))
        return parse(report, self._id, now, plan, self._chips)

    async def _plan_of(self, sample: Sample, now: float, deadline: Deadline) -> Plan:
        reading, words = cast("MinerReading", sample.reading), sample.fingerprint.traits
        known = self._plan
        if known is not None and not known.is_of(words, reading.uptime_s, now):
            known = None
        # A machine that stands still is looked at closely: it may have been told to.
        if known is not None and reading.hashrate_ths and not known.is_due(now, PLAN_EVERY_S):
            return known.value
        try:
            plan = parse_plan(await self._web.json(SETTING_PAGE, deadline))
        except NoResources:
            raise
        except DriverError:
            plan = known.value if known is not None else NO_PLAN
        self._plan = Kept(plan, now, words, reading.uptime_s)
        return plan

    async def _ask(self, command: str) -> tuple[dict[str, Any], DriverError | None]:
        try:
            return await self._rpc.ask(command), None
        except NoResources:
            raise
        except DriverError as error:
            return {}, error

    async def _fetch(self) -> dict[str, Any]:
        """The pages that open; identification may take its time, so a deadline for each."""
        # The first wants no password (seen on an SC Box): it says the model to strangers, too.
        plain = WebClient(self._endpoint, self._context)
        questions = ((plain, STATUS_PAGE), (self._web, STATUS_PAGE), (self._web, SETTING_PAGE))
        pages: dict[str, Any] = {}
        for client, path in (*questions, (self._web, ALGORITHMS_PAGE)):
            try:
                if path not in pages:
                    pages[path] = await client.json(path, self._deadline())
            except NoResources:
                raise
            except (DeviceTimeout, Unreachable):
                break
            except AccessDenied:
                if path == SETTING_PAGE:
                    break  # no password opens: the next page would have it tried once more
            except DriverError:
                continue
        return pages

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)
