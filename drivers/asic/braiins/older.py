"""Braiins OS where REST is not there or not open: port 4028, GraphQL and LuCI.

What port 4028 does not tell (serials of boards, the locating light, the hostname, what the
firmware complains of) comes from GraphQL every two minutes. Where port 4028 gives nothing but a
version, GraphQL is read in each poll. The MAC is on LuCI's page `iface_status/lan`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from drivers.api import Context, Endpoint
from drivers.asic import cgminer
from drivers.asic.aside import Aside, Slow, SlowPages
from drivers.asic.braiins import graph as braiins_graph
from drivers.asic.braiins import identity as braiins_identity
from drivers.asic.braiins import rpc as braiins_rpc
from drivers.asic.braiins.rpc import NOTHING, Extra
from drivers.asic.braiins.web import BraiinsWeb, ask_whole
from drivers.asic.cgminer import missing
from drivers.asic.fields import number, text
from drivers.asic.page_parts import section
from drivers.errors import (
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    Unsupported,
)
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline

GRAPH_EVERY_S = 120.0
LAN, INFO = "admin/network/iface_status/lan", "bos/info"
NAMING = ("version", "devdetails")


async def tried(asked: Awaitable[Any]) -> Any:
    """What was answered, or the error."""
    try:
        return await asked
    except DriverError as error:
        if isinstance(error, NoResources):
            raise
        return error


class Older:
    """The older ways to read one machine, and which of them has proved to be there."""

    __slots__ = (
        "_clock",
        "_deadline_s",
        "_graph",
        "_id",
        "_provisional_id",
        "_rpc",
        "_rpc_is_poor",
        "_web",
        "is_classic",
        "model",
        "rest_seen",
    )

    def __init__(
        self, endpoint: Endpoint, context: Context, rpc: CgminerRpc, web: BraiinsWeb
    ) -> None:
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._provisional_id = self._id = endpoint.provisional_id
        self._rpc, self._web = rpc, web
        self._graph = SlowPages(
            self._ask_graph, {"graphql": Slow(GRAPH_EVERY_S, braiins_graph.reduce)}
        )
        self._rpc_is_poor = False
        """True while port 4028 gives nothing but a version."""
        self.is_classic = False
        """True for the first Braiins OS, which ran bmminer."""
        self.model: str | None = None
        self.rest_seen = False

    def refresh(self) -> None:
        """Ask GraphQL anew."""
        self._graph.forget()

    def forget(self) -> None:
        """Find out anew which ways there are."""
        self.is_classic = self._rpc_is_poor = False
        self._graph.forget()

    # --- who it is ---------------------------------------------------------------------------

    async def identify(self, rest: Any) -> Identity:
        """By `version`, `devdetails`, GraphQL and LuCI together; `rest` is what REST said."""
        report = await tried(self._rpc.ask_all(NAMING, deadline=self._deadline()))
        web_is_silent = isinstance(rest, Unreachable | DeviceTimeout)
        graph = rest if web_is_silent else await tried(ask_whole(self._web, self._deadline()))
        lan = rest if web_is_silent else await tried(self._web.luci(LAN, self._deadline()))
        told = [found for found in (report, graph, lan) if not isinstance(found, DriverError)]
        if not told:
            quiet = isinstance(report, Unreachable) and isinstance(rest, DriverError)
            raise rest if quiet and not web_is_silent else report
        info: Any = None  # of builds before GraphQL
        if isinstance(graph, Unsupported):
            info = await tried(self._web.luci(INFO, self._deadline()))
        return braiins_identity.parse_identity(
            report if isinstance(report, Report) else Report({}),
            graph if isinstance(graph, dict) else None,
            lan,
            text(section(info).get("version")),
            self._provisional_id,
        )

    def _deadline(self) -> Deadline:
        return Deadline(self._clock, self._deadline_s)

    # --- a poll ------------------------------------------------------------------------------

    async def read(self, device_id: str, deadline: Deadline, problem: DriverError | None) -> Sample:
        """By port 4028, else by GraphQL; `problem` is what REST said.

        Raises that where neither of the older ways is there.
        """
        self._id = device_id
        if self._rpc_is_poor:
            return await self._read_graph(deadline, problem, Report({}))
        try:
            commands = cgminer.COMMANDS if self.is_classic else braiins_rpc.COMMANDS
            report = await self._rpc.ask_all(commands, deadline=deadline)
        except NoResources:
            raise
        except DriverError as error:
            return await self._without_rpc(deadline, problem, error)
        if braiins_rpc.is_poor(report):
            return await self._read_graph(deadline, problem, report)
        if self.is_classic or _is_classic(report):
            return await self._read_classic(report, deadline)
        extra = await self._extra(report, deadline, problem)
        return braiins_rpc.parse(report, self._id, self._clock.now(), extra)

    async def _read_classic(self, report: Report, deadline: Deadline) -> Sample:
        if not self.is_classic:
            report = await self._rpc.ask_all(cgminer.COMMANDS, deadline=deadline)
            self.is_classic = True
        return cgminer.parse(report, self._id, self._clock.now())

    async def _without_rpc(
        self, deadline: Deadline, problem: DriverError | None, error: DriverError
    ) -> Sample:
        if isinstance(error, Refused) and braiins_rpc.is_booting(Report({}, {"rpc": error})):
            self._rpc.joins = None  # a joined answer of refusals alone says nothing of joining
            report = Report({}, {"summary": error})
            return braiins_rpc.parse(report, self._id, self._clock.now())
        if isinstance(problem, Unreachable | DeviceTimeout):
            raise problem
        try:
            return await self._read_graph(deadline, None, Report({}, {"rpc": error}))
        except NoResources:
            raise
        except DriverError:
            raise problem or error from None

    async def _read_graph(
        self, deadline: Deadline, problem: DriverError | None, report: Report
    ) -> Sample:
        """By GraphQL; where that is closed as well, by what port 4028 gave."""
        errors = dict(report.errors) if "rpc" in report.errors else {}
        errors.update(self._named(problem))
        try:
            data = await ask_whole(self._web, deadline, errors)
        except DriverError as error:
            if isinstance(error, NoResources) or not report.replies:
                self._rpc_is_poor = False
                raise
            found = Extra(model=self.model, missing=missing(Report({}, {"graphql": error})))
            return braiins_rpc.parse(report, self._id, self._clock.now(), found)
        self._rpc_is_poor = "rpc" not in report.errors
        now = self._clock.now()
        return braiins_graph.parse(data, self._id, now, Report({}, errors), self.model)

    async def _extra(
        self, report: Report, deadline: Deadline, problem: DriverError | None
    ) -> Extra:
        """What GraphQL adds, as of the last two minutes; nothing where the web side is silent."""
        failed = self._named(problem)
        if isinstance(problem, Unreachable | DeviceTimeout):
            return Extra(model=self.model, missing=missing(Report({}, failed)))
        words = tuple(filter(None, (braiins_rpc.program_of(report),)))
        uptime_s = number(braiins_rpc.row_of(report, "summary").get("Elapsed"))
        now = self._clock.now()
        aside: Aside = await self._graph.look(deadline, now, words, uptime_s)
        extra: Extra = aside.parts.get("graphql", NOTHING)
        failed.update(aside.errors)
        told = (*extra.missing, *missing(Report({}, failed)))
        return extra._replace(model=extra.model or self.model, missing=told)

    def _named(self, problem: DriverError | None) -> dict[str, DriverError]:
        """What REST said, by name. A web side that has shown no REST need not be there."""
        silent = isinstance(problem, Unreachable | DeviceTimeout)
        return {} if problem is None or (silent and not self.rest_seen) else {"rest": problem}

    async def _ask_graph(self, _: str, deadline: Deadline) -> Any:
        return await ask_whole(self._web, deadline)


def _is_classic(report: Report) -> bool:
    """True for the first Braiins OS (2018, 2019), whose program was bmminer."""
    version = braiins_rpc.row_of(report, "version")
    own = {*braiins_rpc.OWN_COMMANDS} & report.replies.keys()
    return bool(version) and not own and not any(name in version for name in braiins_rpc.PROGRAMS)
