"""What of LuxOS changes slowly: power profiles, limits, the boards' voltages. Pure.

Source: Luxor's API documentation of `profiles`, `limits`, `config`, `devdetails` and `tempctrl`.
"""

from __future__ import annotations

import msgspec

from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, common, first, highest, integer, positive, text, truth
from drivers.errors import Unsupported
from drivers.wire.cgminer import Report, rows

PROFILES_LIMIT = 256
BOARDS_LIMIT = 64
_HIGHEST_V = 100.0
_OPTIONAL = ("devdetails", "tempctrl")


class Profiles(msgspec.Struct, frozen=True):
    """What the profile that is set draws, and between what all of them lie.

    The others are not kept: a site has very many machines.
    """

    name: str | None = None
    watts: float | None = None
    min_w: float | None = None
    max_w: float | None = None
    volts: tuple[tuple[int, float], ...] = ()
    """Of the boards, by number."""
    temp_target_c: float | None = None
    missing: tuple[str, ...] = ()


NO_PROFILES = Profiles()


def row_of(report: Report, command: str, section: str, at: int = 0) -> Row:
    """A row of a section; empty where it is not there."""
    found = rows(report.replies.get(command, {}), section)
    return found[at] if -len(found) <= at < len(found) else {}


def profile_of(report: Report) -> str | None:
    """The name of the profile that is set."""
    return common(row_of(report, "config", "CONFIG").get("Profile"))


def parse_profiles(report: Report, name: str | None) -> Profiles:
    """Read `profiles`, from `limits` how far a power target may go, and `devdetails`.

    `name` is the profile that is set.
    """
    watts = watts_by_profile(report)
    known = [value for value in watts.values() if value is not None]
    limits = row_of(report, "limits", "LIMITS")
    lowest = min(known, default=None)
    return Profiles(
        name=name,
        watts=watts.get(name) if name else None,
        min_w=positive(limits.get("PowerTargetMin")) or lowest,
        max_w=positive(limits.get("PowerTargetMax")) or highest(known),
        volts=_volts(report),
        temp_target_c=positive(row_of(report, "tempctrl", "TEMPCTRL").get("Target")),
        missing=missing(_without_optional(report)),
    )


def watts_by_profile(report: Report) -> dict[str, float | None]:
    """What each profile says it draws, by its name."""
    found = rows(report.replies.get("profiles", {}), "PROFILES")[:PROFILES_LIMIT]
    named = ((text(row.get("Profile Name")), positive(row.get("Watts"))) for row in found)
    return {name: watts for name, watts in named if name}


def _volts(report: Report) -> tuple[tuple[int, float], ...]:
    """`devdetails` gives volts, of the supply or of the board itself; its form is unverified."""
    found: dict[int, float] = {}
    for row in rows(report.replies.get("devdetails", {}), "DEVDETAILS")[:BOARDS_LIMIT]:
        at, volts = integer(first(row, ("ID", "DEVDETAILS"))), positive(row.get("Voltage"))
        if at is not None and volts is not None and volts < _HIGHEST_V:
            found[at] = volts
    return tuple(found.items())


def _without_optional(report: Report) -> Report:
    """Builds that do not know a command of these lack nothing that they could say."""
    unknown = {name for name in _OPTIONAL if isinstance(report.errors.get(name), Unsupported)}
    if not unknown:
        return report
    errors = {name: error for name, error in report.errors.items() if name not in unknown}
    return Report(report.replies, errors, report.cut)


def limit_w(config: Row, profiles: Profiles) -> float | None:
    """The power target where one is in force, else the watts of the profile that is set."""
    if truth(config.get("IsPowerTargetEnabled")):
        # Actual: what thermal management makes of the ideal one. By their names; unverified.
        target = first(config, ("ActualPowerTarget", "IdealPowerTarget"))
        return positive(target) or positive(config.get("IdealPowerTarget"))
    return profiles.watts if common(config.get("Profile")) == profiles.name else None
