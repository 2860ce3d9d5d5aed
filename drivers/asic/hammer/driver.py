"""Hammer, blackMiner and VolcMiner: one program and one web side under three names.

Polled over 4028, identified over the web pages behind digest authentication (realm
"blackMiner"). The factory's password is root for Hammer and ltc@dog for VolcMiner. Where port
4028 is closed, the status page is read instead. Watts are not reported by any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.aside import Aside, Slow, SlowPages
from drivers.asic.cgminer import ask_version, missing
from drivers.asic.effects import asleep, awake, restarted, shows
from drivers.asic.hammer import orders
from drivers.asic.hammer.answers import (
    NORMAL,
    SLEEP,
    Page,
    make_of,
    parse,
    parse_identity,
    read_blink,
    read_config,
    uptime_of,
    with_pages,
    words_of,
)
from drivers.asic.hammer.orders import CONFIG, CONFIG_V1
from drivers.asic.hammer.pages import decode, parse_status
from drivers.asic.stored_pools import Found, Stored
from drivers.asic.unfinished import under_way
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, NoResources, Refused, Unreachable, Unsupported
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient, by_digest, decoded

COMMANDS = ("stats", "pools")
FALLBACK_COMMANDS = ("summary", "devs", "pools")
FACTORY_CREDENTIALS = (Credential("root", "root"), Credential("root", "ltc@dog"))
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
BLINK = "/cgi-bin/get_blink_status.cgi"
STATUS_PAGES = ("/cgi-bin/get_miner_statusV1.cgi", "/cgi-bin/get_miner_status.cgi")
SLOW_PAGES = {CONFIG: Slow(300.0, read_config), BLINK: Slow(300.0, read_blink)}
VOLCMINER_PAGES = {**SLOW_PAGES, CONFIG_V1: Slow(300.0, read_config)}
CLOSED_S = 60.0
"""How long a port 4028 that is closed is left alone where the status page answers."""
RPC_SHARE = 0.6
"""How much of the deadline port 4028 may use: the pages must still have their turn."""


class Hammer:
    """A Hammer, a blackMiner or a VolcMiner."""

    __slots__ = (
        *("_closed", "_closed_until", "_context", "_endpoint", "_id", "_info", "_make", "_rpc"),
        *("_slow", "_status_page", "_web"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=by_digest, factory=FACTORY_CREDENTIALS)
        self._slow = SlowPages(self._page, SLOW_PAGES)
        self._id = endpoint.provisional_id
        self._info: dict[str, Any] = {}
        self._make: str | None = None
        self._status_page: str | None = None
        self._closed: DriverError | None = None
        """Why port 4028 is left alone for a while."""
        self._closed_until = 0.0

    async def identify(self) -> Identity:
        """By `version` and by the web page; raises only where neither side answers."""
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        problems: list[DriverError] = []
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            info = await self._page(SYSTEM_INFO, self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not info:
            raise problems[0]
        self._closed = None
        self._info = _essence(info)
        identity = parse_identity(version, info, self._endpoint.provisional_id)
        self._make = identity.make
        volc = identity.make == orders.VOLCMINER
        self._slow = SlowPages(self._page, VOLCMINER_PAGES if volc else SLOW_PAGES)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`stats` and `pools` in one question where commands join, and pages now and then."""
        deadline = self._deadline()
        try:
            report = await self._ask_rpc(deadline)
        except NoResources:
            raise
        except DriverError as error:
            return await self._read_page(error, deadline)
        now = self._context.clock.now()
        aside = await self._slow.look(deadline, now, words_of(report), uptime_of(report))
        lacking = missing(Report({}, aside.errors))
        return parse(report, self._id, now, _config(aside), aside.parts.get(BLINK), lacking)

    # --- orders --------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By its make."""
        return orders.LATENCIES.get(self._make, orders.UNSEEN)

    def refresh(self) -> None:
        """Mode and light are read anew."""
        self._slow.forget()

    async def pause(self) -> Receipt:
        """By the run mode of a VolcMiner."""
        return await self._run(SLEEP, asleep(orders.ASLEEP_S, look_after_s=orders.RESTARTED_S))

    async def resume(self) -> Receipt:
        """By the run mode of a VolcMiner."""
        return await self._run(NORMAL, awake(orders.AWAKE_S, look_after_s=orders.HASHES_S))

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        await self._page(SYSTEM_INFO, self._act_deadline())  # so that the order finds the door open
        shown = restarted(orders.BOOTED_S, look_after_s=orders.BOOTING_S)
        return await self._order(orders.Body(orders.REBOOT, None, {}), shown)

    async def locate(self, *, on: bool) -> Receipt:
        """By its light; nothing proves it where no page tells of that."""
        shown: Expectation | None = shows("locating", on, orders.SHOWN_S)
        try:
            known = read_blink(await self._page(BLINK, self._act_deadline()))
        except Unsupported:
            known = None
        return await self._order(
            orders.blink(self._make, on=on), shown if known is not None else None
        )

    async def set_pools(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """By the whole configuration."""
        stored, shown = await self._stored()
        return await stored.replace(wanted, places=orders.PLACES, shown=shown)

    async def recover(self) -> Receipt | None:
        """Put back the pools that a write may have lost."""
        note = under_way(self._context.memory)
        if note is None:
            return None
        if self._make is None:
            await self.identify()
        stored, _ = await self._stored()
        return await stored.recover(note)

    async def _run(self, mode: str, expectation: Expectation) -> Receipt:
        if self._make != orders.VOLCMINER:
            raise Unsupported(None, "nobody shows how this make is told to sleep")
        stored, shown = await self._stored()
        return await stored.keep(
            lambda form: {**form, "_bb_runmode": mode}, expectation, shown=shown
        )

    async def _stored(self) -> tuple[Stored, int]:
        """Its list of pools, and how many it works with."""
        if self._make not in orders.FIELDS:
            raise Unsupported(None, "nobody shows how this make stores its configuration")
        reading = cast("MinerReading", (await self.read()).reading)
        stored = Stored(
            self._context.clock,
            self._context.memory,
            self._look,
            self._store,
            look_after_s=orders.RESTARTED_S,
            until_s=orders.POOLS_S,
        )
        return stored, len(reading.pools)

    async def _look(self) -> Found:
        make, deadline = self._make or "", self._act_deadline()
        try:
            config = await self._page(CONFIG, deadline)
            volc = make == orders.VOLCMINER
            more = await self._page(CONFIG_V1, deadline) if volc else {}
        except BadReply:
            raise BadReply("its configuration cannot be read") from None  # it holds passwords
        return orders.stored_in(config, more, make)

    async def _store(self, form: Mapping[str, str], pools: Sequence[PoolSetting]) -> str:
        return await orders.post(self._web, orders.with_pools(form, pools), self._act_deadline())

    async def _order(self, order: orders.Body, expectation: Expectation | None) -> Receipt:
        return await ordered(orders.post(self._web, order, self._act_deadline()), expectation)

    def _act_deadline(self) -> Deadline:
        return Deadline(self._context.clock, orders.ACT_S)

    # --- asking --------------------------------------------------------------------------

    async def close(self) -> None:
        """Nothing is held: digest authentication knows no sessions."""
        self._web.forget()

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _ask_rpc(self, deadline: Deadline) -> Report:
        if self._closed and self._context.clock.monotonic() < self._closed_until:
            raise self._closed
        share = Deadline(self._context.clock, deadline.left_s(RPC_SHARE))
        try:
            report = await self._rpc.ask_all(COMMANDS, deadline=share)
        except Refused:
            return await self._rpc.ask_all(FALLBACK_COMMANDS, deadline=share)
        if "stats" in report.replies or not isinstance(report.errors.get("stats"), Refused):
            return report
        more = await self._rpc.ask_all(FALLBACK_COMMANDS[:2], deadline=share)
        replies, errors = {**more.replies, **report.replies}, {**more.errors, **report.errors}
        return Report(replies, errors, report.cut + more.cut)

    async def _read_page(self, problem: DriverError, deadline: Deadline) -> Sample:
        """The status page; raises the RPC's problem where that does not help."""
        if not self._info:
            try:
                self._info = _essence(await self._page(SYSTEM_INFO, deadline))
            except DriverError as error:
                raise problem from error
        page = await self._ask_status(problem, deadline)
        if problem is not self._closed and isinstance(problem, Refused | Unreachable):
            self._closed = problem
            self._closed_until = self._context.clock.monotonic() + CLOSED_S
        words = missing(Report({}, {"rpc": problem}))
        make = make_of(self._info.get("minertype"))
        now = self._context.clock.now()
        sample = parse_status(page, self._info, make, self._id, now, words)
        uptime_s, traits = sample.reading.uptime_s, sample.fingerprint.traits
        aside = await self._slow.look(deadline, now, traits, uptime_s)
        return with_pages(sample, _config(aside), aside.parts.get(BLINK))

    async def _ask_status(self, problem: DriverError, deadline: Deadline) -> dict[str, Any]:
        for path in (self._status_page,) if self._status_page else STATUS_PAGES:
            try:
                page = await self._loose_page(path, deadline)
            except Unsupported:
                continue
            except DriverError as error:
                raise problem from error
            self._status_page = path
            return page
        raise problem

    async def _loose_page(self, path: str, deadline: Deadline) -> dict[str, Any]:
        reply = await self._web.request("GET", path, deadline)
        if reply.status != 200:
            decoded(reply, path)  # raises what the status says
        return decode(reply.body)

    async def _page(self, path: str, deadline: Deadline) -> dict[str, Any]:
        if path == CONFIG_V1:
            return await self._loose_page(path, deadline)
        page = await self._web.json(path, deadline)
        if not isinstance(page, dict):
            raise BadReply("the page is not an object")
        return page


def _config(aside: Aside) -> Page | None:
    """The mode, from whichever page has it."""
    found = [aside.parts[path] for path in (CONFIG_V1, CONFIG) if path in aside.parts]
    return next((page for page in found if page.mode is not None), None)


def _essence(info: dict[str, Any]) -> dict[str, Any]:
    """What a reading takes from the page: thousands of machines keep it."""
    keys = ("minertype", "macaddr", "system_filesystem_version")
    return {key: info[key] for key in keys if key in info}
