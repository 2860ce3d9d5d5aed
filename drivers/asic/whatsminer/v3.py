"""MicroBT Whatsminer in frames on port 4433: API 3, firmware since late 2024.

Open for reading without a password; orders are signed with one. The same machines keep port 4028
open, with answers of API 2 that lack half of it: this driver never looks there. `summary` and
`edevs` go with every poll on one connection, `pools` and `get.device.info` now and then; the latter
also where the machine does not hash, for only it says that mining was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.fields import number
from drivers.asic.kept import Kept
from drivers.asic.whatsminer.orders import LATENCIES
from drivers.asic.whatsminer.types import follows
from drivers.asic.whatsminer.v3_access import Access
from drivers.asic.whatsminer.v3_answers import Pools, parse
from drivers.asic.whatsminer.v3_orders import Orders
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
from drivers.capabilities import PoolSetting
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

    latencies: ClassVar[Mapping[str, Latency]] = LATENCIES

    __slots__ = (
        "_access",
        "_clock",
        "_deadline_s",
        "_endpoint",
        "_id",
        "_info",
        "_orders",
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
        self._access = Access(endpoint, context, self._rpc)
        self._orders = Orders(self._access)
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
        sections = as_dict(content(report, INFO))
        identity = parse_identity(sections, self._endpoint.provisional_id)
        self._access.learn(sections.get("salt"))
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
        sample = self._remember(report, now)
        self._orders.share.note(sample.reading)
        return sample

    async def close(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Forget what was kept: the next poll asks for everything."""
        self._pools = self._info = None

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
            self._access.learn(sections.get("salt"))
            kept = Info(sections=sections, setting=setting, metered=metered)
            self._info = Kept(kept, now, words_of(kept), uptime_s)
            return Info(sections=sections, setting=setting, metered=metered, fresh=True)
        held = self._info
        if held is None or not held.is_of(held.words, uptime_s, now):
            return Info()
        return held.value

    # --- orders ----------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Stop the mining service."""
        return await self._orders.pause()

    async def resume(self) -> Receipt:
        """Start it again."""
        return await self._orders.resume()

    async def restart_mining(self) -> Receipt:
        """Restart the mining service."""
        return await self._orders.restart_mining()

    async def reboot(self) -> Receipt:
        """Restart the control board."""
        return await self._orders.reboot()

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit, which restarts the machine."""
        return await self._orders.limit_power(limit_w)

    async def throttle(self, percent: float) -> Receipt:
        """Hold it at a share of the power that it settled at, within a second."""
        return await self._orders.throttle(percent)

    async def set_mode(self, mode: str) -> Receipt:
        """Choose `low`, `normal` or `high`."""
        return await self._orders.set_mode(mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools; there is room for three."""
        return await self._orders.set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink red, or hand the lights back to the firmware."""
        return await self._orders.locate(on=on)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Set the name, which the next boot takes."""
        return await self._orders.set_hostname(hostname)

    async def factory_reset(self) -> Receipt:
        """Forget pools, passwords and network."""
        return await self._orders.factory_reset()


def _is_due(kept: Kept[Info] | Pools | None, now: float, every_s: float) -> bool:
    return kept is None or kept.is_due(now, every_s)


def _merged(one: Report, other: Report) -> Report:
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
