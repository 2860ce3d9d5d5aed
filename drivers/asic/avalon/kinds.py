"""What each family of Avalons can be told, and in which words.

Sources: "Avalon A10 API manual" (reboot, led, workmode, setpool, hashpower), Canaan's driver of the
Nano 3s (its table of options, which has no soft off, no led and no setpool), the option list that
a Q gives for `help`, captured answers of a Q, what Canaan's FMS sends to a 1346, and public
programs: asic-rs (softoff and softon with a time, on a 1466), Tether's MDK, Foreman, canaan for
Home Assistant (Mini 3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from drivers.actions import Latency

_NO_LATENCIES: Mapping[str, Latency] = MappingProxyType({})


class Kind(NamedTuple):
    """One family: how soon each action shows, and the options of `ascset` behind them."""

    latencies: Mapping[str, Latency] = _NO_LATENCIES
    modes: tuple[str, ...] = ()
    """The modes by their number."""
    mode_orders: tuple[str, ...] = ()
    """What sets a mode, one after the other."""
    mode_query: str = ""
    """What shows the mode that is set, where the family knows such a question."""
    off: str = ""
    """What cuts the boards' power where `softoff` is not known."""
    light: str = ""
    """What switches the lamp, of the one machine or of each module of a controller."""


_MODES_LATENCY = {"set_mode": Latency.MINUTES}
_SOFT = {"pause": Latency.MINUTE, "resume": Latency.MINUTES}
"""It sleeps a few seconds after the order; a 1346 shows it within about 10 s more. Waking is a
start with all its tests: minutes."""
_BOOTS = {"reboot": Latency.MINUTES}
_PROGRAM = {"restart_mining": Latency.MINUTES}
_FANS = {"set_fan_duty": Latency.MINUTE}

UNKNOWN = Kind()
OLD = Kind(MappingProxyType({"locate": Latency.SECONDS}), light="led,{module}-{on}")
"""Avalon 7xx to 9xx: cgminer's drivers know `led` for each module. What else they know is meant
for engineers (frequency, voltage)."""
A_SERIES = Kind(
    MappingProxyType(
        _SOFT
        | _BOOTS
        | _PROGRAM
        | _MODES_LATENCY
        | {
            "locate": Latency.SECONDS,
            "set_pools": Latency.MINUTES,
            "factory_reset": Latency.MINUTES,
        }
    ),
    modes=("normal", "high performance"),
    mode_orders=("workmode,{number}", "reboot,0"),
    mode_query="workmode,255",
    off="hashpower,0",
    light="led,1-{on}",
)
"""A10 and later. Modes and pools count from the next boot on (A10 manual 2.4 and 2.5)."""
Q = Kind(
    MappingProxyType(_SOFT | _BOOTS | _PROGRAM | _MODES_LATENCY | _FANS),
    modes=("eco", "standard", "super"),
    mode_orders=("workmode,set,{number}",),
)
"""Its option list has neither led nor setpool."""
MINI_3 = Kind(
    MappingProxyType(_SOFT | _BOOTS | _MODES_LATENCY),
    modes=("0", "1", "2"),
    mode_orders=("workmode,set,{number}", "reboot,0"),
)
"""Its modes (heating, mining, night, by one source) keep their numbers, as in its readings. They
count after a reboot: Canaan's help page of the Mini 3."""
NANO_3S = Kind(
    MappingProxyType(_BOOTS | _MODES_LATENCY | _FANS),
    modes=("low", "mid", "high"),
    mode_orders=("workmode,set,{number}",),
)
NANO_3 = Kind(
    MappingProxyType(_MODES_LATENCY),
    modes=("low", "mid", "high"),
    mode_orders=("worklevel,set,{number}",),
)
"""It has levels alone, and they are its modes."""

_HOME = {
    "Avalon Q": Q,
    "Avalon Mini 3": MINI_3,
    "Avalon Nano 3S": NANO_3S,
    "Avalon Nano 3": NANO_3,
}
_NUMBER = re.compile(r"Avalon (\d{1,4})")
_FIRST_OLD, _FIRST_A10 = 700, 1000
_A15 = 15
"""The model of an A15 is its generation and its rate: `15-215`."""


def kind_of(model: str | None) -> Kind:
    """The family of a model; one that can do nothing where the model is not known."""
    if model in _HOME:
        return _HOME[model]
    match = _NUMBER.match(model or "")
    number = int(match[1]) if match else 0
    if number >= _FIRST_A10 or number == _A15:
        return A_SERIES
    return OLD if number >= _FIRST_OLD else UNKNOWN
