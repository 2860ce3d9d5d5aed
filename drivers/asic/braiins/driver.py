"""Braiins OS, all generations: BOSminer on port 4028, REST, GraphQL, and the gRPC not spoken.

- From 25.07 on REST (`/api/v1/`) tells everything and a poll is four pages on one kept
  connection, the rest now and then. Without a password that opens it, port 4028 is read, and a
  pause goes there: it wants no login.
- Before, a poll is one connection to port 4028, which joins commands (documented) and wants no
  login; see `older`. Orders go to GraphQL, with a login.

gRPC (port 50051, 23.03 and newer) is not spoken: it would be a dependency for little. What that
loses, on 23.03 to 25.05 only, where REST is not there yet: the status word (`paused`, `suspended`;
a pause shows in `tunerstatus` and `devdetails` on some of these builds alone, otherwise the state
is unknown), the sticker's rate, the serial of machine and supply, the limits of the power target,
the tuner's overall state, and the log of errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from drivers.actions import Answer, Expectation, Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.aside import SlowPages
from drivers.asic.braiins import graph_orders, orders
from drivers.asic.braiins import rest as braiins_rest
from drivers.asic.braiins.build import (
    BOARDS,
    COOLING,
    DETAILS,
    LOCATE,
    SLOW,
    STATS,
    parse_identity,
    uptime_of,
    words_of,
)
from drivers.asic.braiins.older import Older, tried
from drivers.asic.braiins.web import BraiinsWeb
from drivers.asic.unfinished import finish, under_way
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Unreachable,
    Unsupported,
)
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

POLLED = (STATS, BOARDS, COOLING)
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
        "_has_rest",
        "_id",
        "_memory",
        "_older",
        "_pages",
        "_rpc",
        "_takes_graph_orders",
        "_web",
        "_web_problem",
        "_web_until",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._memory = context.memory
        self._id = endpoint.provisional_id
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = BraiinsWeb(endpoint, context)
        self._pages = SlowPages(self._web.page, SLOW)
        self._older = Older(endpoint, context, self._rpc, self._web)
        self._has_rest = True
        """False once the machine has said that it does not know REST."""
        self._takes_graph_orders = False
        self._web_until = 0.0
        self._web_problem: DriverError | None = None

    # --- who it is ---------------------------------------------------------------------------

    async def identify(self) -> Identity:
        """By REST; else by `version`, `devdetails`, GraphQL and LuCI together.

        Raises only where nothing answers.
        """
        self._has_rest, self._takes_graph_orders = True, False
        self._web_until = 0.0
        self._pages.forget()
        self._older.forget()
        details = await tried(self._web.page(DETAILS, self._deadline()))
        if words_of(details):
            identity = parse_identity(details, self._endpoint.provisional_id)
            self._older.rest_seen = True
        else:
            self._has_rest = not isinstance(details, Unsupported)
            identity = await self._older.identify(details)
            known = graph_orders.are_known(identity.firmware_version)
            self._takes_graph_orders = known and not self._has_rest
        self._id, self._older.model = identity.id, identity.model
        return identity

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
        sample = await self._older.read(self._id, deadline, problem)
        if problem is not self._web_problem and isinstance(problem, Unreachable | DeviceTimeout):
            self._web_problem = problem
            self._web_until = self._clock.monotonic() + WEB_REST_S
        return sample

    async def _read_rest(self, deadline: Deadline) -> Sample:
        details = await self._web.page(DETAILS, deadline)
        words = words_of(details)
        if not words:
            raise BadReply(f"{DETAILS}: names no machine")
        self._older.rest_seen = True
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

    async def close(self) -> None:
        """Nothing is held: tokens end by themselves, and there is no logout."""

    def refresh(self) -> None:
        """Ask everything anew next time."""
        self._pages.forget()
        self._older.refresh()
        self._web_until = 0.0

    # --- actions -----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By what has been seen of it: REST, GraphQL, or port 4028 alone."""
        if self._older.is_classic:
            return orders.NONE
        if self._older.rest_seen:
            return orders.LATENCIES
        return graph_orders.LATENCIES if self._takes_graph_orders else orders.BY_RPC

    async def keep_ready(self) -> float:
        """REST's token ends after an hour without use."""
        if self._older.rest_seen:
            await self._web.page(LOCATE, self._deadline())
        return orders.READY_S

    async def pause(self) -> Receipt:
        """Hashing stops and the program stays."""
        return await self._by_rest_or_rpc("pause", orders.ASLEEP)

    async def resume(self) -> Receipt:
        """With the ramp that the machine is set to."""
        return await self._by_rest_or_rpc("resume", orders.AWAKE)

    async def restart_mining(self) -> Receipt:
        """The mining program alone."""
        if self._older.rest_seen:
            return await orders.act(self._web, self._clock, "restart", None)
        return await graph_orders.restart(self._web, self._clock)

    async def reboot(self) -> Receipt:
        """The whole machine."""
        if self._older.rest_seen:
            return await orders.act(self._web, self._clock, "reboot", orders.BOOTED)
        return await graph_orders.reboot(self._web, self._clock)

    async def limit_power(self, limit_w: float) -> Receipt:
        """The tuner's power target."""
        if self._older.rest_seen:
            return await orders.limit_power(self._web, self._clock, limit_w)
        return await graph_orders.limit_power(self._web, self._clock, limit_w)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """All groups become one with these pools, in one write."""
        if self._older.rest_seen:
            return await orders.set_pools(self._web, self._clock, pools)
        await self.recover()
        return await graph_orders.set_pools(self._web, self._clock, self._memory, pools)

    async def locate(self, *, on: bool) -> Receipt:
        """The light of both generations."""
        if self._older.rest_seen:
            return await orders.locate(self._web, self._clock, on)
        return await graph_orders.locate(self._web, self._clock, on)

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """The boards' own limits still stop the machine (documented)."""
        return await orders.set_fan_duty(self._web, self._clock, percent)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Where the fans are regulated, not at a fixed speed."""
        return await orders.set_temp_target(self._web, self._clock, temp_c)

    async def set_hostname(self, hostname: str) -> Receipt:
        """The rest of the network's configuration stays (documented)."""
        return await orders.set_hostname(self._web, self._clock, hostname)

    async def factory_reset(self) -> Receipt:
        """The network's configuration stays (documented)."""
        return await orders.act(self._web, self._clock, "factory-reset", None)

    async def recover(self) -> Receipt | None:
        """Finish a change of pools of the older generation, which takes two orders."""
        if self._memory.get(UNFINISHED) is None:
            return None
        note = under_way(self._memory)
        if note is None:  # nonsense
            await finish(self._memory)
            return None
        return await graph_orders.recover(self._web, self._clock, self._memory, note)

    async def _by_rest_or_rpc(self, action: str, expectation: Expectation) -> Receipt:
        if self._older.rest_seen:
            with suppress(AccessDenied):
                receipt = await orders.act(self._web, self._clock, action, expectation)
                if self._web.is_open or receipt.answer is not Answer.REFUSED:
                    return receipt
        # No password opens REST, and port 4028 wants none for this.
        return await ordered(orders.by_rpc(self._rpc, self._clock, action), expectation)
