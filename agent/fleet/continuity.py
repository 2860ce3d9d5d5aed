"""Is it still the same machine? Judged from what every poll shows, without asking it. Pure.

A cheap poll carries no MAC. But a machine that runs keeps its traits, its uptime grows by a
second a second, and its counters never shrink; where one of these breaks, the identity has
to be confirmed before the reading may be published under it.
"""

from __future__ import annotations

import msgspec

from drivers.model import Fingerprint

UPTIME_SLACK_S = 5.0
"""Firmwares round to seconds and take the figure now before, now after they work."""
UPTIME_SLACK_SHARE = 0.001
"""A quartz is good for 0.01 %; ten times that."""


class Baseline(msgspec.Struct, frozen=True, gc=False):
    """The fingerprint that stood at the address when the identity was confirmed, and when."""

    fingerprint: Fingerprint
    at: float


def doubt(
    baseline: Baseline, counters: tuple[float, ...], seen: Fingerprint, now: float
) -> str | None:
    """Why the machine may be another one, None where all goes on as before.

    `baseline` is that of the last confirmation (drift adds up against it), `counters` are
    those of the poll before (they may not shrink from poll to poll).
    """
    if seen.traits != baseline.fingerprint.traits:
        return f"its traits changed: {_difference(baseline.fingerprint.traits, seen.traits)}"
    was_s, is_s = baseline.fingerprint.uptime_s, seen.uptime_s
    if (was_s is None) != (is_s is None):
        return "it began or ceased to give an uptime"
    if was_s is not None and is_s is not None:
        passed_s = now - baseline.at
        drift_s = is_s - was_s - passed_s
        if abs(drift_s) > UPTIME_SLACK_S + passed_s * UPTIME_SLACK_SHARE:
            return f"its uptime is {drift_s:+.0f} s from what it should be"
    if any(is_now < before for before, is_now in zip(counters, seen.counters, strict=False)):
        return "its counters went back"
    return None


def _difference(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    gone = sorted(set(before) - set(now))
    come = sorted(set(now) - set(before))
    return f"{', '.join(gone) or 'nothing'} -> {', '.join(come) or 'nothing'}"[:200]
