"""What a SealMiner is told: bdminer's own commands on port 4028, and the forms of its PHP pages.

`ascset` with `suspend` and `powerlimit`, `restart` to hash again, and `reboot.php` are what asic-rs
sends; `led_conf.php` it has in common with bitcap-ipr. No answer of a real machine to an order is
known, so any that does not say no counts as a yes, and none of them as an effect.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Receipt, Relation
from drivers.api import Context, WebReply
from drivers.asic import effects
from drivers.asic.fields import Row, positive, text
from drivers.asic.sealminer.answers import stats_of
from drivers.errors import BadReply, DriverError, Refused, Unreachable
from drivers.wire.cgminer import CgminerRpc, status_of
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient, decoded

FOLDER = "/cgi-bin"
SYSTEM_INFO = "get_system_info"
ANSWER_S = 15.0
BOOT_S = 900.0
"""An A2 has `Boot Time` 222 s and raises its frequency for 580 s more."""
_RUNNING = "running"


class Orders:
    """Sends orders to one machine."""

    __slots__ = ("_context", "_rpc", "_web")

    def __init__(self, context: Context, rpc: CgminerRpc, web: WebClient) -> None:
        self._context = context
        self._rpc = rpc
        self._web = web

    def deadline(self) -> Deadline:
        """How long one order may take."""
        return Deadline(self._context.clock, ANSWER_S)

    # --- bdminer -------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Suspend: bdminer goes on answering."""
        return await ordered(self._set("suspend"), effects.asleep(120.0, look_after_s=5.0))

    async def resume(self) -> Receipt:
        """Restart bdminer, unless it runs: a start is ten minutes of tuning."""
        awake = effects.awake(BOOT_S, look_after_s=240.0)
        state = text((await self._stats()).get("PM State")) or ""
        if state.lower() == _RUNNING:
            return Receipt(answer=Answer.ACCEPTED, words=f"PM State: {state}", expectation=awake)
        return await ordered(self._restart(), awake)

    async def restart_mining(self) -> Receipt:
        """Restart bdminer."""
        return await ordered(self._restart(), effects.restarted(300.0, look_after_s=20.0))

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit, which counts from the next boot on: so boot, unless it is set already.

        The machine says no limits to the limit: it is left to refuse one.
        """
        effects.within(limit_w, 1.0, None, "W")
        limit_w = float(round(limit_w))
        stated = positive((await self._stats()).get("Power Limit"))
        if stated == limit_w:
            words = f"Power Limit: {stated:g}"
            shown = effects.limited(limit_w, 60.0)
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=shown)
        await self.open()
        return await ordered(self._limit(round(limit_w)), _limited_after_boot(limit_w))

    async def _limit(self, watts: int) -> str:
        """Both steps; after silence the second is taken as well, for the first may be heard."""
        silent: DriverError | None = None
        words = ""
        try:
            words = await self._set(f'powerlimit,{{"value":"{watts}"}}')
        except Refused:
            raise
        except DriverError as error:
            if not error.sent and not isinstance(error, BadReply):
                raise
            silent = error
        try:
            await self._reboot()
        except DriverError as error:
            silent = silent or error
        if silent is not None:
            raise _unheard(silent)
        return words

    async def _set(self, option: str) -> str:
        reply = await self._rpc.ask("ascset", f"0,{option}", deadline=self.deadline())
        return status_of(reply).message

    async def _restart(self) -> str:
        return status_of(await self._rpc.ask("restart", deadline=self.deadline())).message

    async def _stats(self) -> Row:
        return stats_of(await self._rpc.ask("stats", deadline=self.deadline()))

    # --- pages ---------------------------------------------------------------------------

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        await self.open()
        return await ordered(self._reboot(), effects.restarted(BOOT_S, look_after_s=60.0))

    async def _reboot(self) -> str:
        path = f"{FOLDER}/reboot.php"
        return words_of(await self._web.request("GET", path, self.deadline()), path)

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the light that `get_system_info.php` tells of."""
        await self.open()
        wanted = {"key": "led", "value": "on" if on else "off"}
        return await ordered(self.post("led_conf", wanted), effects.shows("locating", on, 60.0))

    async def open(self) -> None:
        """Log in where that has not been done: whether a password opens shows before the order."""
        await self.page(SYSTEM_INFO)

    async def page(self, name: str) -> dict[str, Any]:
        """A page that is an object."""
        page = await self._web.json(f"{FOLDER}/{name}.php", self.deadline())
        if not isinstance(page, dict):
            raise BadReply("the page is not an object")
        return page

    async def post(self, name: str, payload: dict[str, str]) -> str:
        """Send a form as JSON; gives the page's own words."""
        path = f"{FOLDER}/{name}.php"
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(payload)
        reply = await self._web.request("POST", path, self.deadline(), headers=headers, body=body)
        return words_of(reply, path)


def words_of(reply: WebReply, path: str) -> str:
    """What a page says to an order; raises `Refused` where it says no. Pure.

    `result` is a number, 0 for success, on the pages that do something, and a truth on those that
    set something, together with `api` and `fileWrite` (bitcap-ipr).
    """
    if reply.status == 200 and not reply.body.lstrip().startswith(b"{"):
        return f"HTTP 200, {len(reply.body)} bytes"
    page = decoded(reply, path)
    if not isinstance(page, dict):
        raise BadReply(f"{path}: the page is not an object")
    found = {key: page[key] for key in ("result", "api", "fileWrite") if key in page}
    said = f"{text(page.get('msg')) or ''} {msgspec.json.encode(found).decode()}".strip()
    if any(_is_no(value) for value in found.values()):
        raise Refused(None, said)
    return said


def _is_no(value: Any) -> bool:
    return value is False or (not isinstance(value, bool) and value not in (0, "0", None))


def _unheard(error: DriverError) -> Unreachable:
    found = Unreachable(str(error))
    found.sent = True
    return found


def _limited_after_boot(limit_w: float) -> Expectation:
    return Expectation(
        any_of=(
            (
                Check("power_limit_w", Relation.EQUALS, limit_w),
                Check("uptime_s", Relation.BELOW_BEFORE),
            ),
        ),
        look_after_s=60.0,
        until_s=BOOT_S,
    )
