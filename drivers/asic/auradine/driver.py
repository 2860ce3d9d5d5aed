"""Auradine Teraflux: gcminer on port 4028, and the pages of its API on port 8080.

The poll asks port 4028 for rates, boards and pools, and the pages `mode` and `psu`, for sleep and
watts are what a site is steered by. The other pages are large (a row for each of 400 chips and
more) or change slowly. A token opens the pages; it lives an hour (one public description) and is
asked for when the old one ends. The pages have `summary`, `devs` and `pools` as well, for
machines whose port 4028 is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drivers.actions import Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.aside import Aside, Slow, SlowPages
from drivers.asic.auradine.answers import parse, parse_identity, uptime_of, words_of
from drivers.asic.auradine.orders import LATENCIES, NOTHING, Orders
from drivers.asic.auradine.pages import (
    read_fans,
    read_frequencies,
    read_led,
    read_mode,
    read_origin,
    read_psu,
    read_temperatures,
)
from drivers.asic.cgminer import ask_version, missing
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, DriverError, NoResources, Refused, Unsupported
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc, Report, checked
from drivers.wire.deadline import Deadline
from drivers.wire.pages import Pass, WebClient, decoded

COMMANDS = ("summary", "devs", "pools")
FACTORY_CREDENTIAL = Credential("admin", "admin")
SLOW_PAGES = {
    "/mode": Slow(0.0, read_mode),
    "/psu": Slow(0.0, read_psu),
    "/fan": Slow(60.0, read_fans),
    "/temperature": Slow(60.0, read_temperatures),
    "/led": Slow(60.0, read_led),
    "/ipreport": Slow(300.0, read_origin),
    "/frequency": Slow(300.0, read_frequencies),
}
CHIPS_EVERY_S = 300.0
RPC_SHARE = 0.6
"""How much of the deadline port 4028 may use: the pages must still have their turn."""
_ENDED = ("TOKEN", "SESSION", "EXPIRED", "UNAUTHORIZED")
"""A token that has ended is also refused with status 200 and words of these."""


class Auradine:
    """An Auradine miner."""

    __slots__ = (
        *("_chips", "_chips_at", "_context", "_endpoint", "_id", "_latencies"),
        *("_rpc", "_side", "_slow"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._side = WebClient(
            endpoint,
            context,
            enter=enter,
            factory=(FACTORY_CREDENTIAL,),
            port=endpoint.side_port,
        )
        self._slow = SlowPages(self._page, SLOW_PAGES)
        self._id = endpoint.provisional_id
        self._latencies = LATENCIES
        self._chips: dict[str, Any] = {}
        self._chips_at: float | None = None

    async def identify(self) -> Identity:
        """By the page `ipreport` and by `version`; raises only where neither side answers."""
        version: dict[str, Any] = {}
        page: Any = {}
        problems: list[DriverError] = []
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            page = await self._page("/ipreport", self._deadline())
        except DriverError as error:
            problems.append(error)
        if not version and not page:
            raise problems[0]
        self.refresh()
        self._latencies = LATENCIES if page else NOTHING
        identity = parse_identity(version, page, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """The RPC's reports joined in one question, and those pages that are due."""
        deadline = self._deadline()
        try:
            report = await self._ask_rpc(deadline)
        except NoResources:
            raise
        except DriverError as error:
            report = await self._ask_side(error, deadline)
        now = self._context.clock.now()
        aside = await self._slow.look(deadline, now, words_of(report), uptime_of(report))
        return parse(report, self._id, now, aside.parts, _lacking(aside))

    async def close(self) -> None:
        """A token ends by itself; the API knows no way to give it back."""
        self._side.forget()

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """Nothing where no token opens: port 4028 takes no orders."""
        return self._latencies

    def refresh(self) -> None:
        """Ask every page anew."""
        self._slow.forget()
        self._chips_at = None

    async def pause(self) -> Receipt:
        """Sleep."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """Sleep no more."""
        return await self._orders().resume()

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._orders().restart_mining()

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders().reboot()

    async def limit_power(self, limit_w: float) -> Receipt:
        """The power that the mode `custom` aims at."""
        return await self._orders().limit_power(limit_w)

    async def set_mode(self, mode: str) -> Receipt:
        """One of eco, normal, turbo."""
        return await self._orders().set_mode(mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools."""
        return await self._orders().set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        return await self._orders().locate(on=on)

    async def factory_reset(self) -> Receipt:
        """Put every setting back."""
        return await self._orders().factory_reset()

    def _orders(self) -> Orders:
        return Orders(self._side, self._page, self._context.clock)

    # --- inside ----------------------------------------------------------------------------

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _ask_rpc(self, deadline: Deadline) -> Report:
        """`asccount` only now and then; what it said stays in the report in between."""
        share = Deadline(self._context.clock, deadline.left_s(RPC_SHARE))
        now, read_at = self._context.clock.now(), self._chips_at
        due = read_at is None or not 0 <= now - read_at < CHIPS_EVERY_S
        commands = (*COMMANDS, "asccount") if due else COMMANDS
        report = await self._rpc.ask_all(commands, deadline=share)
        if due:
            self._chips = report.replies.get("asccount", {})
            self._chips_at = now
        return Report({"asccount": self._chips, **report.replies}, report.errors, report.cut)

    async def _ask_side(self, problem: DriverError, deadline: Deadline) -> Report:
        """The same reports from the pages; raises the RPC's problem where they do not help."""
        replies: dict[str, Any] = {}
        for command in COMMANDS:
            try:
                replies[command] = await self._page(f"/{command}", deadline)
            except DriverError:
                break
        if not replies:
            raise problem
        return Report(replies, {"rpc": problem})

    async def _page(self, path: str, deadline: Deadline) -> dict[str, Any]:
        try:
            return self._checked(await self._side.json(path, deadline))
        except Refused as error:
            ended = any(word in error.message.upper() for word in _ENDED)
            if isinstance(error, AccessDenied | Unsupported) or not ended:
                raise
            self._side.forget()
        return self._checked(await self._side.json(path, deadline))

    def _checked(self, page: Any) -> dict[str, Any]:
        if not isinstance(page, dict):
            raise BadReply("the page is not an object")
        return checked(page) if "STATUS" in page else page


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Ask for a token (source: the vendor's API description and public clients)."""
    payload = {"command": "token", "user": credential.user, "password": credential.password}
    path = "/token"
    try:
        body = msgspec.json.encode(payload)
        headers = {"Content-Type": "application/json"}
        page = decoded(await client.send("POST", path, deadline, headers=headers, body=body), path)
        reply = checked(page) if isinstance(page, dict) and "STATUS" in page else page
    except Unsupported:
        return Pass()  # firmware without tokens: the pages are open, or say so themselves
    except Refused as error:
        raise AccessDenied(error.code, error.message) from None
    try:
        token = str(reply["Token"][0]["Token"])
    except (LookupError, TypeError):
        raise BadReply("the answer holds no token") from None
    return Pass(headers={"Token": token})


def _lacking(aside: Aside) -> tuple[str, ...]:
    return missing(Report({}, {f"page {path}": error for path, error in aside.errors.items()}))
