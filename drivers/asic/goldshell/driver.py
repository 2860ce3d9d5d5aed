"""Goldshell: polled over port 4028, which wants no password; its pages know MAC and plan.

The web server is the weaker side: its program crashed at some fifteen requests a second and
now and then denies a good token when several requests run at once. So it is asked for the
power plan alone, every two minutes, one page after the other, and polled only where port 4028
is closed. Orders go there, too: port 4028 takes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.effects import asleep, restarted
from drivers.asic.fields import Row
from drivers.asic.goldshell import orders, pools
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
from drivers.asic.unfinished import under_way
from drivers.capabilities import PoolSetting
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
from drivers.wire.cgminer import CgminerRpc, Report, rows
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient

COMMANDS = ("summary", "devs", "pools")
PLAN_EVERY_S = 120.0
AWAKE = "awake"
"""The key under which the plan is kept that a machine ran before it was told to rest."""


class Goldshell:
    """A Goldshell miner or box."""

    __slots__ = ("_able", "_chips", "_context", "_endpoint", "_id", "_plan", "_rpc", "_web")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._endpoint = endpoint
        self._id = endpoint.provisional_id
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=enter, factory=FACTORY)
        self._chips: dict[int, int] = {}
        self._plan: Kept[Plan] | None = None
        self._able: Mapping[str, Latency] = orders.UNSEEN

    async def identify(self) -> Identity:
        """By `version` and the pages; raises only where neither side answers."""
        version, problem = await self._ask("version")
        details, _ = await self._ask("devdetails") if problem is None else ({}, None)
        pages = await self._fetch()
        if problem is not None and not pages:
            raise problem
        self._chips = parse_chips(details)
        self._note_able(pages.get(SETTING_PAGE))
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

    # --- orders --------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By the machine's own power plans and settings."""
        return self._able

    def refresh(self) -> None:
        """The plan is asked for with the next reading."""
        self._plan = None

    async def pause(self) -> Receipt:
        """By the power plan of 0 MHz; the one that runs is kept for `resume`."""
        setting = await self._setting()
        changed = orders.at_rest(setting)
        if (before := orders.before_rest(setting)) is not None:
            await self._context.memory.put(AWAKE, msgspec.json.encode(before))
        return await self._change(changed, asleep(orders.ASLEEP_S, look_after_s=10.0))

    async def resume(self) -> Receipt:
        """By the plan that ran before, else by the first that runs."""
        changed = orders.at_work(await self._setting(), self._before_rest())
        return await self._change(changed, orders.resumed())

    async def set_mode(self, mode: str) -> Receipt:
        """By the machine's own power plans."""
        return await self._change(*orders.in_mode(await self._setting(), mode))

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """The target that the fans keep on the boards' sensor."""
        changed = orders.with_target(await self._setting(), temp_c)
        target_c = float(round(temp_c))
        return await self._change(changed, orders.kept("temp_target_c", target_c))

    async def locate(self, *, on: bool) -> Receipt:
        """The front lights blink red and green."""
        changed = {**await self._setting(), "ledcontrol": on}
        return await self._change(changed, orders.kept("locating", on))

    async def reboot(self) -> Receipt:
        """Boot the controller."""
        await self._setting()  # so that a login comes before the order
        deadline = Deadline(self._context.clock, orders.ACT_S)
        order = orders.put(self._web, orders.RESTART_PAGE, None, deadline)
        return await ordered(order, restarted(orders.BOOTED_S, look_after_s=orders.BOOTING_S))

    async def set_pools(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """One after the other, so that the list never stands empty."""
        clock, memory = self._context.clock, self._context.memory
        answer, _ = await self._ask("pools")
        shown = sum(bool(row.get("URL")) for row in rows(answer, "POOLS"))
        return await pools.set_pools(self._web, clock, memory, wanted, shown)

    async def recover(self) -> Receipt | None:
        """Finish or undo a change of the pools that was cut off."""
        clock, memory = self._context.clock, self._context.memory
        note = under_way(memory)
        return None if note is None else await pools.recover(self._web, clock, memory, note)

    async def _setting(self) -> Row:
        return await orders.setting_of(self._web, Deadline(self._context.clock, orders.ACT_S))

    async def _change(self, setting: Row, expectation: Expectation) -> Receipt:
        deadline = Deadline(self._context.clock, orders.ACT_S)
        return await ordered(orders.put(self._web, SETTING_PAGE, setting, deadline), expectation)

    def _before_rest(self) -> orders.Awake | None:
        raw = self._context.memory.get(AWAKE)
        try:
            return None if raw is None else msgspec.json.decode(raw, type=orders.Awake)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    # --- reading -------------------------------------------------------------------------

    async def _read_pages(self, error: DriverError, now: float, deadline: Deadline) -> Sample:
        try:
            found = await self._web.pages((DEVS_PAGE, POOLS_PAGE, SETTING_PAGE), deadline)
        except DriverError:
            raise error from None
        report = as_report(found.replies, Report({}, {"rpc": error, **found.errors}))
        if not report.replies:
            raise error
        self._note_able(found.replies.get(SETTING_PAGE))
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
            setting = await self._web.json(SETTING_PAGE, deadline)
            self._note_able(setting)
            plan = parse_plan(setting)
        except NoResources:
            raise
        except DriverError:
            plan = known.value if known is not None else NO_PLAN
        self._plan = Kept(plan, now, words, reading.uptime_s)
        return plan

    def _note_able(self, setting: Any) -> None:
        if isinstance(setting, dict):
            self._able = orders.able(setting)

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
