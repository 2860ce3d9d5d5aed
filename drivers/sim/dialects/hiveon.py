"""Hiveon ASIC firmware: `rwglr` on port 4028, Bitmain's CGI pages on the web side."""

from __future__ import annotations

from http import HTTPStatus

from drivers.sim.answers import Reply, reply_to
from drivers.sim.dialects import bitmain
from drivers.sim.dialects.bitmain_writes import WRITES
from drivers.sim.dialects.rwglr import MODERN, OLD, type_of
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot

FRONT_PAGE = b"<html><head><title>Ant Miner</title></head><body></body></html>"


_WRITES = frozenset({"/cgi-bin/set_miner_conf.cgi", "/cgi-bin/blink.cgi"})
_PAGES = {
    "/cgi-bin/get_miner_conf.cgi": bitmain.get_miner_conf,
    "/cgi-bin/get_blink_status.cgi": bitmain.get_blink_status,
}


def _respond(machine: Machine, data: bytes, now: float) -> Reply:
    old = bool(machine.model.extra.get("old"))
    return reply_to(OLD if old else MODERN, machine, data, now)


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return Page(HTTPStatus.OK, FRONT_PAGE)
    if ask.path == "/cgi-bin/get_system_info.cgi":
        return json_page(bitmain.get_system_info(machine, now) | {"minertype": type_of(machine)})
    if ask.path == "/cgi-bin/reboot.cgi":
        return WRITES[ask.path](machine, ask, now)
    if machine.model.extra.get("old"):
        return NOT_FOUND
    if ask.path in _WRITES:
        return WRITES[ask.path](machine, ask, now)
    made = _PAGES.get(ask.path)
    return json_page(made(machine, now)) if made else NOT_FOUND


FACE = Face(rpc=_respond, web=Web(_page, realm="antMiner Configuration"))
