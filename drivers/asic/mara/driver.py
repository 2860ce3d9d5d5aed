"""MARA's firmware for Antminers (MARAFW, kaonsu): pages under `/kaonsu/v1/` behind a digest.

A poll is three pages on one kept connection, the rest is read now and then. Port 4028 answers as
Bitmain's does (a public list of a live S21's commands): it is read where the web side is closed or
does not open, and has neither power nor mode. See `mara_answers` for what is unverified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from drivers.actions import Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer import driver as antminer
from drivers.asic.aside import Slow, SlowPages
from drivers.asic.cgminer import missing
from drivers.asic.fields import text
from drivers.asic.mara import answers as mara_answers
from drivers.asic.mara import pages as mara_pages
from drivers.asic.mara.orders import BASE, LATENCIES, NOTHING, Orders
from drivers.asic.mara.pages import (
    BOARDS,
    BRIEF,
    CONFIG,
    DETAILS,
    EVENTS,
    FANS,
    LOCATE,
    NETWORK,
    OVERVIEW,
    POOLS,
)
from drivers.asic.page_parts import section
from drivers.capabilities import PoolSetting
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Unreachable,
)
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report, rows
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

FACTORY = (Credential("root", "root"),)
POLLED = (BRIEF, BOARDS, FANS)
SLOW = {
    POOLS: Slow(45.0, mara_pages.reduce_pools),
    LOCATE: Slow(60.0, mara_pages.reduce_locate),
    CONFIG: Slow(60.0, mara_pages.reduce_config),
    EVENTS: Slow(120.0, mara_pages.reduce_events),
    # Every chip is in `details`: hundreds of rows for a few figures that are set, not measured.
    DETAILS: Slow(300.0, mara_pages.reduce_details),
}
WEB_SHARE = 0.6
WEB_REST_S = 60.0
"""How long a web side that did not answer is left alone, where port 4028 does."""


class Mara:
    """An Antminer with MARA's firmware."""

    __slots__ = (
        "_clock",
        "_context",
        "_deadline_s",
        "_endpoint",
        "_id",
        "_model",
        "_opens",
        "_pages",
        "_problem",
        "_rpc",
        "_until",
        "_web",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._clock = context.clock
        self._deadline_s = context.deadline_s
        self._id = endpoint.provisional_id
        self._model: str | None = None
        self._opens = True
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=by_digest, factory=FACTORY)
        self._pages = SlowPages(self._page, SLOW)
        self._problem: DriverError | None = None
        self._until = 0.0

    async def identify(self) -> Identity:
        """By `overview` and `network_config`, else by port 4028, which has no MAC.

        Raises only where neither answers.
        """
        self.refresh()
        overview = await self._tried(OVERVIEW)
        self._opens = not isinstance(overview, DriverError)
        if isinstance(overview, DriverError):
            identity = await self._identify_by_rpc(overview)
        else:
            network = await self._tried(NETWORK)
            told = None if isinstance(network, DriverError) else network
            place = self._endpoint.provisional_id
            identity = mara_pages.parse_identity(overview, told, place)
        self._id, self._model = identity.id, identity.model
        return identity

    async def _identify_by_rpc(self, problem: DriverError) -> Identity:
        try:
            version = await self._rpc.ask("version", deadline=self._deadline())
        except NoResources:
            raise
        except DriverError as error:
            raise problem if isinstance(error, Unreachable) else error from None
        place = self._endpoint.provisional_id
        identity = antminer.parse_system_info(version, {}, place)
        program = text((rows(version, "VERSION") or [{}])[0].get("BMMiner"))
        build = program if program and "mara" in program.lower() else identity.firmware_version
        return replace(identity, firmware=mara_pages.FIRMWARE, firmware_version=build)

    async def _tried(self, name: str) -> Any:
        try:
            return await self._page(name, self._deadline())
        except NoResources:
            raise
        except DriverError as error:
            return error

    async def _page(self, name: str, deadline: Deadline) -> Any:
        return await self._web.json(BASE + name, deadline)

    def _deadline(self) -> Deadline:
        return Deadline(self._clock, self._deadline_s)

    async def read(self) -> Sample:
        """Three pages; by port 4028 where the web side does not open."""
        deadline = self._deadline()
        if self._problem is not None and self._clock.monotonic() < self._until:
            return await self._read_rpc(deadline, self._problem)
        try:
            return await self._read_web(Deadline(self._clock, deadline.left_s(WEB_SHARE)))
        except NoResources:
            raise
        except DriverError as error:
            sample = await self._read_rpc(deadline, error)
            if isinstance(error, Unreachable | DeviceTimeout):
                self._problem, self._until = error, self._clock.monotonic() + WEB_REST_S
            return sample

    async def _read_web(self, deadline: Deadline) -> Sample:
        report = Report({}, {})
        for name in POLLED:
            try:
                report.replies[name] = await self._page(name, deadline)
            except (Unreachable, DeviceTimeout, NoResources, AccessDenied):
                raise
            except DriverError as error:
                report.errors[name] = error
        if not any(section(mara_pages.payload(page)) for page in report.replies.values()):
            raise next(iter(report.errors.values()), BadReply("pages without content"))
        now = self._clock.now()
        words, uptime_s = mara_answers.words_of(report), mara_answers.uptime_of(report)
        aside = await self._pages.look(deadline, now, words, uptime_s)
        report.errors.update(aside.errors)
        return mara_answers.parse(report, self._id, now, aside.parts, aside.at, self._model)

    async def _read_rpc(self, deadline: Deadline, problem: DriverError) -> Sample:
        """Raises what the web side said where port 4028 gives nothing."""
        try:
            report = await self._rpc.ask_all(antminer.COMMANDS, deadline=deadline)
        except NoResources:
            raise
        except DriverError:
            raise problem from None
        sample = antminer.parse(report, self._id, self._clock.now())
        told = (*sample.reading.missing, *missing(Report({}, {"web": problem})))
        return Sample(replace(sample.reading, missing=told), sample.fingerprint)

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """Nothing where the pages do not open: port 4028 takes no orders."""
        return LATENCIES if self._opens else NOTHING

    def refresh(self) -> None:
        """Read every page anew, and try the web side again."""
        self._pages.forget()
        self._problem, self._until = None, 0.0

    async def recover(self) -> Receipt | None:
        """See what an interrupted write of the configuration came to."""
        return await self._orders().recover()

    async def pause(self) -> Receipt:
        """The mode `Sleep`."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """The mode that it had before it slept."""
        return await self._orders().resume()

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._orders().restart_mining()

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders().reboot()

    async def limit_power(self, limit_w: float) -> Receipt:
        """The power that the mode `Auto` aims at."""
        return await self._orders().limit_power(limit_w)

    async def set_mode(self, mode: str) -> Receipt:
        """One of auto, fixed, stock."""
        return await self._orders().set_mode(mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, keeping the rest of the configuration."""
        return await self._orders().set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        return await self._orders().locate(on=on)

    def _orders(self) -> Orders:
        return Orders(self._web, self._context)

    async def close(self) -> None:
        """Nothing is held: digest authentication has no session."""
