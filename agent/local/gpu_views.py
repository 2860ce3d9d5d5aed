"""What a person on this host is shown of its GPUs."""

from __future__ import annotations

from datetime import datetime

import msgspec

from drivers.model import Identity
from drivers.model_gpu import GpuFacts, GpuReading


class GpuView(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU: who it is, where it is, and what was last seen of it."""

    identity: Identity
    address: str
    """Where it is on the bus: `pci:0000:3b:00.0`."""
    facts: GpuFacts | None = None
    reading: GpuReading | None = None
    problem: str | None = None
    """Why there is no newer reading."""
    slot: str | None = None
    """Where it stands in the host, where the locations tell that."""
    gone: bool = False
    """It is not on the bus any more, and its number may be another's by now."""

    @property
    def index(self) -> int | None:
        """The driver's number of it, which other tools show as well."""
        return self.facts.index if self.facts and not self.gone else None


class GpuViews(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs of a host, those included that are gone and should be there."""

    at: datetime
    source: str
    """Who tells: the agent, or `stoker-gpu` itself."""
    gpus: tuple[GpuView, ...]
    problem: str | None = None
    """Why nobody can read any of them now."""


GONE = frozenset({"lost", "missing"})
"""Codes of faults that say so."""


def in_order(views: tuple[GpuView, ...]) -> tuple[GpuView, ...]:
    """In the order of the driver's numbers; those without one come last."""
    return tuple(
        sorted(views, key=lambda view: (view.index is None, view.index or 0, view.address))
    )
