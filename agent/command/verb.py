"""What a verb is: one row of the table of what can be ordered.

The parameters are a struct, so that whoever sends them is told what is wrong with them; the load
says whether the verb may raise what the site draws (then it obeys the start-rate limit), or sheds
it (then it never waits).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import msgspec

from agent.command.params import Params
from drivers.actions import Receipt
from drivers.model import Reading


class Load(StrEnum):
    """What a verb does to the power that a device draws."""

    SHEDS = "sheds"
    RAISES = "raises"
    """Or may raise: what is not known counts as raised."""
    KEEPS = "keeps"


NOW_S = 60.0
"""Shedding and lights are meant for now: what was held up on the way must not surprise anybody."""
SETTING_S = 600.0
"""Names a state, and may take its turn: 30,000 devices take two minutes; where a limit is raised, a
rack of a hundred takes under nine at the default rate of its breaker."""
START_S = 7200.0
"""Starts wait for their rate: 10,000 of them take 83 minutes at the default of 120 a minute."""


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be ordered."""

    name: str
    action: str
    """The driver's method, and its name among the capabilities."""
    params: type[Params] = Params
    call: Callable[[Any, Any], Awaitable[Receipt]]
    load: Callable[[Any, Reading | None], Load]
    shown: Callable[[Any, Reading, float], bool | None]
    """Whether a reading shows what was ordered so many seconds before it; see `shown`."""
    settles_s: float | None
    """How long the effect may take with the slowest dialect; None where no reading shows it."""
    foreseen: Callable[[Any, Reading], float | None]
    """What it is expected to change in the power drawn, in watts; see `foreseen`."""
    expiry_s: float
    """Nothing of a command begins later than this, where its sender does not say."""
    aspect: str | None = None
    """What of the device it sets: verbs of one aspect replace each other's effects."""
    repeatable: bool = True
    """Whether a repeat is harmless: the verb names a state, not a deed."""
    dangerous: bool = False
    """Off unless the local configuration names it."""
    always_sheds: bool = False
    """Whether it sheds whatever the device shows: it may be done without knowing the time."""
    past_locks: bool = False
    """Whether it reaches devices that are locked: it starts and switches nothing."""


def sheds(_params: Any, _reading: Reading | None) -> Load:
    """Whatever it shows."""
    return Load.SHEDS


def raises(_params: Any, _reading: Reading | None) -> Load:
    """Whatever it shows."""
    return Load.RAISES


def keeps(_params: Any, _reading: Reading | None) -> Load:
    """Whatever it shows."""
    return Load.KEEPS
