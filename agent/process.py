"""What the process asks of its surroundings: descriptors, quiet garbage collection, a watchdog."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections.abc import Callable

from agent import sdnotify

log = logging.getLogger("stoker.process")

SPARE_DESCRIPTORS = 200
"""For the broker, the database, web pages, and whoever asks on the control socket."""

COLLECT_S = 1.0
_YOUNG_OBJECTS = 50_000
_COLLECTIONS_PER_GENERATION = 20
"""Readings are untracked structs that hold no cycles: there is little to be found."""


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
    """Keep what start-up made out of every later collection, and leave those to `collect`."""
    gc.collect()
    gc.freeze()
    gc.disable()


async def collect(urgent: Callable[[], bool]) -> None:
    """Collect garbage in cycles, until cancelled; not while something urgent is under way.

    With thousands of machines acting at once a collection goes through all that they are doing,
    for nothing: it took a tenth of the time that a site needs to go to sleep.
    """
    number = 0
    while True:
        await asyncio.sleep(COLLECT_S)
        if gc.get_count()[0] < _YOUNG_OBJECTS or urgent():
            continue
        number += 1
        gc.collect(_generation(number))


def _generation(number: int) -> int:
    """Mostly the youngest; every 20th time the middle one too, every 2,000th time all."""
    if number % (_COLLECTIONS_PER_GENERATION * 100) == 0:
        return 2
    return 1 if number % _COLLECTIONS_PER_GENERATION == 0 else 0


async def feed_watchdog() -> None:
    """Tell systemd that the event loop turns, as often as it wants to hear it."""
    interval_s = sdnotify.watchdog_interval_s()
    while interval_s is not None:
        sdnotify.watchdog()
        await asyncio.sleep(interval_s)
