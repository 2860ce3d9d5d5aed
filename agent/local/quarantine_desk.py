"""GPUs put into quarantine, and let out of it, by a person on this host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

from agent.errors import AgentError
from agent.fleet.gpu_news import GpuNews
from agent.fleet.inventory import Device, Inventory
from drivers.model import Kind


class Audit(Protocol):
    """Takes what was done by whom."""

    def note(self, who: str, what: str, content: Mapping[str, Any]) -> None:
        """Write a record."""
        ...


class QuarantineDesk:
    """Answers for the control socket. Every method yields encoded JSON, and raises `AgentError`."""

    def __init__(self, inventory: Inventory, news: GpuNews | None, audit: Audit) -> None:
        """`news` is None where the configuration looks for no GPUs."""
        self._inventory = inventory
        self._news = news
        self._audit = audit

    async def put(self, device_id: str, reason: str, who: str) -> AsyncIterator[bytes]:
        """Put a GPU into quarantine, which only a person ends then; tells all its reasons."""
        if not reason.strip():
            raise AgentError("a quarantine needs a reason: who finds it must know what to do")
        device, news = self._gpu(device_id)
        standing = news.put(device.id, reason.strip(), who)
        self._audit.note(who, "quarantine.set", {"device": device.id, "reason": reason.strip()})
        yield msgspec.json.encode({"device": device.id, "quarantine": standing})

    async def lift(self, device_id: str, who: str) -> AsyncIterator[bytes]:
        """End a quarantine, whatever began it."""
        device, news = self._gpu(device_id)
        if not news.lift(device.id, who):
            raise AgentError(f"{device.id} is in no quarantine")
        self._audit.note(who, "quarantine.lifted", {"device": device.id})
        yield msgspec.json.encode({"device": device.id})

    def _gpu(self, device_id: str) -> tuple[Device, GpuNews]:
        device = self._inventory.by_id(device_id)
        if device is None or device.identity.kind is not Kind.GPU or self._news is None:
            raise AgentError(f"{device_id} is no GPU of this host")
        return device, self._news
