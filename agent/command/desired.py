"""What was ordered of a device and proved, held against its later readings. Pure.

A setting that is found to be another one is told, and put back where the policy says so, at most
once an hour. One that is changed again within that hour has a rival: that is told, and the setting
is left alone until it is ordered anew. Two writers that put back each other's values end nowhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

APART_S = 3600.0
"""At least so long between two attempts to put a setting back."""
TOLD_MOST = 3
"""Changes of one setting that are told as they come; more within an hour are counted."""


class Cause(StrEnum):
    """Why a setting is another one, as far as readings show it."""

    FORGOTTEN = "forgotten"
    """The device or its driver began anew."""
    CHANGED = "changed"
    """Somebody else set it: nothing began anew."""
    UNKNOWN = "unknown"
    """It was found so after a restart of the agent."""


class Wanted(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A setting that was ordered."""

    verb: str
    params: dict[str, Any]
    order: str
    who: str
    at: float
    """When it was sent, in seconds since the epoch, as all times here."""


class Setting(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of one aspect of a device; written down, so that a restart changes nothing."""

    held: Wanted | None = None
    """It was proved."""
    sent: Wanted | None = None
    """It may have been obeyed, and no reading has shown it yet."""
    begun: int | None = None
    """How often the device had begun anew, when the setting was seen to hold the last time; None
    where this run of the agent has not seen it hold."""
    undone: bool = False
    """The last reading that says something shows another one."""
    restored_at: float | None = None
    contested: bool = False
    """Somebody changed it again soon after it was put back."""
    told_from: float = 0.0
    """Since when what is told is counted."""
    told: int = 0
    untold: int = 0


class News(NamedTuple):
    """What a reading shows of a setting that does not hold."""

    wanted: Wanted
    cause: Cause
    times: int
    """How often since it was told last."""
    restores: bool
    contested: bool


class Seen(NamedTuple):
    """What is to be done about a reading."""

    news: News | None = None
    restore: Wanted | None = None
    altered: bool = False
    """The record is another one now, and has to be written down."""


NOTHING = Seen()


def send(setting: Setting, wanted: Wanted) -> None:
    """It is about to be sent; what is held counts until the device has said something to it."""
    if setting.sent is not None and setting.sent.order != wanted.order:
        setting.held = None  # another one was sent between them, and may have been obeyed
    setting.sent = wanted


def settle(
    setting: Setting, *, good: bool, obeyed: bool | None, shows: bool, begun: int | None
) -> Setting | None:
    """How the setting stands once an order has its verdict; None where nothing is wanted any more.

    `obeyed`: the device said so, said no, or (None) said nothing. `shows`: readings can show it.
    `begun`: how often the device had begun anew by then.
    """
    if setting.sent is None:
        return setting
    if good:
        return Setting(held=setting.sent, begun=begun)
    if obeyed is False:
        setting.sent = None
    elif not shows:
        return None
    elif obeyed:
        setting = Setting(sent=setting.sent)
    return setting if setting.held or setting.sent else None


def restored(setting: Setting, begun: int | None) -> None:
    """It was put back, and a reading has shown that: the next one may show it undone again."""
    setting.undone, setting.begun = False, begun


def observe(
    setting: Setting,
    *,
    sent_shown: bool | None,
    held_shown: bool | None,
    begun: int | None,
    fresh: bool,
    now: float,
    restores: bool,
) -> Seen:
    """Hold a reading against it. `begun` counts how often the device began anew, as it shows.

    `fresh`: no value of the reading is older than that count. An older one that still fits says
    nothing of what a device forgot when it began anew.
    """
    altered = setting.sent is not None and sent_shown is not None
    if altered and sent_shown:
        _hold(setting, begun)
        return Seen(altered=True)
    if altered:
        setting.sent = None
    if setting.held is None or held_shown is None:
        return Seen(altered=altered)
    if held_shown:
        altered = altered or setting.undone
        setting.undone, setting.begun = False, begun if fresh else setting.begun
        return _gathered(setting, now, altered=altered)
    return _undone(setting, begun, now, restores=restores)


def _hold(setting: Setting, begun: int | None) -> None:
    """A reading shows an order that had no verdict: the agent ended, or the device said nothing."""
    setting.held, setting.sent, setting.begun = setting.sent, None, begun
    setting.undone = setting.contested = False
    setting.restored_at = None
    setting.told = setting.untold = 0


def _undone(setting: Setting, begun: int | None, now: float, *, restores: bool) -> Seen:
    assert setting.held is not None  # noqa: S101  looked at by the caller
    cause = _cause(setting, begun)
    fresh, setting.undone = not setting.undone, True
    was_contested = setting.contested
    if fresh:
        setting.untold += 1
        setting.contested |= cause is Cause.CHANGED and _lately(setting, now)
    restore = restores and not setting.contested and not _lately(setting, now)
    if restore:
        setting.restored_at = now
    news = setting.contested and not was_contested
    tells = news or (setting.untold and _may_tell(setting, now))
    told = _tell(setting, cause, now, restores=restore) if tells else None
    return Seen(told, setting.held if restore else None, altered=fresh or restore or bool(told))


def _gathered(setting: Setting, now: float, *, altered: bool) -> Seen:
    """It holds at the moment; changes that were only counted are told when their hour is over."""
    if not setting.untold or not _may_tell(setting, now):
        return Seen(altered=altered)
    return Seen(_tell(setting, Cause.CHANGED, now, restores=False), altered=True)


def _cause(setting: Setting, begun: int | None) -> Cause:
    if begun is None or setting.begun == begun:
        return Cause.CHANGED
    return Cause.UNKNOWN if setting.begun is None else Cause.FORGOTTEN


def _lately(setting: Setting, now: float) -> bool:
    """Whether it was put back within the hour; where clocks went back it counts from now."""
    if setting.restored_at is None:
        return False
    setting.restored_at = min(setting.restored_at, now)
    return now - setting.restored_at < APART_S


def _may_tell(setting: Setting, now: float) -> bool:
    if not 0 <= now - setting.told_from < APART_S:
        setting.told_from, setting.told = now, 0
    return setting.told < TOLD_MOST


def _tell(setting: Setting, cause: Cause, now: float, *, restores: bool) -> News:
    assert setting.held is not None  # noqa: S101  only what is held is told
    times, setting.untold = setting.untold, 0
    setting.told += 1
    return News(setting.held, cause, times, restores, setting.contested)
