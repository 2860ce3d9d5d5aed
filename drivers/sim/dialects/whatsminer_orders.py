"""What a simulated Whatsminer of API 2 does with writing commands: tokens, sealing, orders.

Nothing is taken in the clear. A command that the machine's own password does not open is "enc json
load err"; one whose token is unknown, or older than 30 minutes by the machine's clock, gets 135.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import md5, sha256
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.asic.whatsminer.md5crypt import md5crypt
from drivers.sim import orders
from drivers.sim.answers import Reply
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

UNKNOWN, NO_JSON, DENIED, OK, FAILED = 14, 23, 45, 131, 132
TOKEN_GIVEN, TOKEN_UNKNOWN, TOKENS_MAX, NO_BASE64 = 134, 135, 136, 137
TOKENS = 32
TOKEN_LIFE_S = 1800.0
LIMIT_MAX_W = 99_999
MODE_SHARES = {"low": 0.72, "normal": 1.0, "high": 1.0}
"""What the power limit leaves of a mode."""

TOKEN, ENVELOPE = "get_token", "enc"
Fields = dict[str, Any]


class _Effect(NamedTuple):
    change: Change
    after_s: float


def writes_are_off(machine: Machine) -> bool:
    """The switch in the maker's tool, or an API that has no orders of this kind."""
    extra = machine.model.extra
    return extra.get("write_api", True) is False or str(extra.get("api")).startswith("whatsminer")


# --- tokens --------------------------------------------------------------------------------


def _granted(machine: Machine, now: Snapshot) -> tuple[str, int, object]:
    """A token, which counts from here on until it is old."""
    if len(_tokens(machine, now)) >= TOKENS:
        return "E", TOKENS_MAX, "over max connect"
    salt, time = salt_of(machine), str(int(now.now))[-4:]
    count = f"{machine.serial}{now.now}{len(machine.sessions)}"
    newsalt = md5(count.encode(), usedforsecurity=False).hexdigest()[:8]
    token = md5crypt(md5crypt(machine.credential[1], salt) + time, newsalt)
    machine.sessions[token] = now.now
    return "S", TOKEN_GIVEN, {"time": time, "salt": salt, "newsalt": newsalt}


def salt_of(machine: Machine) -> str:
    """A machine's own, which stays."""
    return machine.miner_id[:8]


def _tokens(machine: Machine, now: Snapshot) -> dict[str, float]:
    for token in [t for t, at in machine.sessions.items() if now.now - at > TOKEN_LIFE_S]:
        del machine.sessions[token]
    return machine.sessions


@lru_cache(maxsize=65_536)
def _key(password: str, salt: str) -> bytes:
    # A machine computes this for itself alone; the site would for all of them, again and again.
    return sha256(md5crypt(password, salt).encode()).digest()


def _cipher(machine: Machine) -> Cipher[modes.ECB]:
    key = _key(machine.credential[1], salt_of(machine))
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305


