"""A simulated site that answers on real sockets."""

from __future__ import annotations

from drivers.sim.connection import Pace
from drivers.sim.faults import FaultPlan, FaultSpec, parse_fault
from drivers.sim.log import Answered
from drivers.sim.server import SimError, SimServer
from drivers.sim.site import Site

__all__ = [
    "Answered",
    "FaultPlan",
    "FaultSpec",
    "Pace",
    "SimError",
    "SimServer",
    "Site",
    "parse_fault",
]
