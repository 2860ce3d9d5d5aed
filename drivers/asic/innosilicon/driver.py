"""Innosilicon, and the DragonMint T1 whose web side it kept: polled over port 4028.

The pages ask the same program by the same port and want a token; they alone know type, MAC and
error. So they are asked when identifying, and for errors and mode every five minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.cgminer import COMMANDS, NAMING_COMMANDS
from drivers.asic.effects import restarted
from drivers.asic.fields import text
from drivers.asic.innosilicon import orders
from drivers.asic.innosilicon.answers import (
    ALL_PAGE,
    ERROR_PAGE,
    OVERVIEW_PAGE,
    SUMMARY_PAGE,
    TYPE_PAGE,
    Details,
    as_report,
    parse,
    parse_details,
    parse_identity,
    with_details,
    with_duty,
)
from drivers.asic.kept import Kept
from drivers.asic.stored_pools import Found, Stored
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
    WrongProtocol,
)
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import Pass, WebClient

FACTORY = (Credential("admin", "admin"),)
DETAILS_EVERY_S = 300.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_TOKEN_LIMIT = 4096


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """`POST /api/auth` gives a JWT; a wrong password is a `success` of false."""
    form = urlencode({"username": credential.user, "password": credential.password}).encode()
    reply = await client.send("POST", "/api/auth", deadline, headers=_FORM, body=form)
    try:
        found = msgspec.json.decode(reply.body) if reply.status == 200 else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    token = found.get("jwt") if isinstance(found, dict) else None
    if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_LIMIT:
        raise AccessDenied(reply.status, f"the password of {credential.user} opens nothing")
    if not (token.isascii() and token.isprintable()):
        raise AccessDenied(reply.status, "a token that is none")
    return Pass(headers={"Authorization": f"Bearer {token}"})


class Innosilicon:
    """An Innosilicon or DragonMint miner."""

    __slots__ = ("_context", "_details", "_endpoint", "_id", "_rpc", "_web")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._endpoint = endpoint
        self._id = endpoint.provisional_id
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._web = WebClient(endpoint, context, enter=enter, factory=FACTORY)
        self._details: Kept[Details] | None = None

    async def identify(self) -> Identity:
        """By `version`, the devices' names and the pages; raises only where nothing answers."""
        version: dict[str, Any] = {}
        report = Report({})
        problem: DriverError | None = None
        try:
            version = await self._rpc.ask("version")
        except NoResources:
            raise
        except DriverError as error:
            problem = error
        if not isinstance(problem, DeviceTimeout | Unreachable | WrongProtocol):
            report = await self._names()
        pages, _ = await self._pages((ALL_PAGE, OVERVIEW_PAGE, TYPE_PAGE))
        if problem is not None and not pages and not report.replies:
            raise problem
        identity = parse_identity(version, pages, report, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One joined question, and the slow pages where they are due."""
        deadline = self._deadline()
        now = self._context.clock.now()
        try:
            report = await self._rpc.ask_all(COMMANDS, deadline=deadline)
        except (Unreachable, Refused, BadReply) as error:
            return await self._read_pages(error, now, deadline)
        sample = parse(report, self._id, now)
        return with_details(sample, await self._details_of(sample, now, deadline))

    async def close(self) -> None:
        """Nothing is held: the pages know no way to end a session."""

    # --- orders --------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """The same for all types."""
        return orders.LATENCIES

    def refresh(self) -> None:
        """Mode, watts and error are asked for with the next reading."""
        self._details = None

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew: its uptime is what readings show."""
        shown = restarted(orders.RESTARTED_S, look_after_s=orders.RESTARTING_S)
        return await self._order(orders.RESTART_PAGE, shown)

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        shown = restarted(orders.BOOTED_S, look_after_s=orders.BOOTING_S)
        return await self._order(orders.REBOOT_PAGE, shown)

    async def factory_reset(self) -> Receipt:
        """Forget every setting, the network's too: no reading is sure to find it again."""
        return await self._order(orders.RESET_PAGE, None)

    async def set_pools(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """All at once; the mining program starts anew."""
        shown = len(cast("MinerReading", (await self.read()).reading).pools)
        return await self._stored().replace(wanted, places=orders.PLACES, shown=shown)

    async def recover(self) -> Receipt | None:
        """Put back the pools that a write may have lost."""
        note = under_way(self._context.memory)
        return None if note is None else await self._stored().recover(note)

    def _stored(self) -> Stored:
        return Stored(
            self._context.clock,
            self._context.memory,
            self._look,
            self._store,
            look_after_s=orders.RESTARTING_S,
            until_s=orders.POOLS_S,
        )

    async def _look(self) -> Found:
        try:
            return orders.stored_in(await self._page(orders.POOLS_PAGE, self._act_deadline()))
        except BadReply:
            raise BadReply("the configured pools cannot be read") from None  # with passwords

    async def _store(self, _: Any, pools: Sequence[PoolSetting]) -> str:
        form = orders.form_of(pools)
        return await orders.post(self._web, orders.UPDATE_PAGE, form, self._act_deadline())

    async def _order(self, path: str, expectation: Expectation | None) -> Receipt:
        await self._page(TYPE_PAGE, self._act_deadline())  # so that the token is a good one
        return await ordered(orders.post(self._web, path, {}, self._act_deadline()), expectation)

    def _act_deadline(self) -> Deadline:
        return Deadline(self._context.clock, orders.ACT_S)

    # --- asking --------------------------------------------------------------------------

    async def _read_pages(self, error: DriverError, now: float, deadline: Deadline) -> Sample:
        pages, errors = await self._pages((SUMMARY_PAGE, ALL_PAGE, ERROR_PAGE), deadline)
        report = as_report(pages, Report({}, {"rpc": error, **errors}))
        if not report.replies:
            raise error
        return with_duty(parse(report, self._id, now, parse_details(pages)), pages)

    async def _details_of(self, sample: Sample, now: float, deadline: Deadline) -> Details:
        uptime_s = cast("MinerReading", sample.reading).uptime_s
        words, known = sample.fingerprint.traits, self._details
        if known is not None and not known.is_of(words, uptime_s, now):
            known = None
        if known is not None and not known.is_due(now, DETAILS_EVERY_S):
            return known.value
        pages, _ = await self._pages((ALL_PAGE, ERROR_PAGE), deadline)
        details = parse_details(pages)
        self._details = Kept(details, now, words, uptime_s)
        return details

    async def _names(self) -> Report:
        try:
            return await self._rpc.ask_all(NAMING_COMMANDS)
        except NoResources:
            raise
        except DriverError:
            return Report({})

    async def _pages(
        self, paths: tuple[str, ...], deadline: Deadline | None = None
    ) -> tuple[dict[str, Any], dict[str, DriverError]]:
        """The pages that open, and why others do not; without a deadline one for each."""
        pages: dict[str, Any] = {}
        errors: dict[str, DriverError] = {}
        for path in paths:
            try:
                pages[path] = await self._page(path, deadline or self._deadline())
            except NoResources:
                raise
            except DriverError as error:
                errors[path] = error
                if isinstance(error, AccessDenied | DeviceTimeout | Unreachable):
                    break
        return pages, errors

    async def _page(self, path: str, deadline: Deadline) -> dict[str, Any]:
        """One page; a session that ended says so in a page of status 200."""
        for last in (False, True):
            page = await self._web.json(path, deadline, method="POST", payload={})
            if not isinstance(page, dict):
                raise BadReply(f"{path} is not an object")
            if page.get("success") is not False:
                return page
            self._web.forget()
            if last or page.get("token") != "expired":
                break
        raise Refused(None, text(page.get("message")) or f"{path} gives nothing")

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)
