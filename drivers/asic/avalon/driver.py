"""Canaan Avalon: the A series, home machines, and controllers of the old breeds.

Port 4028 says everything: `version` who it is, `estats` (or `stats`) what it does, in strings
(see `avalon_modules`). Commands are joined where the firmware allows it, which Canaan's do as far
as recorded. An answer of `estats` has 8 KB, most of it lists of chips; machines of the Q's kind
know `litestats`, which leaves those out. Orders go to the same port: see `orders` and `slots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic import cgminer
from drivers.asic.avalon import names as avalon_names
from drivers.asic.avalon.answers import Chips, Pools, parse, rate_of, uptime_of, words_of
from drivers.asic.avalon.kinds import UNKNOWN, kind_of
from drivers.asic.avalon.modules import Module, modules
from drivers.asic.avalon.orders import Orders
from drivers.asic.avalon.slots import Slots
from drivers.asic.kept import Kept
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, NoResources, Refused
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline

__all__ = ["Avalon"]

FULL_COMMANDS = ("estats", "stats")
"""The first is Canaan's own; cgminer of before knows the second alone."""
LITE_COMMAND = "litestats"
POOLS_EVERY_S = 45.0
"""Of firmware that does not join: pools need a connection of their own."""
CHIPS_EVERY_S = 300.0
"""How long chips counted in a full answer hold, where polls bring the short one."""