def _opened(machine: Machine, data: object) -> Fields | int:
    """The command in an envelope, or the code of why there is none."""
    try:
        raw = b64decode(str(data), validate=True)
    except ValueError:
        return NO_BASE64
    if not raw or len(raw) % 16:
        return NO_JSON
    decryptor = _cipher(machine).decryptor()
    plain = (decryptor.update(raw) + decryptor.finalize()).rstrip(b"\0")
    try:
        return msgspec.json.decode(plain, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_JSON


def _sealed(machine: Machine, row: Row) -> bytes:
    plain = msgspec.json.encode(row)
    encryptor = _cipher(machine).encryptor()
    raw = encryptor.update(plain + b"\0" * (-len(plain) % 16)) + encryptor.finalize()
    return msgspec.json.encode({"enc": b64encode(raw).decode()})


# --- commands ------------------------------------------------------------------------------


def respond(machine: Machine, data: bytes, now: Snapshot) -> Reply:
    """Answer `get_token`, or a command in its envelope: `{"enc":1,"data":...}`."""
    request = msgspec.json.decode(data, type=dict[str, Any]) if data[:1] == b"{" else {}
    command = ENVELOPE if "enc" in request else TOKEN
    if writes_are_off(machine):
        return Reply(said("E", DENIED, "can't access write cmd", now), command)
    if command == TOKEN:
        return Reply(said(*_granted(machine, now), now), command)
    found = _opened(machine, request.get("data"))
    if isinstance(found, int):
        words = "base64 decode err" if found == NO_BASE64 else "enc json load err"
        return Reply(said("E", found, words, now), command)
    return _read(machine, found, now)


def _read(machine: Machine, found: Fields, now: Snapshot) -> Reply:
    command = str(found.get("cmd", ""))
    if found.get("token") not in _tokens(machine, now):
        return Reply(said("E", TOKEN_UNKNOWN, "check token error", now), command)
    return _obeyed(machine, command, found, now)


def _obeyed(machine: Machine, command: str, fields: Fields, now: Snapshot) -> Reply:
    make = _EFFECTS.get(command)
    if make is None:
        return Reply(_answer(machine, "E", UNKNOWN, "invalid cmd", command, now), command)
    effect = make(fields)
    if effect is None:
        return Reply(_answer(machine, "E", FAILED, "command param error", command, now), command)
    heard = machine.hear(command, effect.change, now.now, after_s=effect.after_s)
    if not heard.answers:
        return Reply(b"", command, silent=True)
    words = ("S", OK, "API command OK") if heard.consents else ("E", FAILED, "API command ERROR")
    body = _answer(machine, *words, command, now)
    return Reply(body, command, after_s=_ANSWERED_LATE_S.get(command, 0.0))


def _answer(
    machine: Machine, letter: str, code: int, words: str, command: str, now: Snapshot
) -> bytes:
    row = {"STATUS": letter, "When": int(now.now), "Code": code, "Msg": words}
    return _sealed(machine, row | {"Description": command})


def said(letter: str, code: int, message: object, now: Snapshot) -> bytes:
    """The daemon's own form: the status is a word, and there is no NUL at the end."""
    row = {"STATUS": letter, "When": int(now.now), "Code": code, "Msg": message}
    return msgspec.json.encode(row | {"Description": ""})


# --- what each does; None where a key is missing or of another type ------------------------


def started_anew(*changes: Change) -> Change:
    """Settings that the mining program restarts for, which ends a share that was set."""

    def change(machine: Machine, at: float) -> None:
        for each in changes:
            each(machine, at)
        machine.settings.percent = 100.0
        orders.restart_mining(machine, at)

    return change


def _power_on(machine: Machine, at: float) -> None:
    machine.settings.percent = 100.0
    orders.wake(machine, at)


def _word(fields: Fields, key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _number(fields: Fields, key: str, highest: int) -> int | None:
    """Numbers are words in this API; one that is not is not seen."""
    word = _word(fields, key)
    if word is None or not word.isdecimal() or int(word) > highest:
        return None
    return int(word)


def _limit(fields: Fields) -> _Effect | None:
    watts = _number(fields, "power_limit", LIMIT_MAX_W)
    if watts is None:
        return None
    return _Effect(started_anew(orders.limit_power(float(watts) if watts else None)), 6.0)


def _share(fields: Fields) -> _Effect | None:
    percent = _number(fields, "percent", 100)
    return None if percent is None else _Effect(orders.throttle(float(percent)), 1.0)


def _mode(mode: str) -> Callable[[Fields], _Effect]:
    return lambda _: _Effect(started_anew(orders.choose(mode, MODE_SHARES[mode])), 6.0)


def _pools(fields: Fields) -> _Effect | None:
    keys = [f"{name}{at}" for at in (1, 2, 3) for name in ("pool", "worker", "passwd")]
    words = [_word(fields, key) for key in keys]
    if any(word is None for word in words) or not words[0]:
        return None
    rows = zip(words[0::3], words[1::3], words[2::3], strict=True)
    kept = [Pool.of(str(url), str(user), str(password)) for url, user, password in rows if url]
    return _Effect(orders.set_pools(kept), 3.0)


def _led(fields: Fields) -> _Effect | None:
    if fields.get("param") == "auto":
        return _Effect(orders.locate(on=False), 0.0)
    times = [fields.get(key) for key in ("period", "duration", "start")]
    if fields.get("color") not in ("red", "green") or not all(type(ms) is int for ms in times):
        return None
    return _Effect(orders.locate(on=True), 0.0)


def _hostname(fields: Fields) -> _Effect | None:
    name = _word(fields, "hostname")
    return _Effect(orders.set_hostname(name), 1.0) if name else None


def _reset(machine: Machine, at: float) -> None:
    orders.factory_reset(machine, at)
    machine.sessions.clear()


_EFFECTS: dict[str, Callable[[Fields], _Effect | None]] = {
    "power_off": lambda _: _Effect(orders.sleep, 5.0),
    "power_on": lambda _: _Effect(_power_on, 8.0),
    "restart_btminer": lambda _: _Effect(started_anew(), 3.0),
    "reboot": lambda _: _Effect(orders.reboot(60.0), 2.0),
    "adjust_power_limit": _limit,
    "set_power_pct": _share,
    "set_low_power": _mode("low"),
    "set_normal_power": _mode("normal"),
    "set_high_power": _mode("high"),
    "update_pools": _pools,
    "set_led": _led,
    "set_hostname": _hostname,
    "factory_reset": lambda _: _Effect(_reset, 10.0),
}
WRITES = frozenset(_EFFECTS)
_ANSWERED_LATE_S = {"power_off": 1.0, "power_on": 2.0, "adjust_power_limit": 3.0}
