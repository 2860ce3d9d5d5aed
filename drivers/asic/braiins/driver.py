"""Braiins OS, all generations: BOSminer on port 4028, REST, GraphQL, and the gRPC not spoken.

- From 25.07 on REST (`/api/v1/`) tells everything and a poll is four pages on one kept
  connection, the rest now and then. Without a password that opens it, port 4028 is read.
- Before, a poll is one connection to port 4028, which joins commands (documented) and wants no
  login; what it does not tell (serials of boards, the locating light, the hostname, what the
  firmware complains of) comes from GraphQL every two minutes.
- Where port 4028 gives nothing but a version, GraphQL is read in each poll. The MAC is on LuCI's
  page `iface_status/lan`.

gRPC (port 50051, 23.03 and newer) is not spoken: it would be a dependency for little. What that
loses, on 23.03 to 25.05 only, where REST is not there yet: the status word (`paused`, `suspended`;
a pause shows in `tunerstatus` and `devdetails` on some of these builds alone, otherwise the state
is unknown), the sticker's rate, the serial of machine and supply, the limits of the power target,
the tuner's overall state, and the log of errors.
"""

from __future__ import annotations

from typing import Any

from drivers.api import Context, Endpoint
from drivers.asic import cgminer
from drivers.asic.aside import Aside, Slow, SlowPages
from drivers.asic.braiins import graph as braiins_graph
from drivers.asic.braiins import identity as braiins_identity
from drivers.asic.braiins import rest as braiins_rest
from drivers.asic.braiins import rpc as braiins_rpc
from drivers.asic.braiins.build import (
    BOARDS,
    COOLING,
    DETAILS,
    SLOW,
    STATS,
    parse_identity,
    uptime_of,
    words_of,
)
from drivers.asic.braiins.rpc import NOTHING, Extra
from drivers.asic.braiins.web import BraiinsWeb, ask_whole
from drivers.asic.cgminer import missing
from drivers.asic.fields import number, text
from drivers.asic.page_parts import section
from drivers.errors import (
    BadReply,
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

POLLED = (STATS, BOARDS, COOLING)
GRAPH_EVERY_S = 120.0
LAN, INFO = "admin/network/iface_status/lan", "bos/info"
NAMING = ("version", "devdetails")
WEB_SHARE = 0.6
"""How much of a read the web side may take: port 4028 tells much of it as well."""
WEB_REST_S = 60.0
"""How long a web side that did not answer is left alone, where port 4028 does."""


class Braiins:
    """A miner with Braiins OS."""

    __slots__ = (
        "_clock",
        "_deadline_s",
        "_endpoint",
        "_graph",
        "_has_rest",
        "_id",
        "_is_classic",
        "_model",
        "_pages",
        "_rest_seen",
        "_rpc",
        "_rpc_is_poor",
        "_web",
        "_web_problem",
        "_web_until",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._id = endpoint.provisional_id
        self._model: str | None = None
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = BraiinsWeb(endpoint, context)
        self._pages = SlowPages(self._web.page, SLOW)
        self._graph = SlowPages(
            self._ask_graph, {"graphql": Slow(GRAPH_EVERY_S, braiins_graph.reduce)}
        )
        self._has_rest = True
        """False once the machine has said that it does not know REST."""
        self._rest_seen = False
        self._is_classic = False
        self._rpc_is_poor = False
        """True while port 4028 gives nothing but a version."""
        self._web_until = 0.0
        self._web_problem: DriverError | None = None

    # --- who it is ---------------------------------------------------------------------------

    async def identify(self) -> Identity:
        """By REST; else by `version`, `devdetails`, GraphQL and LuCI together.

        Raises only where nothing answers.
        """
        self._has_rest, self._is_classic, self._rpc_is_poor = True, False, False
        self._web_until = 0.0
        self._pages.forget()
        self._graph.forget()
        details = await self._try(self._web.page(DETAILS, self._deadline()))
        if words_of(details):
            identity = parse_identity(details, self._endpoint.provisional_id)
        else:
            identity = await self._identify_older(details)
        self._id, self._model = identity.id, identity.model
        return identity

    async def _identify_older(self, rest: Any) -> Identity:
        self._has_rest = not isinstance(rest, Unsupported)
        report = await self._try(self._rpc.ask_all(NAMING, deadline=self._deadline()))
        web_is_silent = isinstance(rest, Unreachable | DeviceTimeout)
        graph = rest if web_is_silent else await self._try(ask_whole(self._web, self._deadline()))
        lan = rest if web_is_silent else await self._try(self._web.luci(LAN, self._deadline()))
        told = [found for found in (report, graph, lan) if not isinstance(found, DriverError)]
        if not told:
            quiet = isinstance(report, Unreachable) and isinstance(rest, DriverError)
            raise rest if quiet and not web_is_silent else report
        info: Any = None  # of builds before GraphQL
        if isinstance(graph, Unsupported):
            info = await self._try(self._web.luci(INFO, self._deadline()))
        return braiins_identity.parse_identity(
            report if isinstance(report, Report) else Report({}),
            graph if isinstance(graph, dict) else None,
            lan,
            text(section(info).get("version")),
            self._endpoint.provisional_id,
        )

    async def _try(self, asked: Any) -> Any:
        """What was answered, or the error."""
        try:
            return await asked
        except DriverError as error:
            if isinstance(error, NoResources):
                raise
            return error

    def _deadline(self) -> Deadline:
        return Deadline(self._clock, self._deadline_s)

    # --- a poll ------------------------------------------------------------------------------

    async def read(self) -> Sample:
        """By REST where it opens, else by port 4028, else by GraphQL."""
        deadline = self._deadline()
        problem = self._web_problem if self._clock.monotonic() < self._web_until else None
        if self._has_rest and problem is None:
            try:
                return await self._read_rest(Deadline(self._clock, deadline.left_s(WEB_SHARE)))
            except NoResources:
                raise
            except DriverError as error:
                problem = error
        if isinstance(problem, Unsupported):
            self._has_rest, problem = False, None
        sample = await self._read_older(deadline, problem)
        if problem is not self._web_problem and isinstance(problem, Unreachable | DeviceTimeout):
            self._web_problem = problem
            self._web_until = self._clock.monotonic() + WEB_REST_S
        return sample

    async def _read_rest(self, deadline: Deadline) -> Sample:
        details = await self._web.page(DETAILS, deadline)
        words = words_of(details)
        if not words:
            raise BadReply(f"{DETAILS}: names no machine")
        self._rest_seen = True
        report = await self._polled(deadline)
        now = self._clock.now()
        aside = await self._pages.look(deadline, now, words, uptime_of(details))
        report.errors.update(aside.errors)
        return braiins_rest.parse(details, report, self._id, now, aside.parts, aside.at)

    async def _polled(self, deadline: Deadline) -> Report:
        """The pages of a poll; while BOSminer is down they answer status 412."""
        report = Report({}, {})
        for path in POLLED:
            try:
                report.replies[path] = await self._web.page(path, deadline)
            except (Unreachable, DeviceTimeout, NoResources):
                raise
            except DriverError as error:
                report.errors[path] = error
        return report

    async def _read_older(self, deadline: Deadline, problem: DriverError | None) -> Sample:
        """Raises what REST said where neither of the older ways is there."""
        if self._rpc_is_poor:
            return await self._read_graph(deadline, problem, Report({}))
        try:
            commands = cgminer.COMMANDS if self._is_classic else braiins_rpc.COMMANDS
            report = await self._rpc.ask_all(commands, deadline=deadline)
        except NoResources:
            raise
        except DriverError as error:
            return await self._without_rpc(deadline, problem, error)
        if braiins_rpc.is_poor(report):
            return await self._read_graph(deadline, problem, report)
        if self._is_classic or _is_classic(report):
            return await self._read_classic(report, deadline)
        extra = await self._extra(report, deadline, problem)
        return braiins_rpc.parse(report, self._id, self._clock.now(), extra)

    async def _read_classic(self, report: Report, deadline: Deadline) -> Sample:
        if not self._is_classic:
            report = await self._rpc.ask_all(cgminer.COMMANDS, deadline=deadline)
            self._is_classic = True
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
            found = Extra(model=self._model, missing=missing(Report({}, {"graphql": error})))
            return braiins_rpc.parse(report, self._id, self._clock.now(), found)
        self._rpc_is_poor = "rpc" not in report.errors
        now = self._clock.now()
        return braiins_graph.parse(data, self._id, now, Report({}, errors), self._model)

    async def _extra(
        self, report: Report, deadline: Deadline, problem: DriverError | None
    ) -> Extra:
        """What GraphQL adds, as of the last two minutes; nothing where the web side is silent."""
        failed = self._named(problem)
        if isinstance(problem, Unreachable | DeviceTimeout):
            return Extra(model=self._model, missing=missing(Report({}, failed)))
        words = tuple(filter(None, (braiins_rpc.program_of(report),)))
        uptime_s = number(braiins_rpc.row_of(report, "summary").get("Elapsed"))
        now = self._clock.now()
        aside: Aside = await self._graph.look(deadline, now, words, uptime_s)
        extra: Extra = aside.parts.get("graphql", NOTHING)
        failed.update(aside.errors)
        told = (*extra.missing, *missing(Report({}, failed)))
        return extra._replace(model=extra.model or self._model, missing=told)

    def _named(self, problem: DriverError | None) -> dict[str, DriverError]:
        """What REST said, by name. A web side that has shown no REST need not be there."""
        silent = isinstance(problem, Unreachable | DeviceTimeout)
        return {} if problem is None or (silent and not self._rest_seen) else {"rest": problem}

    async def _ask_graph(self, _: str, deadline: Deadline) -> Any:
        return await ask_whole(self._web, deadline)

    async def close(self) -> None:
        """Nothing is held: tokens end by themselves, and there is no logout."""


def _is_classic(report: Report) -> bool:
    """True for the first Braiins OS (2018, 2019), whose program was bmminer."""
    version = braiins_rpc.row_of(report, "version")
    own = {*braiins_rpc.OWN_COMMANDS} & report.replies.keys()
    return bool(version) and not own and not any(name in version for name in braiins_rpc.PROGRAMS)
