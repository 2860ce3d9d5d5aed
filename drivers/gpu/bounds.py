"""How long things may take in `stoker-gpu`, as the supervisor is told."""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults come from busy hosts, where a healthy call was seen to take longer than 2 s."""

    slow_s: float = 2.0
    """A call that takes longer holds up the others no more: another child serves them."""
    hung_s: float = 10.0
    """A call that takes longer is given up."""
    opening_slow_s: float = 20.0
    """The same for opening the driver: without persistence each GPU takes a second or two."""
    opening_hung_s: float = 60.0
    leave_s: float = 5.0
    """How long a child may take to end after it was asked to, before it is killed."""
    again_first_s: float = 1.0
    """How long to wait after a child failed, at first; doubles up to the next."""
    again_most_s: float = 300.0
    shun_first_s: float = 10.0
    """How long a GPU is left alone after the child that hung on it is gone; doubles likewise."""
    shun_most_s: float = 300.0
    handover_s: float = 60.0
    """The least time between two handovers from a child that is merely slow."""
    lost_again_s: float = 30.0
    """The least time between two attempts to find a GPU that was lost."""
    stop_s: float = 2.0
    """How long children are waited for when the supervisor stops."""


STUCK_MOST = 2
"""Children that wait in a call at the same time; after that no further one is started."""
