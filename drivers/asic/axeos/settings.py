"""What `PATCH /api/system` is sent, in the keys that a device itself shows. Pure.

ESP-Miner's page and its settings share their names; where versions differ (`manualFanSpeed` for
the duty that is set, `stratumTLS`), the key that the page has is the one that the device knows.
Settings that are not sent stay as they are. Source: ESP-Miner's `openapi.yaml`, `http_server.c`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from drivers.actions import Latency
from drivers.asic.fields import Row
from drivers.capabilities import PoolSetting
from drivers.errors import OutOfRange

PLACES = ("stratum", "fallbackStratum")
TLS, PLAIN = 1, 0
_URL = re.compile(r"(?:stratum\+(tcp|ssl|tls)://)?([A-Za-z0-9._-]{1,253}):(\d{1,5})/?")
_PORT_LIMIT = 65_535
_NEED = {
    "pause": ("miningPaused", "shutdown"),
    "resume": ("miningPaused", "shutdown"),
    "locate": ("miningPaused",),
    "set_pools": ("stratumURL",),
    "set_fan_duty": ("autofanspeed",),
    "set_temp_target": ("temptarget",),
    "set_hostname": ("hostname",),
}
"""Any one of the keys tells that a device can. Identifying came before 2.14, but which version
brought it is not known."""
_LATENCIES = {
    "pause": Latency.MINUTE,
    "resume": Latency.MINUTE,
    "reboot": Latency.MINUTE,
    "locate": Latency.SECONDS,
    "set_pools": Latency.MINUTE,
    "set_fan_duty": Latency.MINUTE,
    "set_temp_target": Latency.SECONDS,
    "set_hostname": Latency.MINUTE,
}


def telling(info: Row) -> frozenset[str]:
    """The keys of a page that tell what its device can do."""
    return frozenset(key for keys in _NEED.values() for key in keys if key in info)


@lru_cache(maxsize=64)
def latencies_of(keys: frozenset[str] | None) -> Mapping[str, Latency]:
    """What a device with these keys can do; nothing where none has been seen yet."""
    if keys is None:
        return MappingProxyType({})
    return MappingProxyType(
        {
            name: latency
            for name, latency in _LATENCIES.items()
            if name not in _NEED or keys.intersection(_NEED[name])
        }
    )


def pools(info: Row, wanted: Sequence[PoolSetting]) -> dict[str, Any]:
    """Both places for pools; raises `OutOfRange` where the device has no room or word for one."""
    if not 1 <= len(wanted) <= len(PLACES):
        raise OutOfRange(f"{len(wanted)} pools", f"1 or {len(PLACES)}")
    found: dict[str, Any] = {}
    for prefix, pool in zip(PLACES, filled(wanted), strict=True):
        found |= _pool(info, prefix, pool)
    return found


def filled(wanted: Sequence[PoolSetting]) -> tuple[PoolSetting, ...]:
    """One for each place: an only pool is its own fallback, for the factory's is a stranger."""
    return (*wanted, *(wanted[-1],) * (len(PLACES) - len(wanted)))


def _pool(info: Row, prefix: str, pool: PoolSetting) -> dict[str, Any]:
    match = _URL.fullmatch(pool.url)
    if match is None or not 0 < int(match[3]) <= _PORT_LIMIT or not pool.user:
        raise OutOfRange(f"pool {pool.url!r}", "a user, and stratum+tcp://host:port")
    tls = TLS if match[1] in ("ssl", "tls") else PLAIN
    known = f"{prefix}TLS" in info
    if tls and not known:
        raise OutOfRange(f"pool {pool.url!r}", "pools without encryption")
    return {
        f"{prefix}URL": match[2],
        f"{prefix}Port": int(match[3]),
        f"{prefix}User": pool.user,
        f"{prefix}Password": pool.password,
    } | ({f"{prefix}TLS": _as_shown(info, f"{prefix}TLS", tls)} if known else {})


def fans(info: Row, percent: float | None) -> dict[str, Any]:
    """A fixed duty, or the fans back to the firmware."""
    auto = _as_shown(info, "autofanspeed", int(percent is None))
    if percent is None:
        return {"autofanspeed": auto}
    key = "manualFanSpeed" if "manualFanSpeed" in info else "fanspeed"
    return {"autofanspeed": auto, key: round(percent)}


def _as_shown(info: Row, key: str, value: int) -> int | bool:
    """As a truth where the page has one there."""
    return bool(value) if isinstance(info.get(key), bool) else value
