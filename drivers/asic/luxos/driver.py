"""LuxOS, Luxor's firmware for Antminers: read on port 4028 alone.

Reads need no session, and sessions are how others lock the machine: reading opens none, and an
action holds one for its own few commands alone.
Commands are joined (documented: any that take no parameter), so a poll is one connection; builds
of 2026 have refused all connections for a while after several in quick succession. For the same
reason nothing here asks `healthchipget` (20 kB a board) or `voltageget`, which without its
parameter has blocked the API for ten seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.cgminer import missing
from drivers.asic.effects import shows
from drivers.asic.fields import number, truth
from drivers.asic.kept import Kept
from drivers.asic.luxos import orders
from drivers.asic.luxos import pools as pool_list
from drivers.asic.luxos.answers import parse, parse_identity, uptime_of, words_of
from drivers.asic.luxos.profiles import Profiles, parse_profiles, profile_of, row_of
from drivers.asic.unfinished import finish, under_way
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import DriverError
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline

NAMING = ("version", "config", "stats")
QUICK = ("summary", "devs", "power")
"""What carries a poll where a build does not join commands."""
REST = ("pools", "stats", "temps", "fans", "config", "events")
REST_EVERY_S = 60.0
PROFILES_EVERY_S = 300.0


class Luxos:
    """An Antminer with LuxOS."""

    __slots__ = (
        "_clock",
        "_deadline_s",
        "_endpoint",
        "_id",
        "_memory",
        "_profiles",
        "_rest",
        "_rpc",
    )
    latencies: ClassVar[Mapping[str, Latency]] = orders.LATENCIES

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._memory = context.memory
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._profiles: Kept[Profiles] | None = None
        self._rest: Kept[Report] | None = None

    async def identify(self) -> Identity:
        """By `version`, `config` and `stats`; raises only where none of them is answered."""
        self._profiles = self._rest = None
        report = await self._rpc.ask_all(NAMING)
        identity = parse_identity(report, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One joined question; profiles every few minutes."""
        deadline = Deadline(self._clock, self._deadline_s)
        report, rest_at = await self._poll(deadline)
        now = self._clock.now()
        profiles = await self._known_profiles(report, deadline)
        return parse(report, self._id, now, profiles, rest_at)

    async def close(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Ask everything anew next time."""
        self._profiles = self._rest = None

    # --- actions -----------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Boards and supply are switched off; a reboot does not wake it (documented)."""
        return await self._order(orders.ASLEEP, "curtail", "sleep")

    async def resume(self) -> Receipt:
        """With the ramp of a boot: the faster ways shorten the boards' life (documented)."""
        return await self._order(orders.AWAKE, "curtail", "wakeup")

    async def reboot(self) -> Receipt:
        """The whole machine."""
        return await self._order(orders.BOOTED, "rebootdevice")

    async def restart_mining(self) -> Receipt:
        """The mining program, which counts its uptime anew."""
        return await self._order(orders.RESTARTED, "resetminer")

    async def limit_power(self, limit_w: float) -> Receipt:
        """By a power target where the machine takes one, else by a profile."""
        await self.recover()
        return await orders.limit_power(self._rpc, self._clock, self._memory, limit_w)

    async def choose_preset(self, preset: str) -> Receipt:
        """One of its profiles."""
        await self.recover()
        return await orders.choose_preset(self._rpc, self._clock, self._memory, preset)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """One command for each pool that comes or goes."""
        await self.recover()
        return await pool_list.set_pools(self._rpc, self._clock, self._memory, pools)

    async def locate(self, *, on: bool) -> Receipt:
        """The red light; `auto` hands it back to the firmware."""
        expectation = shows("locating", on, orders.SHOWN_S)
        return await self._order(expectation, "ledset", "red", "blink" if on else "auto")

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """The boards' own limit still cuts their power (documented)."""
        return await orders.set_fan_duty(self._rpc, self._clock, percent)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Of the boards, not of the chips."""
        return await orders.set_temp_target(self._rpc, self._clock, temp_c)

    async def recover(self) -> Receipt | None:
        """Put in order what a run that was killed left half done."""
        if self._memory.get(UNFINISHED) is None:
            return None
        note = under_way(self._memory)
        if note is None:  # nonsense
            await finish(self._memory)
            return None
        if note.action == pool_list.CHANGING:
            return await pool_list.recover(self._rpc, self._clock, self._memory, note)
        return await orders.manage_again(self._rpc, self._clock, self._memory)

    async def _order(self, expectation: Expectation, command: str, *words: str) -> Receipt:
        return await orders.order(self._rpc, self._clock, expectation, command, *words)

    # --- what a poll asks --------------------------------------------------------------------

    async def _poll(self, deadline: Deadline) -> tuple[Report, float | None]:
        """What was asked, and when the slower part was, where that was before."""
        if self._joins():
            report = await self._rpc.ask_all((*QUICK, *REST), deadline=deadline)
            if not self._joins():
                self._keep_rest(report)
            return report, None
        quick = await self._rpc.ask_all(QUICK, deadline=deadline)
        if self._wants_rest(quick):
            try:
                rest = await self._rpc.ask_all(REST, deadline=deadline)
            except DriverError as error:
                rest = Report({}, {"pools": error})
            report = _merged(quick, rest)
            self._keep_rest(report)
            return report, None
        kept = self._rest
        return (_merged(quick, kept.value), kept.at) if kept else (quick, None)

    def _joins(self) -> bool:
        return self._rpc.joins is not False

    def _keep_rest(self, report: Report) -> None:
        replies = {name: report.replies[name] for name in REST if name in report.replies}
        errors = {name: report.errors[name] for name in REST if name in report.errors}
        kept = Report(replies, errors, tuple(name for name in report.cut if name in REST))
        self._rest = Kept(kept, self._clock.now(), words_of(report), uptime_of(report))

    def _wants_rest(self, quick: Report) -> bool:
        now, kept = self._clock.now(), self._rest
        if kept is None or kept.is_due(now, REST_EVERY_S):
            return True
        # A machine that stands still is looked at closely: the rest says why.
        standing = not number(row_of(quick, "summary", "SUMMARY").get("GHS 5s"))
        return standing or not kept.is_of(words_of(quick), uptime_of(quick), now)

    async def _known_profiles(self, report: Report, deadline: Deadline) -> Profiles:
        now, kept, name = self._clock.now(), self._profiles, profile_of(report)
        words, uptime_s = words_of(report), uptime_of(report)
        if kept is not None and kept.is_of(words, uptime_s, now) and kept.value.name == name:
            if not kept.is_due(now, PROFILES_EVERY_S):
                return kept.value
            before = kept.value
        else:
            before = Profiles(name)
        found = await self._ask_profiles(report, before, deadline)
        self._profiles = Kept(found, now, words, uptime_s)
        return found

    async def _ask_profiles(self, report: Report, before: Profiles, deadline: Deadline) -> Profiles:
        """The profiles now; where they are not answered, those before with the reason."""
        target = truth(row_of(report, "config", "CONFIG").get("IsPowerTargetSupported"))
        commands = ("profiles", *(("limits",) if target else ()))
        if self._joins():
            # Every build knows `version`: a joined request of which nothing is known would look
            # like one that is not understood.
            commands += ("devdetails", "tempctrl", "version")
        try:
            answer = await self._rpc.ask_all(commands, deadline=deadline)
        except DriverError as error:
            refused = missing(Report({}, {"profiles": error}))
            return msgspec.structs.replace(before, missing=refused)
        return parse_profiles(answer, before.name)


def _merged(one: Report, other: Report) -> Report:
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
