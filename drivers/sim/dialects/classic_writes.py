"""The commands of api.c that change pools or start the program anew, for machines that let us.

A machine lets everybody write where its `extra.writes` says so. Words, codes and what is refused
are api.c's: the pools that follow a removed one move up, and a new start takes the program's own
configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from drivers.sim import orders, protocol
from drivers.sim.answers import Dialect, Reply, reply_to
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.protocol import Row, Section

RESTARTS_AFTER_S = 2.0
RESTARTED = b'{"STATUS":"RESTART"}\0'
_CHOSEN: WeakKeyDictionary[Machine, Pool] = WeakKeyDictionary()
"""The pool that `switchpool` named."""
Outcome = tuple[int, str, Change | None]
"""Code, words, and what happens."""


def may(machine: Machine, command: str) -> bool:
    """Whether this machine takes that command from everybody."""
    return bool(machine.model.extra.get("writes")) and (command in _WRITES or command in _PLAIN)


def activity(machine: Machine, index: int) -> Row:
    """What a pool's row says of being the one in use."""
    if machine not in _CHOSEN:
        return {}
    pool, active = machine.pools[index], index == _active(machine)
    return {"Stratum Active": active, "Stratum URL": pool.host if active else ""}


def respond(dialect: Dialect, machine: Machine, data: bytes, now: float) -> Reply:
    """Answer a request: a command that writes, or any other."""
    request = protocol.parse_request(data)
    name = request.command
    if request.error is not None or not may(machine, name):
        return reply_to(dialect, machine, data, now)
    machine.settle(now)
    if name == "privileged":
        return _reply(machine, name, 46, "Privileged access OK", now, json=request.json)
    if name == "restart":
        return _restart(machine, now)
    code, words, change = _WRITES[name](machine, request.parameter or "")
    if change is not None:
        heard = machine.hear(name, change, now)
        if not heard.answers:
            return Reply(b"", name, silent=True)
        if not heard.consents:
            code, words = 45, f"Access denied to '{name}' command"
    return _reply(machine, name, code, words, now, json=request.json)


def _restart(machine: Machine, now: float) -> Reply:
    heard = machine.hear("restart", _start_anew, now, after_s=RESTARTS_AFTER_S)
    if not heard.answers:
        return Reply(b"", "restart", silent=True)
    if not heard.consents:
        return _reply(machine, "restart", 45, "Access denied to 'restart' command", now, json=True)
    return Reply(RESTARTED, "restart")


def _start_anew(machine: Machine, at: float) -> None:
    orders.restart_mining(machine, at)
    machine.forget_settings(at)


def _addpool(machine: Machine, parameter: str) -> Outcome:
    if not parameter:
        return 52, "Missing addpool details", None
    parts = _split(parameter)
    if len(parts) != 3 or not all(parts):
        return 53, f"Invalid addpool details '{parameter}'", None
    pool = Pool.of(*parts)

    def change(machine: Machine, _: float) -> None:
        machine.pools = (*machine.pools, pool)
        machine.lose_pools_to_a_write()

    return 55, f"Added pool {len(machine.pools)}: '{pool.url}'", change


def _switchpool(machine: Machine, parameter: str) -> Outcome:
    number = _number(machine, parameter)
    if number is None:
        return _unknown(machine, parameter)
    pool = machine.pools[number]
    words = f"Switching to pool {number}: '{pool.url}'"
    return 27, words, lambda machine, _: _CHOSEN.__setitem__(machine, pool)


def _removepool(machine: Machine, parameter: str) -> Outcome:
    number = _number(machine, parameter)
    if number is None:
        return _unknown(machine, parameter)
    pool = machine.pools[number]
    if len(machine.pools) == 1:
        return 66, f"Cannot remove last pool {number}:'{pool.url}'", None
    if not machine.pool_alive and number == _active(machine):
        # It goes over to another one first, and where none answers it stays.
        return 67, f"Cannot remove active pool {number}:'{pool.url}'", None

    def change(machine: Machine, _: float) -> None:
        machine.pools = tuple(each for each in machine.pools if each is not pool)

    return 68, f"Removed pool {number}:'{pool.url}'", change


def _active(machine: Machine) -> int:
    chosen = _CHOSEN.get(machine)
    return next((at for at, pool in enumerate(machine.pools) if pool is chosen), 0)


def _number(machine: Machine, parameter: str) -> int | None:
    number = int(parameter) if parameter.isdigit() else -1
    return number if 0 <= number < len(machine.pools) else None


def _unknown(machine: Machine, parameter: str) -> Outcome:
    if not machine.pools:
        return 8, "No pools", None
    if not parameter:
        return 25, "Missing pool id parameter", None
    return 26, f"Invalid pool id {parameter} - range is 0 - {len(machine.pools) - 1}", None


def _split(parameter: str) -> list[str]:
    """The parts between commas; a backslash takes the next letter as it is."""
    parts, letters = [""], iter(parameter)
    for letter in letters:
        if letter == ",":
            parts.append("")
        else:
            parts[-1] += next(letters, "") if letter == "\\" else letter
    return parts


_GOOD = frozenset({27, 46, 55, 68})


def _reply(machine: Machine, name: str, code: int, words: str, now: float, *, json: bool) -> Reply:
    status = {
        "STATUS": "S" if code in _GOOD else "E",
        "When": int(now),
        "Code": code,
        "Msg": words,
        "Description": machine.model.description,
    }
    encode = protocol.encode_json if json else protocol.encode_text
    return Reply(encode(Section(status)), name)


_PLAIN = frozenset({"privileged", "restart"})
_WRITES: dict[str, Callable[[Machine, str], Outcome]] = {
    "addpool": _addpool,
    "switchpool": _switchpool,
    "removepool": _removepool,
}
