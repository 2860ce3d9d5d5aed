"""Elphapex: CGI pages like Bitmain's, and nothing on port 4028.

`stats` carries rate, boards, chip temperatures and fans, so it alone is read with every poll;
pools, health and mode come now and then. Firmwares differ in how they are opened: by digest
(realm "Daoge"), by basic authentication or not at all (public descriptions of each), so the
server is asked first. Some serve the same pages below `/cgi-bin/luci` instead.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.aside import Slow, SlowPages
from drivers.asic.cgminer import missing
from drivers.asic.effects import asleep, awake, restarted, shows
from drivers.asic.elphapex import orders
from drivers.asic.elphapex.answers import (
    BLINK,
    CONFIG,
    POOLS,
    POWER,
    STATS,
    SUMMARY,
    SYSTEM_INFO,
    is_mining,
    parse,
    read_blink,
    read_config,
    read_health,
    read_pools,
    read_power,
    uptime_of,
    words_of,
)
from drivers.asic.fields import Row, common, first, mac, miner_id, text
from drivers.asic.page_parts import section
from drivers.asic.stored_pools import Found, Stored
from drivers.asic.unfinished import under_way
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, NoResources, Unsupported
from drivers.model import Identity, Kind, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import DENIED, Pass, WebClient

FACTORY_CREDENTIAL = Credential("root", "root")
_BUILD = re.compile(r"_V(\d[\w.]{0,32})$")
NETWORK_INFO = "get_network_info"
FOLDERS = (orders.PLAIN, orders.LUCI)
SLOW_PAGES = {
    POOLS: Slow(45.0, read_pools),
    CONFIG: Slow(60.0, read_config),
    SUMMARY: Slow(60.0, read_health),
    POWER: Slow(60.0, read_power),
    BLINK: Slow(300.0, read_blink),
}


class Elphapex:
    """An Elphapex machine."""

    __slots__ = ("_context", "_endpoint", "_folder", "_id", "_slow", "_web")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._web = WebClient(endpoint, context, enter=enter, factory=(FACTORY_CREDENTIAL,))
        self._slow = SlowPages(self._page, SLOW_PAGES)
        self._id = endpoint.provisional_id
        self._folder: str | None = None

    async def identify(self) -> Identity:
        """By `get_system_info` (or the network's page) and `stats`; raises without either."""
        deadline = self._deadline()
        found: dict[str, dict[str, Any]] = {}
        problems: list[DriverError] = []
        for name in (SYSTEM_INFO, STATS, NETWORK_INFO):
            if name == NETWORK_INFO and SYSTEM_INFO in found:
                break
            try:
                found[name] = await self._page(name, deadline)
            except DriverError as error:
                problems.append(error)
        if not found:
            raise problems[0]
        self._slow.forget()
        info = found.get(SYSTEM_INFO, found.get(NETWORK_INFO, {}))
        identity = parse_identity(info, found.get(STATS, {}), self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`stats`, and those of the other pages that are due."""
        deadline = self._deadline()
        stats = await self._page(STATS, deadline)
        now = self._context.clock.now()
        # A machine that stops or starts is looked at closely: mode and pools may be the reason.
        words = (*words_of(stats), str(is_mining(stats)))
        aside = await self._slow.look(deadline, now, words, uptime_of(stats))
        pools_at = aside.at.get(POOLS)
        return parse(
            stats,
            self._id,
            now,
            aside.parts,
            None if pools_at == now or POOLS not in aside.parts else pools_at,
            missing(Report({}, aside.errors)),
        )

    # --- orders --------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By the folder of its pages; nothing before one was found."""
        return orders.LATENCIES[self._folder]

    def refresh(self) -> None:
        """Every page is read anew."""
        self._slow.forget()

    async def pause(self) -> Receipt:
        """By the mode that stands still."""
        expectation = asleep(orders.ASLEEP_S, look_after_s=orders.MODE_TAKEN_S)
        return await self._order(await self._luci(), orders.SLEEP, expectation)

    async def resume(self) -> Receipt:
        """By the normal mode."""
        expectation = awake(orders.AWAKE_S, look_after_s=orders.HASHES_S)
        return await self._order(await self._luci(), orders.WAKE, expectation)

    async def locate(self, *, on: bool) -> Receipt:
        """By its light."""
        folder = await self._found()
        order = orders.blink(folder, on=on)
        return await self._order(folder, order, shows("locating", on, orders.SHOWN_S))

    async def reboot(self) -> Receipt:
        """Its uptime counts mining alone: of a machine that stands no reading can show it."""
        stats = await self._page(STATS, self._act_deadline())
        folder = self._folder or orders.PLAIN
        shown = restarted(orders.BOOTED_S, look_after_s=orders.BOOTING_S)
        expectation = shown if is_mining(stats) else None
        return await self._order(folder, orders.REBOOT[folder], expectation)

    async def set_pools(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """By the whole configuration."""
        if await self._found() != orders.PLAIN:
            raise Unsupported(None, "nobody shows how these pages store pools")
        shown = len(read_pools(await self._page(POOLS, self._act_deadline())))
        return await self._stored().replace(wanted, places=orders.PLACES, shown=shown)

    async def recover(self) -> Receipt | None:
        """Put back the pools that a write may have lost."""
        note = under_way(self._context.memory)
        if note is None:
            return None
        await self._found()
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
        try:
            return orders.stored_in(await self._page(CONFIG, self._act_deadline()))
        except BadReply:
            raise BadReply("its configuration cannot be read") from None  # it holds passwords

    async def _store(self, config: Row, pools: Sequence[PoolSetting]) -> str:
        order = orders.with_pools(config, pools)
        return await orders.post(self._web, orders.PLAIN, order, self._act_deadline())

    async def _order(
        self, folder: str, order: orders.Order, expectation: Expectation | None
    ) -> Receipt:
        return await ordered(
            orders.post(self._web, folder, order, self._act_deadline()), expectation
        )

    async def _found(self) -> str:
        """The folder of its pages, after a page was read: the order finds the door open."""
        await self._page(STATS, self._act_deadline())
        return self._folder or orders.PLAIN

    async def _luci(self) -> str:
        if await self._found() != orders.LUCI:
            raise Unsupported(None, "nobody shows how these pages are told to sleep")
        return orders.LUCI

    def _act_deadline(self) -> Deadline:
        return Deadline(self._context.clock, orders.ACT_S)

    # --- asking --------------------------------------------------------------------------

    async def close(self) -> None:
        """Nothing is held: digest authentication knows no sessions."""
        self._web.forget()

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _page(self, name: str, deadline: Deadline) -> dict[str, Any]:
        if self._folder is not None:
            return await self._ask(self._folder, name, deadline)
        problem: DriverError | None = None
        for folder in FOLDERS:
            try:
                page = await self._ask(folder, name, deadline)
            except NoResources:
                raise
            except Unsupported as error:
                problem = problem or error
            else:
                self._folder = folder
                return page
        raise problem or BadReply("no pages")

    async def _ask(self, folder: str, name: str, deadline: Deadline) -> dict[str, Any]:
        page = await self._web.json(f"{folder}/{name}.cgi", deadline)
        if not isinstance(page, dict):
            raise BadReply(f"{name}: the page is not an object")
        return page


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Answer the challenge that the server gives, which may be none."""
    reply = await client.send("GET", f"{FOLDERS[0]}/{SYSTEM_INFO}.cgi", deadline)
    if reply.status not in DENIED:
        return Pass()
    challenge = reply.headers.get("www-authenticate", "")
    if challenge.lower().startswith("basic"):
        word = b64encode(f"{credential.user}:{credential.password}".encode()).decode()
        return Pass(headers={"Authorization": f"Basic {word}"})
    return Pass(login=client.context.web.digest(credential))


def parse_identity(info: Row, stats: Row, provisional_id: str) -> Identity:
    """Put together `get_system_info` and `stats`; either may be empty."""
    own = section(stats, "INFO")
    address = mac(info.get("macaddr"))
    serial = text(own.get("dev_sn"))
    build = common(first(info, ("system_filesystem_version",)) or own.get("miner_version"))
    algorithm = text(info.get("Algorithm"))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make="Elphapex",
        model=common(info.get("minertype")) or common(own.get("type")),
        firmware="stock",
        firmware_version=_version(build),
        serial=serial,
        mac=address,
        hostname=text(first(info, ("hostname", "conf_hostname"))),
        algorithm=algorithm.lower() if algorithm else None,
    )


def _version(build: str | None) -> str | None:
    """`DG1+_SW_V1.0.2` is version 1.0.2."""
    found = _BUILD.search(build) if build else None
    return found.group(1) if found else build
