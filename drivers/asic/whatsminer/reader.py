"""What is asked of a Whatsminer on port 4028 to read it: APIs 1 and 2, without a password.

`summary`, the boards and `pools` go in one joined question where the firmware allows that. `status`
and the `get_*` commands do not join: they are asked seldom, and `status` at each poll in which the
machine does not hash, for only it tells a machine that was stopped from one that fell over. The
daemon drops who connects and says nothing for 10 s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from drivers.api import Context, Endpoint
from drivers.asic.fields import Row, number
from drivers.asic.kept import Kept
from drivers.asic.whatsminer.answers import Pools, Seen, parse, rate_now
from drivers.asic.whatsminer.shapes import (
    BOARDS,
    board_rows,
    content,
    is_off,
    parse_identity,
    speaks_api_2,
    summary_of,
    supply_power_w,
    words_of,
)
from drivers.asic.whatsminer.types import follows
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    Unsupported,
    WrongProtocol,
)
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline

IDENTITY = ("get_version", "get_miner_info", "devdetails", "summary")
FALLBACK_IDENTITY = ("status", "version")
"""Where the first show no type or no build: firmware of 2018 knows neither of the `get_*`."""
POOLS_EVERY_S = 45.0
"""Where commands do not join; else they come with every poll."""
ASIDE = ("status", "get_error_code", "get_psu", "get_miner_info")
ASIDE_EVERY_S = 300.0
RETRY_S = 45.0


class _Aside(NamedTuple):
    """The answers of commands that do not join, and what was seen when they came."""

    replies: dict[str, Any]
    metered: bool = False


class Reader:
    """Asks one machine, and keeps between polls what changes slowly."""

    __slots__ = (
        "_aside",
        "_boards",
        "_clock",
        "_deadline_s",
        "_endpoint",
        "_id",
        "_model",
        "_pools",
        "_rpc",
        "_unknown",
        "writes",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._model: str | None = None
        self._boards: str | None = None
        self._pools: Pools | None = None
        self._aside: Kept[_Aside] | None = None
        self._unknown: frozenset[str] = frozenset()
        """Commands that the firmware does not know: older ones lack many."""
        self.writes = False
        """Whether it speaks an API that orders can be given in, as it said when identified."""

    async def identify(self) -> Identity:
        """By all commands that name the machine; raises only where none answers."""
        self._unknown = frozenset()
        answers: dict[str, Any] = {}
        problem = await self._collect(IDENTITY, answers)
        identity = parse_identity(answers, self._endpoint.provisional_id)
        if not (identity.model and identity.firmware_version):
            problem = await self._collect(FALLBACK_IDENTITY, answers) or problem
            identity = parse_identity(answers, self._endpoint.provisional_id)
        if not answers:
            raise problem or Unreachable(f"{self._endpoint.address}: nothing answered")
        self._id, self._model = identity.id, identity.model
        self.writes = speaks_api_2(answers)
        return identity

    async def _collect(self, commands: tuple[str, ...], into: dict[str, Any]) -> DriverError | None:
        """Ask commands one by one; gives the first that went wrong."""
        problem: DriverError | None = None
        for command in commands:
            try:
                into[command] = await self._rpc.ask(command)
            except (NoResources, WrongProtocol):
                raise
            except DriverError as error:
                problem = problem or error
                if isinstance(error, DeviceTimeout | Unreachable) and not into:
                    break  # the next one would fare no better
        return problem

    async def read(self) -> Sample:
        """One joined question where the firmware allows it, and now and then what does not join."""
        deadline = Deadline(self._clock, self._deadline_s)
        report, problem = await self._poll(deadline)
        now, summary = self._clock.now(), summary_of(report)
        words, uptime_s = words_of(summary, board_rows(report)), number(summary.get("Elapsed"))
        renewed = await self._renew(summary, words, now, deadline)
        aside = self._aside.value if self._aside else _Aside({})
        if self._aside and not renewed and not self._aside.is_of(words, uptime_s, now):
            aside = _Aside({})
        replies, fresh = dict(aside.replies), renewed and "status" in aside.replies
        if not rate_now(summary) and not fresh:
            fresh = await self._look_closer(replies, deadline)
        if problem and not fresh:
            raise problem
        seen = Seen(
            status=content(replies.get("status")),
            fresh=fresh,
            errors=content(replies.get("get_error_code")).get("error_code"),
            supply=content(replies.get("get_psu")) if renewed else {},
            metered=aside.metered,
            info=content(replies.get("get_miner_info")),
            model=self._model,
        )
        return self._remember(report, seen, words, now)

    def refresh(self) -> None:
        """Forget what was kept: the next poll asks for everything."""
        self._pools = self._aside = None

    # --- the poll ------------------------------------------------------------------------

    async def _poll(self, deadline: Deadline) -> tuple[Report, DriverError | None]:
        """Summary, boards and pools; an empty report and why, where the machine refuses them all.

        While the mining program is down the daemon refuses these, or sends words that are no JSON.
        """
        joins = self._rpc.joins is not False
        commands = ("summary", self._boards or BOARDS[0])
        try:
            report = await self._rpc.ask_all(
                (*commands, "pools") if joins or self._wants_pools() else commands,
                deadline=deadline,
            )
        except WrongProtocol:
            raise
        except (Refused, BadReply) as error:
            return Report({}, {"summary": error}), error
        return await self._with_boards(report, deadline), None

    async def _with_boards(self, report: Report, deadline: Deadline) -> Report:
        """The report, with the boards by their other name where the first brought none."""
        if board_rows(report):
            return report
        asked = self._boards or BOARDS[0]
        other = BOARDS[1 - BOARDS.index(asked)]
        if other in self._unknown or not summary_of(report):
            return report
        found = await self._ask(other, deadline)
        if found is None:
            self._unknown |= {other}  # not at each poll: the machine may have no board
            return report
        merged = Report(
            {**report.replies, other: found},
            {name: why for name, why in report.errors.items() if name != asked},
            report.cut,
        )
        if board_rows(merged):
            self._boards = other
        else:
            self._unknown |= {other}
        return merged

    def _wants_pools(self) -> bool:
        return self._pools is None or self._pools.is_due(self._clock.now(), POOLS_EVERY_S)

    def _remember(self, report: Report, seen: Seen, words: tuple[str, ...], now: float) -> Sample:
        """Parse a report, with the pools of an earlier one where it has none of its own."""
        uptime_s = number(summary_of(report).get("Elapsed"))
        earlier = self._pools
        if "pools" in report.replies or "pools" in report.errors:
            earlier = None
        elif earlier and not earlier.is_of(words, uptime_s, now):
            earlier = self._pools = None
        sample = parse(report, self._id, now, seen, earlier)
        fresh = "pools" in report.replies and "pools" not in report.cut
        if fresh and isinstance(sample.reading, MinerReading):
            self._pools = Kept(sample.reading.pools, now, words, uptime_s)
        return sample

    # --- what does not join ----------------------------------------------------------------

    async def _renew(
        self, summary: Row, words: tuple[str, ...], now: float, deadline: Deadline
    ) -> bool:
        """Ask what does not join where that is old or another machine's; True where it was."""
        uptime_s = number(summary.get("Elapsed"))
        kept = self._aside
        if not summary:
            return False
        if kept:
            same = kept.is_of(words, uptime_s, now)
            # One whose age does not grow, or is not said, may yet be the same: not at each poll.
            every_s = ASIDE_EVERY_S if same else RETRY_S if kept.words == words else 0.0
            if not kept.is_due(now, every_s):
                return False
        replies = {}
        for command in ASIDE:
            reply = await self._ask(command, deadline)
            if reply is not None:
                replies[command] = reply
        power_w = number(summary.get("Power"))
        metered = follows(power_w, supply_power_w(content(replies.get("get_psu"))))
        self._aside = Kept(_Aside(replies, metered), now, words, uptime_s)
        return True

    async def _look_closer(self, replies: dict[str, Any], deadline: Deadline) -> bool:
        """Ask why it does not hash: whether it was stopped, and else what is wrong with it."""
        status = await self._ask("status", deadline)
        if status is None:
            return False
        replies["status"] = status
        if not is_off(content(status)):
            errors = await self._ask("get_error_code", deadline)
            if errors is not None:
                replies["get_error_code"] = errors
        return True

    async def _ask(self, command: str, deadline: Deadline) -> dict[str, Any] | None:
        """One answer, None where there is none: the poll has what matters more."""
        if command in self._unknown:
            return None
        try:
            return await self._rpc.ask(command, deadline=deadline)
        except Unsupported:
            self._unknown |= {command}
        except NoResources:
            raise
        except DriverError:
            pass
        return None