class Avalon:
    """An Avalon, or a controller with several."""

    __slots__ = (
        "_chips",
        "_context",
        "_endpoint",
        "_full",
        "_id",
        "_lite",
        "_orders",
        "_pools",
        "_rpc",
        "_slots",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id
        self._full = FULL_COMMANDS[0]
        self._lite: bool | None = None
        """Whether `litestats` says enough; None until it has been seen."""
        self._pools: Pools | None = None
        self._chips: Chips | None = None
        self._orders = Orders(context, self._rpc)
        self._slots = Slots(endpoint, context, self._rpc, self._orders)

    async def identify(self) -> Identity:
        """By `version`, and by the machines' strings where that leaves something open.

        Raises only where nothing answers. A controller of several machines keeps the
        provisional id, for none of them speaks for it.
        """
        self._pools = self._chips = None
        problem: DriverError | None = None
        version: dict[str, Any] = {}
        try:
            version = await self._rpc.ask("version")
        except (BadReply, Refused) as error:
            problem = error
        identity = avalon_names.identity(version, (), self._endpoint.provisional_id)
        if identity.model is None or identity.serial is None:
            identity = await self._identify_by_string(version, identity, problem)
        self._id = identity.id
        self._orders.kind = kind_of(identity.model)
        return identity

    async def _identify_by_string(
        self, version: dict[str, Any], identity: Identity, problem: DriverError | None
    ) -> Identity:
        try:
            report = await self._ask_full((), self._deadline())
        except NoResources:
            raise
        except DriverError:
            if problem is not None:
                raise problem from None
            return identity
        found = modules(report.replies.get("stats"))
        return avalon_names.identity(version, found, self._endpoint.provisional_id)

    async def read(self) -> Sample:
        """One joined question where the firmware allows it."""
        deadline, now = self._deadline(), self._context.clock.now()
        report, found = await self._poll(deadline, now)
        if not found:
            return await self._read_classic(report, deadline)
        report, earlier = await self._complete(report, found, deadline, now)
        self._note_form(found)
        counted = self._counted(found, now)
        sample = parse(report, found, self._id, now, earlier, counted)
        if isinstance(sample.reading, MinerReading):
            self._keep(sample.reading, report, found, now)
        return sample

    async def close(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Read pools and chips anew with the next poll."""
        self._pools = self._chips = None

    # --- orders ------------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By what the machine is; nothing before it has said so."""
        return self._orders.kind.latencies

    async def pause(self) -> Receipt:
        """Soft off at the next second but two of the machine's clock."""
        return await self._orders.pause()

    async def resume(self) -> Receipt:
        """Soft on, in the same way."""
        return await self._orders.resume()

    async def reboot(self) -> Receipt:
        """Boot the machine."""
        return await self._orders.reboot()

    async def restart_mining(self) -> Receipt:
        """Restart cgminer."""
        return await self._orders.restart_mining()

    async def set_mode(self, mode: str) -> Receipt:
        """Set one of the family's modes."""
        return await self._orders.set_mode(mode)

    async def locate(self, *, on: bool) -> Receipt:
        """Light the white lamp."""
        return await self._orders.locate(on=on)

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Hold the fans at a duty."""
        return await self._orders.set_fan_duty(percent)

    async def factory_reset(self) -> Receipt:
        """Forget all settings."""
        return await self._orders.factory_reset()

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Write the three places for pools, and boot."""
        return await self._slots.set_pools(pools)

    async def recover(self) -> Receipt | None:
        """Finish writing pools."""
        return await self._slots.recover()

    # --- asking ------------------------------------------------------------------------------

    async def _poll(self, deadline: Deadline, now: float) -> tuple[Report, list[Module]]:
        """What the machine says of itself, under `stats`, with what else comes along."""
        others = ("summary", "pools") if self._rpc.joins is not False else ()
        if self._lite and not (self._chips is None or self._chips.is_due(now, CHIPS_EVERY_S)):
            report = await self._ask(LITE_COMMAND, others, deadline)
            found = modules(report.replies.get("stats"))
            if _says_enough(found):
                return report, found
            self._lite = False
        report = await self._ask_full(others, deadline)
        return report, modules(report.replies.get("stats"))

    async def _ask_full(self, others: tuple[str, ...], deadline: Deadline) -> Report:
        """`estats`; from then on `stats` of firmware that does not know it."""
        own, older = FULL_COMMANDS
        try:
            report = await self._ask(self._full, others, deadline)
        except Refused as error:
            if self._full == older:
                raise
            report = Report({}, {own: error})
        problem = report.errors.get(own)
        if self._full == older or not isinstance(problem, Refused | BadReply):
            return report
        try:
            again = await self._ask(older, (), deadline)
        except DriverError as error:
            if not report.replies:
                raise
            return _merged(report, Report({}, {older: error}))
        self._full = older
        del report.errors[own]
        return _merged(report, again)

    async def _ask(self, command: str, others: tuple[str, ...], deadline: Deadline) -> Report:
        """Ask; the answer to `command` stands under `stats`."""
        names = ("summary", command, "pools") if others else (command,)
        report = await self._rpc.ask_all(names, deadline=deadline)
        replies = dict(report.replies)
        if command in replies:
            replies["stats"] = replies.pop(command)
        return Report(replies, dict(report.errors), report.cut)

    async def _complete(
        self, report: Report, found: list[Module], deadline: Deadline, now: float
    ) -> tuple[Report, Pools | None]:
        """Add what a firmware that does not join was not asked for, or earlier pools."""
        if self._rpc.joins is not False or "pools" in report.replies or "pools" in report.errors:
            return report, None
        if not rate_of({}, found):
            report = await self._add(report, "summary", deadline)
        kept = self._pools
        usable = kept is not None and kept.is_of(words_of(found), uptime_of(found), now)
        if usable and kept is not None and not kept.is_due(now, POOLS_EVERY_S):
            return report, kept
        return await self._add(report, "pools", deadline), None

    async def _add(self, report: Report, command: str, deadline: Deadline) -> Report:
        if command in report.replies or command in report.errors:
            return report
        try:
            return _merged(report, await self._rpc.ask_all((command,), deadline=deadline))
        except DriverError as error:
            return _merged(report, Report({}, {command: error}))

    async def _read_classic(self, report: Report, deadline: Deadline) -> Sample:
        """A machine without such strings (Avalon 2 and 3), or whose string is unreadable."""
        try:
            full = await self._rpc.ask_all(cgminer.COMMANDS, deadline=deadline)
        except DriverError:
            if not report.replies:
                raise
            full = report
        return cgminer.parse(full, self._id, self._context.clock.now())

    # --- what is remembered ------------------------------------------------------------------

    def _note_form(self, found: list[Module]) -> None:
        if self._lite is None and all(module.is_home for module in found):
            self._lite = True  # to be tried; what it lacks shows at the next poll
        if self._orders.kind is UNKNOWN:
            self._orders.kind = kind_of(avalon_names.model_of(found[0].fields.get("Ver", "")))

    def _counted(self, found: list[Module], now: float) -> Chips | None:
        kept = self._chips
        ours = kept is not None and kept.is_of(words_of(found), uptime_of(found), now)
        return kept if ours else None

    def _keep(self, reading: MinerReading, report: Report, found: list[Module], now: float) -> None:
        if self._rpc.joins and not self._lite:
            return  # every poll brings everything
        words, uptime_s = words_of(found), uptime_of(found)
        if "pools" in report.replies and "pools" not in report.cut:
            self._pools = Kept(reading.pools, now, words, uptime_s)
        if self._lite and LITE_COMMAND not in report.errors and _lists_chips(found):
            chips = tuple(board.chips for board in reading.boards)
            self._chips = Kept(chips, now, words, uptime_s)

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)


def _says_enough(found: list[Module]) -> bool:
    """True for the Q's short answer; a Nano 3s leaves out power, fans and boards as well."""
    needed = ("PS", "SYSTEMSTATU", "GHSspd", "Elapsed")
    return bool(found) and all(key in module.fields for module in found for key in needed)


def _lists_chips(found: list[Module]) -> bool:
    return any(f"PVT_T{at}" in module.fields for module in found for at in range(4))


def _merged(one: Report, other: Report) -> Report:
    return Report(
        {**one.replies, **other.replies}, {**one.errors, **other.errors}, one.cut + other.cut
    )
