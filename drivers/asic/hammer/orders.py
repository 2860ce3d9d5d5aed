"""What Hammer, blackMiner and VolcMiner are told over their CGI pages, each make in its own way.

All of them reboot; a public client blinks Hammers and blackMiners, another switches the lights of a
VolcMiner. `set_miner_conf` takes a form with the whole configuration, `_bb_` before each name:
that of a blackMiner as one public program sends it, that of a VolcMiner as three do, which agree
in its fields. One of these stops the machine by its `runmode`. Of a Hammer's own nobody shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from drivers.actions import Latency
from drivers.api import WebReply
from drivers.asic.fields import Row, text, truth
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.stored_pools import Found
from drivers.capabilities import PoolSetting
from drivers.errors import Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, decoded

CONFIG = "/cgi-bin/get_miner_conf.cgi"
CONFIG_V1 = "/cgi-bin/get_miner_confV1.cgi"
"""Where a VolcMiner has its mode and voltage, in the form of its status page."""
STORE = "/cgi-bin/set_miner_conf.cgi"
REBOOT = "/cgi-bin/reboot.cgi"
HAMMER, BLACKMINER, VOLCMINER = "Hammer", "HashAltCoin", "VolcMiner"
ACT_S = 40.0
"""As long as a public client waits for the configuration to be stored."""
SHOWN_S, POOLS_S, ASLEEP_S, AWAKE_S, BOOTED_S = 60.0, 180.0, 240.0, 600.0, 600.0
RESTARTED_S, HASHES_S, BOOTING_S = 20.0, 90.0, 30.0
PLACES = 3
_BASE = {"locate": Latency.SECONDS, "reboot": Latency.MINUTES}
_POOLS = {"set_pools": Latency.MINUTE}
_REST = {"pause": Latency.MINUTE, "resume": Latency.MINUTES}
LATENCIES: Mapping[str | None, Mapping[str, Latency]] = MappingProxyType(
    {
        HAMMER: MappingProxyType(_BASE),
        BLACKMINER: MappingProxyType(_BASE | _POOLS),
        VOLCMINER: MappingProxyType(_BASE | _POOLS | _REST),
    }
)
UNSEEN: Mapping[str, Latency] = MappingProxyType({})
"""Of a machine whose make is not known yet."""
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_GOOD = frozenset({"0", "200", "B000", "B100", "M000"})


class Body(NamedTuple):
    """What a page is given."""

    path: str
    data: bytes | None
    headers: Mapping[str, str]


def blink(make: str | None, *, on: bool) -> Body:
    """The light, as each make switches it."""
    if make == VOLCMINER:
        form = urlencode({"_bb_type": "rgOn" if on else "rgOff"}).encode()
        return Body("/cgi-bin/post_led_onoff.cgi", form, _FORM)
    return Body("/cgi-bin/blink.cgi", msgspec.json.encode({"blink": str(on).lower()}), _JSON)


async def post(web: WebClient, order: Body, deadline: Deadline) -> str:
    """Give an order; gives the device's words, and raises `Refused` where they say no."""
    path, data, headers = order
    return _words(await web.request("POST", path, deadline, headers=headers, body=data), path)


def _words(reply: WebReply, path: str) -> str:
    if reply.status != 200:
        decoded(reply, path)  # raises what the status says
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text(reply.body[:60].decode("latin-1")) or "HTTP status 200"  # a bare "ok"
    if not isinstance(found, dict):
        return "HTTP status 200"
    code, words = text(found.get("code")), text(found.get("msg"))
    told = " ".join(filter(None, (code, words))) or "HTTP status 200"
    if code is not None and code not in _GOOD:
        raise Refused(None, told)
    return told


# --- the configuration -------------------------------------------------------------------------


class Field(NamedTuple):
    """A field of the form, and the key of the configuration that it is filled from."""

    name: str
    key: str
    kind: str
    """`flag`, `word` (it has to be there) or `blank` (it may be empty)."""


_COMMON = (
    Field("_bb_nobeeper", "nobeeper", "flag"),
    Field("_bb_notempoverctrl", "notempoverctrl", "flag"),
    Field("_bb_fan_customize_switch", "fan-ctrl", "flag"),
)
_LAST = (Field("_bb_freq", "freq", "word"), Field("_bb_coin_type", "coin-type", "word"))
FIELDS: Mapping[str, tuple[Field, ...]] = {
    BLACKMINER: (*_COMMON, Field("_bb_fan_customize_value", "fan-pwm", "blank"), *_LAST),
    VOLCMINER: (
        *_COMMON,
        Field("_bb_fan_customize_value_front", "fan-pwm-front", "blank"),
        Field("_bb_fan_customize_value_back", "fan-pwm-back", "blank"),
        *_LAST,
        Field("_bb_runmode", "runmode", "word"),
        Field("_bb_voltage_customize_value", "voltage", "word"),
        Field("_bb_ema", "sram-voltage", "word"),
        Field("_bb_debug", "bb_debug_enable", "flag"),
    ),
}
_FROM_V1 = ("runmode", "voltage", "bb_debug_enable")


def stored_in(config: Row, more: Row, make: str) -> Found:
    """Pools and the other fields of the form; raises `Refused` where one cannot be filled.

    `more` is the page that a VolcMiner has beside its configuration.
    """
    known = {**config, **{key: more[key] for key in _FROM_V1 if key in more}}
    if not isinstance(config.get("pools"), list):
        raise Refused(None, "its configuration lacks pools: it may be booting")
    form = {field.name: _value(field, known.get(field.key)) for field in FIELDS[make]}
    return Found(_pools_in(config), form)


def _value(field: Field, value: Any) -> str:
    if field.kind == "flag":
        return str(bool(truth(value))).lower()
    found = text(value) or ""
    if field.kind == "word" and not found:
        raise Refused(None, f"its configuration lacks {field.key}: it may be booting")
    return found


def _pools_in(config: Row) -> tuple[PoolSetting, ...]:
    return tuple(
        PoolSetting(str(row["url"]), str(row.get("user") or ""), str(row.get("pass") or ""))
        for row in listed(config.get("pools"), POOLS_LIMIT)
        if text(row.get("url"))
    )


def with_pools(form: Mapping[str, str], pools: Sequence[PoolSetting]) -> Body:
    """The whole form, its pools first, and every place for one there."""
    empty = PoolSetting("", "", "")
    fields: dict[str, str] = {}
    for place, pool in enumerate((*pools, *[empty] * (PLACES - len(pools))), 1):
        fields |= {
            f"_bb_pool{place}url": pool.url,
            f"_bb_pool{place}user": pool.user,
            f"_bb_pool{place}pw": pool.password,
        }
    return Body(STORE, urlencode(fields | dict(form)).encode(), _FORM)
