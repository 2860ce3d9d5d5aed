"""MSKMiner: `rwglr` on port 4028; a form gives a cookie that opens the API of the web side."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from drivers.sim.answers import reply_to
from drivers.sim.dialects.rwglr import MODERN
from drivers.sim.face import NOT_FOUND, UNAUTHORIZED, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot

FRONT_PAGE = "<html><head><title>MSKMINER</title></head><body></body></html>"


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if ask.path == "/admin/login" and ask.method == "POST":
        return _login(machine, ask, now)
    token = ask.headers.get("cookie", "").removeprefix("session=")
    if token not in machine.sessions:
        return UNAUTHORIZED
    if ask.path != "/api/info_v1":
        return NOT_FOUND
    if ask.method != "POST":
        return Page(HTTPStatus.METHOD_NOT_ALLOWED)
    address = {"address": machine.address, "macaddr": machine.mac, "netmask": "255.255.255.0"}
    return json_page({"network_info": {"result": address}})


def _login(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if (ask.form.get("username"), ask.form.get("password")) != machine.credential:
        return UNAUTHORIZED
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return Page(HTTPStatus.OK, headers=(("Set-Cookie", f"session={token}; Path=/; HttpOnly"),))


FACE = Face(rpc=partial(reply_to, MODERN), web=Web(_page))
