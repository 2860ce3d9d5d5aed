"""LuxOS, Luxor's firmware for Antminers: read on port 4028 alone.

Reads need no session, and sessions are how others lock the machine: none is ever opened here.
Commands are joined (documented: any that take no parameter), so a poll is one connection; builds
of 2026 have refused all connections for a while after several in quick succession. For the same
reason nothing here asks `healthchipget` (20 kB a board) or `voltageget`, which without its
parameter has blocked the API for ten seconds.
"""

from __future__ import annotations

import msgspec

from drivers.api import Context, Endpoint
from drivers.asic.cgminer import missing
from drivers.asic.fields import number, truth
from drivers.asic.kept import Kept
from drivers.asic.luxos.answers import parse, parse_identity, uptime_of, words_of
from drivers.asic.luxos.profiles import Profiles, parse_profiles, profile_of, row_of
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

    __slots__ = ("_clock", "_deadline_s", "_endpoint", "_id", "_profiles", "_rest", "_rpc")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._deadline_s = context.deadline_s
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
            commands += ("devdetails", "version")
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
