"""What AxeOS does when it is told to: settings by `PATCH`, the rest by `POST`.

After ESP-Miner's `http_server.c`: keys that it does not know are ignored, values of the wrong kind
are refused, and identifying is a toggle. The NerdQAxe shuts down and wakes with a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Machine, Pool

PLACES = ("stratum", "fallbackStratum")
OFF_S = 12.0
STORE_S, RESTART_S, PAUSE_S, RESUME_S = 0.5, 1.0, 1.0, 2.0
SYSTEM = "/api/system"
_HOST_LIMIT = 63
_PORT_LIMIT = 65_535


class Order(NamedTuple):
    """What a path asks for: its effect, when that shows, and what the device says."""

    name: str
    change: Change
    after_s: float
    words: str


def told(machine: Machine, ask: Ask, now: float, age: str) -> Page:
    """A page that does something."""
    if ask.method == "PATCH" and ask.path == SYSTEM:
        return _patched(machine, ask.json(), now, age)
    found = POSTS[age].get(ask.path.removeprefix(f"{SYSTEM}/")) if ask.method == "POST" else None
    if found is None:
        return NOT_FOUND
    return _answer(machine, found(machine), now)


def _answer(machine: Machine, order: Order, now: float) -> Page:
    heard = machine.hear(order.name, order.change, now, after_s=order.after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return Page(HTTPStatus.INTERNAL_SERVER_ERROR, b"Failed to start")
    return json_page({"message": order.words}) if order.words else Page(HTTPStatus.OK)


# --- POST --------------------------------------------------------------------------------------


def _boot(machine: Machine, at: float) -> None:
    """Stopping is not kept over a restart."""
    orders.reboot(OFF_S)(machine, at)
    machine.wake(machine.boot_at)


def _restart(machine: Machine) -> Order:
    return Order("restart", _boot, RESTART_S, "System will restart shortly.")


def _pause(machine: Machine) -> Order:
    return Order("pause", orders.sleep, PAUSE_S, "Mining paused")


def _resume(machine: Machine) -> Order:
    return Order("resume", orders.wake, RESUME_S, "Mining resumed")


def _shutdown(machine: Machine) -> Order:
    return Order("shutdown", orders.sleep, PAUSE_S, "System will shutdown shortly.")


def _identify(machine: Machine) -> Order:
    on = not machine.settings.locating
    words = 'The device says "Hi!" for 30 seconds.' if on else 'The device no longer says "Hi!".'
    return Order("identify", orders.locate(on), 0.0, words)


POSTS: dict[str, dict[str, Callable[[Machine], Order]]] = {
    "old": {"restart": _restart},
    "new": {
        "restart": _restart,
        "pause": _pause,
        "resume": _resume,
        "identify": _identify,
    },
    "nerd": {"restart": _restart, "shutdown": _shutdown},
}


# --- PATCH -------------------------------------------------------------------------------------


def _patched(machine: Machine, body: Any, now: float, age: str) -> Page:
    if not isinstance(body, dict) or not all(_fits(key, value) for key, value in body.items()):
        return Page(HTTPStatus.BAD_REQUEST, b"Wrong API input")

    def change(machine: Machine, at: float) -> None:
        _fans(machine, body)
        if "temptarget" in body and age == "new":
            machine.settings.temp_target_c = float(body["temptarget"])
        machine.hostname = body.get("hostname", machine.hostname)
        if any(key.lower().startswith(("stratum", "fallbackstratum")) for key in body):
            machine.pools = _pools(machine, body)
            machine.lose_pools_to_a_write()

    return _answer(machine, Order("settings", change, STORE_S, ""), now)


def _fits(key: str, value: Any) -> bool:
    if key.endswith(("URL", "User", "Password")):
        return isinstance(value, str) and "://" not in value
    if key == "hostname":
        return isinstance(value, str) and 0 < len(value) <= _HOST_LIMIT
    limit = {"fanspeed": 100, "temptarget": 100, "autofanspeed": 1}.get(key, _PORT_LIMIT)
    return isinstance(value, int) and 0 <= value <= limit


def _fans(machine: Machine, body: dict[str, Any]) -> None:
    settings = machine.settings
    if body.get("autofanspeed") == 1:
        settings.fan_percent = None
    elif "fanspeed" in body and (body.get("autofanspeed") == 0 or settings.fan_percent is not None):
        settings.fan_percent = float(body["fanspeed"])


def _pools(machine: Machine, body: dict[str, Any]) -> tuple[Pool, ...]:
    """The places with what was sent in place of what stood there."""
    found = []
    for at, prefix in enumerate(PLACES):
        old = machine.pools[at] if at < len(machine.pools) else Pool.of("stratum+tcp://:0", "")
        host = body.get(f"{prefix}URL", old.host)
        port = body.get(f"{prefix}Port", old.url.rpartition(":")[2])
        user = body.get(f"{prefix}User", old.user)
        password = body.get(f"{prefix}Password", old.password)
        found.append(Pool.of(f"stratum+tcp://{host}:{port}", user, password))
    return tuple(pool for pool in found if pool.host)
