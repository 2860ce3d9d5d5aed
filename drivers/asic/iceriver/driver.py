"""IceRiver: one web page tells everything, and asking it often harms the machine.

Owners report that polling hangs a KS0 Ultra day by day, and that its web program loses memory:
so one request is all that a poll costs, and a session, where the firmware wants one at all, is
kept. The page of the published image asks no session; others set a cookie at the login.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.effects import restarted, shows
from drivers.asic.fields import integer, text
from drivers.asic.iceriver import orders
from drivers.asic.iceriver.answers import parse, parse_identity
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.stored_pools import Found, Stored
from drivers.asic.unfinished import under_way
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, DriverError, Refused
from drivers.model import Identity, Sample
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import Pass, WebClient

PANEL = "/user/userpanel?post=4"
LOGIN = "/user/loginpost?post=6"
FACTORY = (Credential("admin", "12345678"),)
_COOKIE_LIMIT = 1024
_OF_THE_PAGE = {"X-Requested-With": "XMLHttpRequest"}
"""As the page's own requests after a login have it."""


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Log in; `error` 1001 is an unknown user, 1002 a wrong password. Keeps the cookie."""
    words = f"&user={quote(credential.user, safe='')}&pwd={quote(credential.password, safe='')}"
    try:
        reply = await client.send("POST", LOGIN + words, deadline)
    except DriverError as error:
        error.args = (str(error).replace(words, ""),)
        raise
    if reply.status != 200 or _error(reply.body):
        raise AccessDenied(reply.status, f"the password of {credential.user} opens nothing")
    cookie = reply.headers.get("set-cookie", "").partition(";")[0].strip()[:_COOKIE_LIMIT]
    return Pass(headers=_OF_THE_PAGE | ({"Cookie": cookie} if "=" in cookie else {}))


def _error(body: bytes) -> int | None:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the page glues words into its answer; what counts is the panel
    return integer(found.get("error")) if isinstance(found, dict) else None


class Iceriver:
    """An IceRiver miner."""

    __slots__ = ("_context", "_endpoint", "_id", "_open", "_web")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._endpoint = endpoint
        self._id = endpoint.provisional_id
        self._open = WebClient(endpoint, context)
        self._web: WebClient | None = None
        """With a session; None as long as the panel has wanted none."""

    async def identify(self) -> Identity:
        """By the panel, which has the MAC and the build."""
        identity = parse_identity(await self._panel(), self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One request."""
        return parse(await self._panel(), self._id, self._context.clock.now())

    async def close(self) -> None:
        """Forget the session: the pages know no way to end one."""
        self._web = None

    # --- orders --------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """The same for all types."""
        return orders.LATENCIES

    async def locate(self, *, on: bool) -> Receipt:
        """By its light."""
        shown = shows("locating", on, orders.SHOWN_S, look_after_s=orders.LIT_S)
        return await self._order(orders.light(on=on), shown)

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        shown = restarted(orders.BOOTED_S, look_after_s=orders.BOOTING_S)
        return await self._order(orders.BOOT, shown)

    async def factory_reset(self) -> Receipt:
        """Forget every setting: no reading is sure to find it again."""
        return await self._order(orders.RESET, None)

    async def set_pools(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """All at once, with the fans' setting as it is; mining starts anew."""
        data = await self._panel()
        rows = listed(data.get("pools"), POOLS_LIMIT)
        shown = sum(bool(text(row.get("addr"))) for row in rows)
        return await self._stored().replace(wanted, places=orders.PLACES, shown=shown)

    async def recover(self) -> Receipt | None:
        """Put back the pools that a write may have lost."""
        note = under_way(self._context.memory)
        if note is None:
            return None
        await self._panel()
        return await self._stored().recover(note)

    def _stored(self) -> Stored:
        return Stored(
            self._context.clock,
            self._context.memory,
            self._look,
            self._store,
            look_after_s=orders.RESTARTED_S,
            until_s=orders.POOLS_S,
        )

    async def _look(self) -> Found:
        web, deadline = self._client(), self._act_deadline()
        page = await orders.post(web, orders.CONFIG_PAGE, orders.READ_CONFIG, deadline)
        return orders.stored_in(page)

    async def _store(self, fans: Mapping[str, str], pools: Sequence[PoolSetting]) -> str:
        form = orders.with_pools(fans, pools)
        return await orders.order(self._client(), orders.CONFIG_PAGE, form, self._act_deadline())

    async def _order(self, form: Mapping[str, str], expectation: Expectation | None) -> Receipt:
        await self._panel()  # so that the session, where there is one, is a good one
        deadline = self._act_deadline()
        order = orders.order(self._client(), orders.PANEL_PAGE, form, deadline)
        return await ordered(order, expectation)

    def _client(self) -> WebClient:
        return self._web or self._open

    def _act_deadline(self) -> Deadline:
        return Deadline(self._context.clock, orders.ACT_S)

    # --- asking --------------------------------------------------------------------------

    async def _panel(self) -> dict[str, Any]:
        deadline = Deadline(self._context.clock, self._context.deadline_s)
        if self._web is None:
            try:
                return panel_in(await self._open.json(PANEL, deadline, method="POST"))
            except (AccessDenied, BadReply):
                pass  # the login page instead, or a denial: this firmware wants a session
            except Refused as error:
                if error.code is None or not 300 <= error.code < 400:
                    raise
            self._web = WebClient(self._endpoint, self._context, enter=enter, factory=FACTORY)
        try:
            return panel_in(await self._web.json(PANEL, deadline, method="POST"))
        except BadReply:
            self._web.forget()  # sessions end in the login page, not in a denial
            raise


def panel_in(page: Any) -> dict[str, Any]:
    """The data in the page; raises `Refused` with its error, `BadReply` where there is none."""
    if not isinstance(page, dict):
        raise BadReply("the panel is not an object")
    data = page.get("data")
    if error := integer(page.get("error")):
        raise Refused(error, text(page.get("message")) or "the panel gives an error")
    if not isinstance(data, dict) or not data:
        raise BadReply("no data in the panel")
    return data
