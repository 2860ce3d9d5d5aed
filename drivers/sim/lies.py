"""How firmwares treat an order, and what they say to it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Lie(StrEnum):
    """How a firmware may treat an order."""

    DOES_NOTHING = "does-nothing"
    """Says OK and does nothing."""
    SILENT = "silent"
    """Does it and answers nothing."""
    DEAF = "deaf"
    """Answers nothing and does nothing."""
    REFUSES = "refuses"
    """Says no."""
    DENIES = "denies"
    """Says no and does it."""
    FORGETS = "forgets"
    """Does it, until its next reboot."""
    WIPES_POOLS = "wipes-pools"
    """Does it, and loses its pools whenever its configuration is written."""


class Heard(NamedTuple):
    """What a dialect has to answer to an order."""

    consents: bool
    """False where the firmware says no."""
    answers: bool
    """False where it hangs up without a word."""


_HEARD: dict[Lie | None, Heard] = {
    Lie.SILENT: Heard(consents=True, answers=False),
    Lie.DEAF: Heard(consents=True, answers=False),
    Lie.REFUSES: Heard(consents=False, answers=True),
    Lie.DENIES: Heard(consents=False, answers=True),
}
_IDLE = frozenset({Lie.DOES_NOTHING, Lie.DEAF, Lie.REFUSES})


def heard(lie: Lie | None) -> Heard:
    """What a machine with this habit answers to an order."""
    return _HEARD.get(lie, Heard(consents=True, answers=True))


def obeys(lie: Lie | None) -> bool:
    """Whether it does what it was told."""
    return lie not in _IDLE
