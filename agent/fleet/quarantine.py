"""GPUs that must not be used until they were mended and seen healthy: why, since when. Pure.

What begins a quarantine is a fault whose meaning says so, or a person. It ends when the GPU was
mended (reset, driver loaded anew, host started anew) after its last reason, and a reading behind
that shows nothing wrong; or when a person lifts it. What a person began only a person ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from drivers.model import Fault, Reading, State

REASONS_MOST = 4
WORDS_MOST = 200
QUARANTINE = "quarantine"
"""The code of the fault that a reading shows."""


class Reason(msgspec.Struct, frozen=True):
    """Why a GPU is in quarantine."""

    code: str
    message: str
    at: datetime
    who: str | None = None
    """The person who ordered it; None where a fault did."""


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """The quarantine of one GPU."""

    since: datetime
    reasons: tuple[Reason, ...]
    """The first ones of each code."""
    action: str
    """What has to be done."""
    boot_id: str = ""
    """The start of the host in which its last reason came."""
    last_at: datetime
    mended_at: datetime | None = None
    mended_by: str | None = None

    @property
    def ordered(self) -> bool:
        """Whether a person has to end it."""
        return any(reason.who for reason in self.reasons)

    @property
    def words(self) -> str:
        """All of it in a line."""
        why = "; ".join(reason.message for reason in self.reasons)
        return f"{why}; to be done: {self.action}"


def begun(before: Quarantine | None, reason: Reason, action: str, boot_id: str) -> Quarantine:
    """The quarantine after one more reason."""
    reason = msgspec.structs.replace(reason, message=reason.message[:WORDS_MOST])
    if before is None:
        return Quarantine(
            since=reason.at, reasons=(reason,), action=action, boot_id=boot_id, last_at=reason.at
        )
    known = any(each.code == reason.code for each in before.reasons)
    room = len(before.reasons) < REASONS_MOST
    return msgspec.structs.replace(
        before,
        reasons=before.reasons if known or not room else (*before.reasons, reason),
        action=worse(before.action, action),
        boot_id=boot_id,
        last_at=max(before.last_at, reason.at),
        mended_at=None,
        mended_by=None,
    )


def mended(before: Quarantine, at: datetime, how: str) -> Quarantine:
    """The quarantine once the GPU was mended; what came before its last reason is no mending."""
    if at < before.last_at or before.mended_at is not None:
        return before
    return msgspec.structs.replace(before, mended_at=at, mended_by=how)


def is_over(quarantine: Quarantine, reading: Reading) -> bool:
    """Whether a reading, as the GPU gave it, ends the quarantine."""
    return (
        not quarantine.ordered
        and quarantine.mended_at is not None
        and reading.taken_at >= quarantine.mended_at
        and reading.state is State.OK
    )


def shown(quarantine: Quarantine, reading: Reading) -> Reading:
    """The reading of a GPU in quarantine: it may look well and still must not be used."""
    fault = Fault(QUARANTINE, quarantine.words, quarantine.since)
    state = State.QUARANTINED if reading.state is State.OK else reading.state
    return msgspec.structs.replace(reading, state=state, faults=(*reading.faults, fault))


def worse(one: str, other: str) -> str:
    """Which of two things to be done takes more."""
    return max(one, other, key=_rank)


def codes(quarantine: Quarantine) -> Iterable[str]:
    """The codes of its reasons."""
    return (reason.code for reason in quarantine.reasons)


_ORDER = (
    *("none", "correlate", "restart_job", "maintenance", "ask_driver", "check_links"),
    *("drain_p2p", "drain_and_reset", "reset", "bus_reset", "recover_imex_domain"),
    *("check_power", "update_driver", "node_reboot", "reboot", "system_reboot", "contact_vendor"),
)
"""What faults and drivers want done, the least first."""
_UNKNOWN = _ORDER.index("reset")


def _rank(action: str) -> int:
    return _ORDER.index(action) if action in _ORDER else _UNKNOWN
