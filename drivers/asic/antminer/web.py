"""The web side of a stock Antminer: which pages are read when, and what is kept between polls."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer.answers import MODE_KEYS, SLEEPING, Pools, parse_page
from drivers.asic.antminer.pages import NOTHING_ASIDE, Aside, parse_aside
from drivers.asic.fields import first, integer, number
from drivers.asic.kept import Kept
from drivers.errors import DriverError, Unreachable, Unsupported
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

FACTORY_CREDENTIAL = Credential("root", "root")
ASIDE_EVERY_S = 900.0
"""A web page costs as much CPU as two polls: three of them every 5 minutes were a sixth of all."""
ASIDE_RETRY_S = 45.0
"""A machine that stands still is looked at closely: it may have been told to sleep."""
ASIDE_SHARE = 0.4
"""How much of what the RPC left of the deadline the web side may use."""
RESTS_S = 300.0
WATCH_S = 900.0
CONFIGURATION, LIGHT = "get_miner_conf", "get_blink_status"
ASIDE_PAGES = (CONFIGURATION, "summary", LIGHT)


class WebSide:
    """What the pages alone know of one machine, read now and then beside its polls."""

    __slots__ = (
        *("_clock", "_due", "_kept", "_looked_at", "_rests_until", "_watched", "_watched_until"),
        *("client", "has_watts", "problem", "sleeps"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self.client = WebClient(endpoint, context, enter=by_digest, factory=(FACTORY_CREDENTIAL,))
        self.has_watts = False
        """A page told watts: the new form on port 4028 then tells them, too."""
        self.sleeps = False
        """Its configuration has a mode: it can be told to sleep."""
        self.problem: DriverError | None = None
        self._clock = context.clock
        self._kept: Kept[Aside] | None = None
        self._looked_at = 0.0
        self._rests_until = 0.0
        self._due: tuple[str, ...] = ()
        self._watched: tuple[str, ...] = ()
        self._watched_until = 0.0

    # --- what is forgotten -------------------------------------------------------------------

    def forget(self) -> None:
        """Another machine may stand here: keep nothing."""
        self._kept, self._rests_until, self._due = None, 0.0, ()
        self.has_watts = self.sleeps = False

    def refresh(self) -> None:
        """Read anew what changes; after an order only the pages in which that shows.

        Ten thousand machines are told to sleep at once, and each is read until it does.
        """
        watching = self._clock.monotonic() < self._watched_until
        self._due = self._watched if watching else ASIDE_PAGES
        self._rests_until = 0.0

    def watch(self, *names: str) -> None:
        """An order was given whose effect shows in these pages."""
        self._watched = names
        self._watched_until = self._clock.monotonic() + WATCH_S

    # --- beside a poll -----------------------------------------------------------------------

    @property
    def rests(self) -> bool:
        """True for a while after the pages failed."""
        return self._clock.monotonic() < self._rests_until

    def rest(self) -> None:
        """Leave the pages alone for a while."""
        self._rests_until = self._clock.monotonic() + RESTS_S

    async def look(
        self, body: Any, words: tuple[str, ...], uptime_s: float | None, deadline: Deadline
    ) -> Aside:
        """What the pages say of the machine with this body of `stats`, read where it is time."""
        now, kept = self._clock.now(), self._kept
        before = kept.value if kept and kept.is_of(words, uptime_s, now) else NOTHING_ASIDE
        names, base = self._wanted(body, words, uptime_s, now), Aside(serials=before.serials)
        if not names:
            names, base = self._due_of(body), before
        self._due = ()
        if not body or not names or self.rests:
            return before
        found = await self._read(names, base, deadline)
        if found is None:
            return before
        at = now if base is not before or kept is None else kept.at
        self._keep(found, Kept(before, at, words, _uptime_at(at, now, uptime_s)))
        return found

    def _wanted(
        self, body: Any, words: tuple[str, ...], uptime_s: float | None, now: float
    ) -> tuple[str, ...]:
        if not body or self.rests or not self._is_time(body, words, uptime_s, now):
            return ()
        self._looked_at = now
        kept = self._kept
        # The serials of the boards do not change: one look is enough.
        known = kept and kept.value.serials and kept.is_of(words, uptime_s, now)
        return ASIDE_PAGES if known else (*ASIDE_PAGES, "stats")

    def _is_time(
        self, body: Any, words: tuple[str, ...], uptime_s: float | None, now: float
    ) -> bool:
        kept = self._kept
        if kept is None:
            return True
        if not (_puzzles(body) or not kept.is_of(words, uptime_s, now)):
            return kept.is_due(now, ASIDE_EVERY_S)
        pace_s = ASIDE_EVERY_S if _says_asleep(body) else ASIDE_RETRY_S
        return not 0 <= now - self._looked_at < pace_s

    def _due_of(self, body: Any) -> tuple[str, ...]:
        told = first(body, MODE_KEYS) is not None
        return tuple(name for name in self._due if not (told and name == CONFIGURATION))

    async def _read(
        self, names: tuple[str, ...], before: Aside, deadline: Deadline
    ) -> Aside | None:
        try:
            share = Deadline(self._clock, deadline.left_s(ASIDE_SHARE))
            pages = await self.pages(names, share)
        except DriverError as error:
            self.rest()
            # Old machines and locked-down sites have no web side: nothing is missing there.
            absent = isinstance(error, Unreachable | Unsupported)
            self.problem = None if absent else error
            return None
        self.problem = None
        return parse_aside(pages.replies, before)

    def _keep(self, found: Aside, mark: Kept[Aside]) -> None:
        self.has_watts = self.has_watts or found.watts is not None
        self.sleeps = self.sleeps or found.mode is not None
        self._kept = mark._replace(value=msgspec.structs.replace(found, watts=None))

    # --- pages -------------------------------------------------------------------------------

    async def pages(self, names: tuple[str, ...], deadline: Deadline) -> Report:
        """Several pages by name; raises only where none brought anything."""
        found = await self.client.pages([path_of(name) for name in names], deadline)
        by_path = {path_of(name): name for name in names}
        pages = {by_path[path]: page for path, page in found.replies.items()}
        errors = {by_path[path]: error for path, error in found.errors.items()}
        return Report({k: v for k, v in pages.items() if isinstance(v, dict)}, errors)

    async def page(self, name: str, deadline: Deadline) -> dict[str, Any]:
        """One page; raises what is wrong with it."""
        return parse_page(await self.client.request("GET", path_of(name), deadline))


def path_of(name: str) -> str:
    """Where a page of that name is."""
    return f"/cgi-bin/{name}.cgi"


def _uptime_at(at: float, now: float, uptime_s: float | None) -> float | None:
    return None if uptime_s is None else uptime_s - (now - at)


def stands(body: Any) -> bool:
    """True where `stats` shows no hash rate."""
    return not number(first(body, ("GHS 5s", "rate_5s", "MHS 5s")))


def _says_asleep(body: Any) -> bool:
    return integer(first(body, MODE_KEYS)) == SLEEPING


def _puzzles(body: Any) -> bool:
    """True where it stands still and does not say that it sleeps."""
    return stands(body) and not _says_asleep(body)


def wants_pools(
    pools: Pools | None, body: Any, words: tuple[str, ...], now: float, every_s: float
) -> bool:
    """True where the kept pools are due, of another machine, or the reason for a stand."""
    if pools is None or pools.is_due(now, every_s) or _puzzles(body):
        return True
    return not pools.is_of(words, number(first(body, ("Elapsed", "elapsed"))), now)
