"""What a simulated Whatsminer of API 3 does with `set.*`: signatures, sealed parameters, orders.

The signature is checked with the machine's salt, its own password and its own clock. How far `ts`
may be off is not documented: here it is a minute.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from drivers.sim import orders
from drivers.sim.dialects.whatsminer_orders import LIMIT_MAX_W, MODE_SHARES, started_anew
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

DONE, FAILED, INVALID_COMMAND, NO_PARAMETER, NO_PERMISSION = 0, -1, -2, -3, -4
TS_SKEW_S = 60.0
SEALED = frozenset({"set.miner.pools"})
Said = tuple[int, object]


class _Effect(NamedTuple):
    name: str
    change: Change
    after_s: float = 1.0


def salt_of(machine: Machine) -> str:
    """A machine's own, which stays."""
    return machine.miner_id[:8]


def clock_of(machine: Machine, now: Snapshot) -> float:
    """What its clock shows: `clock_ahead_s` among the model's extras sets it wrong."""
    return now.now + float(machine.model.extra.get("clock_ahead_s", 0.0))


def obey(machine: Machine, command: str, request: Row, now: Snapshot) -> Said | None:
    """Code and words for a writing command; None where the machine hangs up without any."""
    digest = _digest(machine, command, request, now)
    if digest is None:
        return NO_PERMISSION, "no permission"
    make = _EFFECTS.get(command)
    if make is None:
        return INVALID_COMMAND, "invalid command"
    parameter = request.get("param")
    effect = make(_opened(parameter, digest) if command in SEALED else parameter)
    if effect is None:
        return NO_PARAMETER, "invalid json item"
    heard = machine.hear(effect.name, effect.change, now.now, after_s=effect.after_s)
    if not heard.answers:
        return None
    return (DONE, "ok") if heard.consents else (FAILED, "fail")


def _digest(machine: Machine, command: str, request: Row, now: Snapshot) -> bytes | None:
    """What the command had to be signed with; None where it was not, or the API is closed."""
    user, password = machine.credential
    ts = request.get("ts")
    if machine.model.extra.get("write_api", True) is False or request.get("account") != user:
        return None
    if type(ts) is not int or abs(ts - clock_of(machine, now)) > TS_SKEW_S:
        return None
    digest = sha256(f"{command}{password}{salt_of(machine)}{ts}".encode()).digest()
    return digest if request.get("token") == b64encode(digest).decode()[:8] else None


def _opened(parameter: object, digest: bytes) -> Any:
    """A sealed parameter; None where it was sealed otherwise, or not at all."""
    decryptor = Cipher(algorithms.AES(digest), modes.ECB()).decryptor()  # noqa: S305
    filling = PKCS7(128).unpadder()
    try:
        plain = decryptor.update(b64decode(str(parameter), validate=True)) + decryptor.finalize()
        return msgspec.json.decode(filling.update(plain) + filling.finalize())
    except (ValueError, msgspec.DecodeError):
        return None


# --- what each does; None where the parameter is not as it has to be -------------------------


def _service(parameter: Any) -> _Effect | None:
    return {
        "stop": _Effect("stop", orders.sleep, 5.0),
        "start": _Effect("start", _start, 8.0),
        "restart": _Effect("restart", started_anew(), 3.0),
    }.get(str(parameter))


def _start(machine: Machine, at: float) -> None:
    machine.settings.percent = 100.0
    orders.wake(machine, at)


def _limit(parameter: Any) -> _Effect | None:
    if type(parameter) is not int or not 0 <= parameter <= LIMIT_MAX_W:
        return None
    limit_w = float(parameter) if parameter else None
    return _Effect("power_limit", started_anew(orders.limit_power(limit_w)), 6.0)


def _mode(parameter: Any) -> _Effect | None:
    if parameter not in MODE_SHARES:
        return None
    change = started_anew(orders.choose(parameter, MODE_SHARES[parameter]))
    return _Effect("power_mode", change, 6.0)


def _percent(parameter: Any) -> _Effect | None:
    fields = parameter if isinstance(parameter, dict) else {}
    word, mode = fields.get("percent"), fields.get("mode")
    if not isinstance(word, str) or not word.isdecimal() or int(word) > 100:
        return None
    after_s = {"fast": 1.0, "normal": 180.0}.get(str(mode))
    if after_s is None:
        return None
    return _Effect("power_percent", orders.throttle(float(word)), after_s)


def _pools(parameter: Any) -> _Effect | None:
    rows = parameter if isinstance(parameter, list) else []
    keys = ("pool", "worker", "passwd")
    if not 1 <= len(rows) <= 3 or not all(isinstance(row, dict) for row in rows):
        return None
    words = [[row.get(key) for key in keys] for row in rows]
    if not all(isinstance(word, str) for each in words for word in each):
        return None
    return _Effect("pools", orders.set_pools([Pool.of(*each) for each in words]), 3.0)


def _led(parameter: Any) -> _Effect | None:
    if parameter == "auto":
        return _Effect("led", orders.locate(on=False), 0.0)
    lights = parameter if isinstance(parameter, list) else []
    fine = [
        row
        for row in lights
        if isinstance(row, dict)
        and row.get("color") in ("red", "green")
        and all(type(row.get(key)) is int for key in ("period", "duration", "start"))
    ]
    return _Effect("led", orders.locate(on=True), 0.0) if fine == lights != [] else None


def _hostname(parameter: Any) -> _Effect | None:
    name = parameter.get("hostname") if isinstance(parameter, dict) else None
    if not isinstance(name, str) or not name:
        return None
    return _Effect("hostname", _named_at_boot(name), 0.0)


def _named_at_boot(name: str) -> Change:
    """The manual: it holds from the next boot on."""
    return lambda machine, _: _NAMES.update({machine: name})


_NAMES: WeakKeyDictionary[Machine, str] = WeakKeyDictionary()


def _reboot(machine: Machine, at: float) -> None:
    machine.hostname = _NAMES.pop(machine, machine.hostname)
    orders.reboot(60.0)(machine, at)


_EFFECTS: dict[str, Callable[[Any], _Effect | None]] = {
    "set.miner.service": _service,
    "set.miner.power_limit": _limit,
    "set.miner.power_mode": _mode,
    "set.miner.power_percent": _percent,
    "set.miner.pools": _pools,
    "set.system.led": _led,
    "set.system.hostname": _hostname,
    "set.system.reboot": lambda _: _Effect("reboot", _reboot, 2.0),
    "set.system.factory_reset": lambda _: _Effect("factory_reset", orders.factory_reset, 10.0),
}
