"""MicroBT Whatsminer in frames on port 4433: API 3, firmware since late 2024.

Open for reading without a password. The same machines keep port 4028 open, with answers of API 2
that lack half of it: this driver never looks there. `summary` and `edevs` go with every poll on
one connection, `pools` and `get.device.info` now and then; the latter also where the machine does
not hash, for only it says that mining was stopped.
"""

from __future__ import annotations

from drivers.api import Context, Endpoint
from drivers.asic.fields import number
from drivers.asic.kept import Kept
from drivers.asic.whatsminer.types import follows
from drivers.asic.whatsminer.v3_answers import Pools, parse
from drivers.asic.whatsminer.v3_shapes import (
    INFO,
    POOLS,
    SETTING,
    Info,
    as_dict,
    content,
    parse_identity,
    summary_of,
    supply_power_w,
    words_of,
)
from drivers.errors import BadReply, DriverError, Refused, Unsupported
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.framed import FramedRpc, Question

ASK_INFO, ASK_SETTING = Question("get.device.info"), Question("get.miner.setting")
ASK_SUMMARY, ASK_BOARDS, ASK_POOLS = (
    Question("get.miner.status", section) for section in ("summary", "edevs", "pools")
)
POOLS_EVERY_S = 45.0
INFO_EVERY_S = 300.0


class Whatsminer3:
    """A Whatsminer that speaks API 3."""

    __slots__ = (
        "_clock",
        "_deadline_s",
        "_endpoint",
        "_id",
        "_info",
        "_pools",
        "_rpc",
        "_sets",
        "_stood",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._rpc = FramedRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._pools: Pools | None = None
        self._info: Kept[Info] | None = None
        self._sets = True
        """Whether the firmware may know `get.miner.setting`."""
        self._stood = False
        """Whether the machine did not hash at the last poll."""

    async def identify(self) -> Identity:
        """By `get.device.info`, which has everything."""
        report = await self._rpc.ask_all((ASK_INFO,))
        identity = parse_identity(as_dict(content(report, INFO)), self._endpoint.provisional_id)
        self._id = identity.id
        self._info, self._sets = None, True
        return identity

    async def read(self) -> Sample:
        """One connection, where the firmware keeps it for more than one question."""
        deadline = Deadline(self._clock, self._deadline_s)
        now = self._clock.now()
        questions = [ASK_SUMMARY, ASK_BOARDS]
        questions += [ASK_POOLS] if self._stood or _is_due(self._pools, now, POOLS_EVERY_S) else []
        if self._stood or _is_due(self._info, now, INFO_EVERY_S):
            questions += [ASK_INFO, *([ASK_SETTING] if self._sets else [])]
        report, problem = await self._ask(questions, deadline)
        missed = self._missed(questions, report, now)
        if missed:
            more, why = await self._ask(missed, deadline)
            report, problem = _merged(report, more), problem and why
        if problem:
            raise problem
        return self._remember(report, now)

    async def close(self) -> None:
        """Nothing is held."""

    def _missed(self, questions: list[Question], report: Report, now: float) -> list[Question]:
        """What turns out to be needed, too: of another machine, or of one that stands still."""
        summary = summary_of(report)
        uptime_s = number(summary.get("elapsed"))
        stands = not number(summary.get("hash-realtime"))
        missed = []
        for question, kept in ((ASK_POOLS, self._pools), (ASK_INFO, self._info)):
            # The poll itself shows no name: that the age fits is all that tells the same machine.
            other = kept is not None and not kept.is_of(kept.words, uptime_s, now)
            if question not in questions and (stands or other):
                missed.append(question)
        return missed

    async def _ask(
        self, questions: list[Question], deadline: Deadline
    ) -> tuple[Report, DriverError | None]:
        """What the questions brought; an empty report and why, where all of them were refused.

        While the mining program is down the firmware refuses `get.miner.status`, with a sentence.
        """
        try:
            report = await self._rpc.ask_all(questions, deadline=deadline)
        except (Refused, BadReply) as error:
            report = Report({}, {questions[0].name: error})
            return report, error
        return self._without_setting(report), None

    def _without_setting(self, report: Report) -> Report:
        """The report without a refusal of `get.miner.setting`: API 3.0 does not know it yet."""
        refused = report.errors.get(SETTING)
        if refused is None:
            return report
        self._sets = not isinstance(refused, Unsupported)
        errors = {name: error for name, error in report.errors.items() if name != SETTING}
        return Report(report.replies, errors, report.cut)

    def _remember(self, report: Report, now: float) -> Sample:
        """Parse a report, with what earlier ones brought and still holds."""
        summary = summary_of(report)
        uptime_s = number(summary.get("elapsed"))
        info = self._informed(report, uptime_s, now)
        earlier = self._pools if POOLS not in (*report.replies, *report.errors) else None
        if earlier and not earlier.is_of(earlier.words, uptime_s, now):
            earlier = None
        sample = parse(report, self._id, now, info, earlier)
        if isinstance(sample.reading, MinerReading):
            self._stood = not sample.reading.hashrate_ths
            if POOLS in report.replies and POOLS not in report.cut:
                self._pools = Kept(sample.reading.pools, now, words_of(info), uptime_s)
        return sample

    def _informed(self, report: Report, uptime_s: float | None, now: float) -> Info:
        """The device's information: this poll's, or an earlier one's of the same machine."""
        sections, setting = content(report, INFO), as_dict(content(report, SETTING))
        if isinstance(sections, dict):
            power_w = number(summary_of(report).get("power-realtime"))
            metered = follows(power_w, supply_power_w(sections))
            kept = Info(sections=sections, setting=setting, metered=metered)
            self._info = Kept(kept, now, words_of(kept), uptime_s)
            return Info(sections=sections, setting=setting, metered=metered, fresh=True)
        held = self._info
        if held is None or not held.is_of(held.words, uptime_s, now):
            return Info()
        return held.value


def _is_due(kept: Kept[Info] | Pools | None, now: float, every_s: float) -> bool:
    return kept is None or kept.is_due(now, every_s)


def _merged(one: Report, other: Report) -> Report:
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
