"""What the process asks of its surroundings: descriptors, quiet garbage collection, a watchdog."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource

from agent import sdnotify

log = logging.getLogger("stoker.process")

SPARE_DESCRIPTORS = 200
"""For the broker, the database, web pages, and whoever asks on the control socket."""

# With 30,000 devices a full collection takes 0.1 s and more. Readings are untracked structs
# that hold no cycles, so collecting is left to ten times as many allocations as usual.
_GC_THRESHOLDS = (200_000, 20, 100)


def raise_descriptor_limit(wanted: int) -> None:
    """Raise the soft limit to the hard one; warn where that is less than the work may need."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted + SPARE_DESCRIPTORS:
        log.warning(
            "%d file descriptors are allowed, %d may be needed: raise LimitNOFILE",
            hard,
            wanted + SPARE_DESCRIPTORS,
        )


def tune_gc() -> None:
    """Keep what start-up made out of every later collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def feed_watchdog() -> None:
    """Tell systemd that the event loop turns, as often as it wants to hear it."""
    interval_s = sdnotify.watchdog_interval_s()
    while interval_s is not None:
        sdnotify.watchdog()
        await asyncio.sleep(interval_s)
