"""VNish (AnthillOS), a firmware for Antminers: polled by one page of its web API.

`/api/v1/summary` has everything that changes; `info`, presets and the light are read now and
then. Reads are open on most builds; where one is not, the password unlocks a token that is kept
(source: VNish's OpenAPI description, schemes `bearerAuth` and `apikeyAuth`, and recordings).
Builds before 1.0 of the API (3.x on S9 and L3+) have CGI pages only, and port 4028 is polled:
as it is wherever the web side does not open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.cgminer import ask_version
from drivers.asic.kept import Kept
from drivers.asic.vnish.access import FACTORY_CREDENTIAL, lock, system_page, unlock
from drivers.asic.vnish.answers import parse_summary, uptime_of, words_of
from drivers.asic.vnish.orders import NOTHING, THROTTLED, UNTHROTTLED, Orders
from drivers.asic.vnish.rpc import parse_rpc
from drivers.asic.vnish.settings import (
    NO_SETTINGS,
    Settings,
    as_object,
    parse_identity,
    parse_settings,
)
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import AccessDenied, DriverError, Refused, Unreachable, Unsupported
from drivers.model import Identity, Sample
from drivers.wire.cgminer import CgminerRpc
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

COMMANDS = ("stats", "pools")
OPEN_PAGES = ("perf-summary", "status")
RARE_PAGES = ("settings", "autotune/presets", "chains/factory-info")
SETTINGS_EVERY_S = 300.0
RARE_EVERY_S = 3600.0
RETRY_S = 60.0
WEB_SHARE = 0.6
"""How much of the deadline the web side may use: the RPC must still have its turn."""
SLOW_SHARE = 0.5
WEB_RESTS_S = 300.0
_THROTTLES = re.compile(r"1\.(?:3\.(?:[3-9]|\d\d)|(?:[4-9]|\d\d)\.)")
"""Versions from 1.3.3 on. Those of the 17 series count apart: 2.0 of them is older."""


class Vnish:
    """An Antminer with VNish."""

    __slots__ = (
        *("_context", "_endpoint", "_has_api", "_id", "_locked", "_looked_at", "_open"),
        *("_rare_at", "_rpc", "_throttles"),
        *("_settings", "_unlocked", "_web_problem", "_web_rests_until"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._open = WebClient(endpoint, context)
        self._unlocked = WebClient(endpoint, context, enter=unlock, factory=(FACTORY_CREDENTIAL,))
        self._id = endpoint.provisional_id
        self._has_api = True
        self._throttles = False
        self._locked: set[str] = set()
        """Pages that want a token here."""
        self._settings: Kept[Settings] | None = None
        self._looked_at = 0.0
        self._rare_at = 0.0
        self._web_rests_until = 0.0
        self._web_problem: DriverError | None = None

    async def identify(self) -> Identity:
        """By `info`, by `version` or `stats`, and on old builds by the CGI page.

        Raises only where nothing answers.
        """
        self.refresh()
        problems: list[DriverError] = []
        version: dict[str, Any] = {}
        info: dict[str, Any] = {}
        page: dict[str, Any] = {}
        try:
            version = await ask_version(self._rpc)
        except DriverError as error:
            problems.append(error)
        try:
            info = as_object(await self._page("info", self._deadline()))
        except DriverError as error:
            problems.append(error)
            page = await system_page(self._endpoint, self._context, error, self._deadline())
        self._has_api, self._web_problem = not page, None
        if not (version or info or page):
            raise problems[0]
        identity = parse_identity(version, info, page, self._endpoint.provisional_id)
        self._id = identity.id
        self._throttles = bool(_THROTTLES.match(identity.firmware_version or ""))
        return identity

    async def read(self) -> Sample:
        """One page of the web API; where it does not open, `stats` and `pools` of port 4028."""
        deadline = self._deadline()
        if self._has_api and self._context.clock.monotonic() >= self._web_rests_until:
            try:
                return await self._read_web(deadline)
            except DriverError as error:
                self._web_problem = error
        return await self._read_rpc(deadline)

    async def close(self) -> None:
        """Give the token back, where there is one."""
        if self._unlocked.session is not None:
            await lock(self._unlocked, self._deadline())

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """Nothing on builds without the API, whose CGI pages are another matter."""
        if not self._has_api:
            return NOTHING
        return THROTTLED if self._throttles else UNTHROTTLED

    def refresh(self) -> None:
        """Read the slow pages anew, and look at the web side again."""
        self._settings = None
        self._looked_at = self._rare_at = self._web_rests_until = 0.0

    async def recover(self) -> Receipt | None:
        """Settings may need a second order before they are used."""
        if self._context.memory.get(UNFINISHED) is None:
            return None
        return await self._orders().recover()

    async def pause(self) -> Receipt:
        """Stop mining."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """Start mining."""
        return await self._orders().resume()

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._orders().restart_mining()

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders().reboot()

    async def throttle(self, percent: float) -> Receipt:
        """From 20 to 100 % of what the preset draws."""
        return await self._orders().throttle(percent)

    async def limit_power(self, limit_w: float) -> Receipt:
        """By the highest preset within the limit, a tuned one where there is any."""
        return await self._orders().limit_power(limit_w)

    async def choose_preset(self, preset: str) -> Receipt:
        """Presets are called by their watts."""
        return await self._orders().choose_preset(preset)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools."""
        return await self._orders().set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        return await self._orders().locate(on=on)

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Fix the fans; the machine still stops where it gets too hot."""
        return await self._orders().set_fan_duty(percent)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """The temperature that the fans keep."""
        return await self._orders().set_temp_target(temp_c)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Change the name alone."""
        return await self._orders().set_hostname(hostname)

    async def factory_reset(self) -> Receipt:
        """Put every setting back."""
        return await self._orders().factory_reset()

    def _orders(self) -> Orders:
        return Orders(self._unlocked, self._page, self._context)

    # --- the web API -----------------------------------------------------------------------

    async def _read_web(self, deadline: Deadline) -> Sample:
        share = Deadline(self._context.clock, deadline.left_s(WEB_SHARE))
        page = await self._page("summary", share)
        if not as_object(as_object(page).get("miner")):
            # So while the mining program is not up; port 4028 or `status` may say more.
            page = {"miner": {"miner_status": await self._page("status", share)}}
        now = self._context.clock.now()
        words, uptime_s = words_of(page), uptime_of(page)
        missing: tuple[str, ...] = ()
        if self._wants_settings(words, uptime_s, now):
            missing = await self._look_aside(words, uptime_s, now, share)
        self._web_problem = None
        return parse_summary(page, self._id, now, self._known(words, uptime_s, now), missing)

    def _known(self, words: tuple[str, ...], uptime_s: float | None, now: float) -> Settings:
        kept = self._settings
        return kept.value if kept and _is_of(kept, words, uptime_s, now) else NO_SETTINGS

    def _wants_settings(self, words: tuple[str, ...], uptime_s: float | None, now: float) -> bool:
        kept = self._settings
        if kept is None:
            return not 0 <= now - self._looked_at < RETRY_S
        if not _is_of(kept, words, uptime_s, now):
            return True
        return kept.is_due(now, SETTINGS_EVERY_S)

    async def _look_aside(
        self, words: tuple[str, ...], uptime_s: float | None, now: float, share: Deadline
    ) -> tuple[str, ...]:
        """Read the slow pages in what is left; what failed is named."""
        self._looked_at = now
        before = self._known(words, uptime_s, now)
        rare = before is NO_SETTINGS or not 0 <= now - self._rare_at < RARE_EVERY_S
        names = (*OPEN_PAGES, *(("info", *RARE_PAGES) if rare else ()))
        pages: dict[str, Any] = {}
        problems: dict[str, DriverError] = {}
        bound = Deadline(self._context.clock, share.left_s(SLOW_SHARE))
        for name in names:
            try:
                pages[name] = await self._page(name, bound)
            except DriverError as error:
                problems[name] = error
                if not isinstance(error, Refused):
                    break  # the next one would fare no better
        if rare and not any(isinstance(problem, Unreachable) for problem in problems.values()):
            self._rare_at = now
        self._settings = Kept(parse_settings(pages, before), now, words, uptime_s)
        told = {k: v for k, v in problems.items() if not isinstance(v, Unsupported)}
        return tuple(f"{name}: {type(e).__name__} {e}"[:120] for name, e in told.items())

    async def _page(self, name: str, deadline: Deadline) -> Any:
        """A page, with the token only where it is asked for."""
        path = f"/api/v1/{name}"
        if name not in self._locked:
            try:
                return await self._open.json(path, deadline)
            except AccessDenied:
                self._locked.add(name)
        return await self._unlocked.json(path, deadline)

    # --- port 4028 -------------------------------------------------------------------------

    async def _read_rpc(self, deadline: Deadline) -> Sample:
        try:
            report = await self._rpc.ask_all(COMMANDS, deadline=deadline)
        except DriverError as error:
            raise self._telling(error) from None
        problem = self._web_problem
        if isinstance(problem, Unreachable | Refused):
            # Only now, when the RPC has shown to do without it: a machine may be just booting.
            self._rest()
        # An old build has no such page; a password that does not fit is worth saying.
        told = problem is not None and not isinstance(problem, Unsupported)
        missing = (f"web: {type(problem).__name__} {problem}"[:120],) if told else ()
        return parse_rpc(report, self._id, self._context.clock.now(), errors=missing)

    def _rest(self) -> None:
        now = self._context.clock.monotonic()
        if now >= self._web_rests_until:
            self._web_rests_until = now + WEB_RESTS_S

    def _telling(self, error: DriverError) -> DriverError:
        """Of two sides that fail, the one that answered at all says more."""
        problem = self._web_problem
        return problem if isinstance(error, Unreachable) and problem else error

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)


def _is_of(
    kept: Kept[Settings], words: tuple[str, ...], uptime_s: float | None, now: float
) -> bool:
    """True where the machine may still be the one that was read.

    The firmware counts its time only while it mines, and anew in each state: only a machine
    that has mined longer than it can have is surely another.
    """
    if words and kept.words and words != kept.words:
        return False
    if uptime_s is None or kept.uptime_s is None:
        return True
    return uptime_s <= kept.uptime_s + (now - kept.at) + 2.0
