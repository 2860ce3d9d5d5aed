"""The parts of the fleet that this host's GPUs are joined to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.fleet.inventory import Inventory
from agent.fleet.poller import Poller
from agent.fleet.sink import Sink
from drivers.api import Clock


class Around(NamedTuple):
    """What finds, reads and counts all devices, and whom it has to be told."""

    inventory: Inventory
    poller: Poller
    sink: Sink
    clock: Clock
    forget: Callable[[str], None]
    """Has nothing of a device kept on disk."""
    missing: Callable[[int], None]
    """Told how many GPUs are missing."""
    unserved: Callable[[int], None]
    """Told how many cannot be read for want of the service."""
