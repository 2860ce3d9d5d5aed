"""What a Proto Rig does when it is told to.

Sources: the maker's OpenAPI document (MDK API), and the rig that its fleet software is tested
against: a list of pools replaces the one before, addresses need a scheme and a port, and a target
that leaves out what to do without a network switches that off.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple
from weakref import WeakKeyDictionary

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

LIMITS_W = (400, 3600)
STOP_S, TUNE_S, BOOT_S = 3.0, 5.0, 40.0
_SHARES = {"MaximumHashrate": 1.0, "Efficiency": 0.8}
_ADDRESS = re.compile(r"stratum2?\+(tcp|ssl|tls)://[^:/]+:\d{1,5}(/.*)?")

_ALONE: WeakKeyDictionary[Machine, bool] = WeakKeyDictionary()
"""Rigs that were told whether to hash without a network; from the factory they do."""


class Told(NamedTuple):
    """An order that makes sense: what it does, when, and the words for it."""

    change: Change
    words: str
    after_s: float = 0.0
    status: HTTPStatus = HTTPStatus.ACCEPTED


class No(NamedTuple):
    """One that makes none."""

    status: HTTPStatus
    code: str


def hashes_alone(machine: Machine) -> bool:
    """Whether it goes on without a network."""
    return _ALONE.get(machine, True)


def target_w(machine: Machine) -> int:
    """The power target."""
    chosen = machine.settings.limit_w
    return LIMITS_W[1] if chosen is None else round(chosen)


def write(machine: Machine, ask: Ask, now: Snapshot, name: str) -> Page:
    """Answer a request that writes, of somebody with a token."""
    take = _WRITES.get((ask.method, name))
    if take is None:
        return NOT_FOUND
    told = take(machine, ask)
    if isinstance(told, No):
        return _no(told.status, told.code)
    heard = machine.hear(name, told.change, now.now, after_s=told.after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return _no(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR")
    return json_page({"message": told.words}, status=told.status)


def _no(status: HTTPStatus, code: str) -> Page:
    return json_page({"error": {"code": code, "message": "no"}}, status=status)


def _stop(machine: Machine, ask: Ask) -> Told | No:
    return Told(orders.sleep, "Mining stopped", STOP_S)


def _start(machine: Machine, ask: Ask) -> Told | No:
    return Told(orders.wake, "Mining started", 1.0)


def _reboot(machine: Machine, ask: Ask) -> Told | No:
    return Told(orders.reboot(BOOT_S), "Reboot initiated", 1.0)


def _locate(machine: Machine, ask: Ask) -> Told | No:
    word = ask.query.get("enable", "true")
    if word not in ("true", "false"):
        return No(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST")
    return Told(orders.locate(word == "true"), f"Locate sequence: {word}")


def _target(machine: Machine, ask: Ask) -> Told | No:
    body = ask.json()
    if not isinstance(body, dict):
        return No(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST")
    watts, mode = body.get("power_target_watts"), body.get("performance_mode")
    if watts is not None and not LIMITS_W[0] <= watts <= LIMITS_W[1]:
        return No(HTTPStatus.UNPROCESSABLE_ENTITY, "OUT_OF_RANGE")
    if mode is not None and mode not in _SHARES:
        return No(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_PERFORMANCE_MODE")

    def change(it: Machine, at: float) -> None:
        _ALONE[it] = bool(body.get("hash_on_disconnect", False))
        if watts is not None:
            orders.limit_power(float(watts))(it, at)
        if mode is not None:
            orders.choose(mode, _SHARES[mode])(it, at)

    return Told(change, "Mining target set", TUNE_S, HTTPStatus.OK)


def _pools(machine: Machine, ask: Ask) -> Told | No:
    body = ask.json()
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        return No(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST")
    if not all(_ADDRESS.fullmatch(str(row.get("url"))) for row in body):
        return No(HTTPStatus.BAD_REQUEST, "INVALID_POOL_URL")
    found = [_pool(row) for row in sorted(body, key=lambda row: row.get("priority", 0))]
    return Told(orders.set_pools(found), "Pools configured successfully", 0.0, HTTPStatus.OK)


def _pool(row: Row) -> Pool:
    return Pool.of(row["url"], str(row.get("username", "")), str(row.get("password", "")))


Take = Callable[[Machine, Ask], Told | No]
_WRITES: dict[tuple[str, str], Take] = {
    ("POST", "/mining/stop"): _stop,
    ("POST", "/mining/start"): _start,
    ("POST", "/system/reboot"): _reboot,
    ("POST", "/system/locate"): _locate,
    ("PUT", "/mining/target"): _target,
    ("POST", "/pools"): _pools,
}
