"""MSKMiner: `rwglr` on port 4028; a form gives a cookie that opens the API of the web side."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

from drivers.sim import orders
from drivers.sim.answers import reply_to
from drivers.sim.dialects.rwglr import MODERN
from drivers.sim.face import NOT_FOUND, UNAUTHORIZED, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot

FRONT_PAGE = "<html><head><title>MSKMINER</title></head><body></body></html>"


EFFECT_S = 8.0
_CHANGES = {"miner_pause": orders.sleep, "miner_resume": orders.wake}
_ORDERS = ("/api/miner_pause", "/api/miner_resume", "/api/miner_settings")
"""As a published fork of pyasic sends them; the firmware's own words for them are not known."""


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if ask.path == "/admin/login" and ask.method == "POST":
        return _login(machine, ask, now)
    token = ask.headers.get("cookie", "").removeprefix("session=")
    if token not in machine.sessions:
        return UNAUTHORIZED
    return _open(machine, ask, now)


def _open(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """What a session opens."""
    if ask.path not in ("/api/info_v1", *_ORDERS):
        return NOT_FOUND
    if ask.method != "POST":
        return Page(HTTPStatus.METHOD_NOT_ALLOWED)
    if ask.path in _ORDERS:
        return _obey(machine, ask, now)
    address = {"address": machine.address, "macaddr": machine.mac, "netmask": "255.255.255.0"}
    return json_page({"network_info": {"result": address}})


def _obey(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    name = ask.path.removeprefix("/api/")
    change = _CHANGES.get(name) or _settings(ask.json())
    if change is None:
        return json_page({"success": False}, status=HTTPStatus.BAD_REQUEST)
    heard = machine.hear(name, change, now.now, after_s=EFFECT_S)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return json_page({"success": heard.consents})


def _settings(given: Any) -> Change | None:
    """The pools of `miner_settings`; it wants a list of them."""
    rows = given.get("pools") if isinstance(given, dict) else None
    if not isinstance(rows, list):
        return None
    pools = [
        Pool.of(str(row["url"]), str(row.get("user", "")), str(row.get("pass", "")))
        for row in rows
        if isinstance(row, dict) and row.get("url")
    ]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    return change


def _login(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if (ask.form.get("username"), ask.form.get("password")) != machine.credential:
        return UNAUTHORIZED
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return Page(HTTPStatus.OK, headers=(("Set-Cookie", f"session={token}; Path=/; HttpOnly"),))


FACE = Face(rpc=partial(reply_to, MODERN), web=Web(_page))
