"""Has this host's GPUs let go for a while, for whoever resets one or loads another driver."""

from __future__ import annotations

from collections.abc import Iterable

from agent.command.audit_notes import Audit
from agent.errors import AgentError
from agent.fleet.inventory import Device
from drivers.capabilities import LetsGo
from drivers.errors import DriverError


class LettingGo:
    """Asks the service that all GPUs of a host share, through any one of them."""

    def __init__(self, devices: Iterable[Device], audit: Audit) -> None:
        self._devices = devices
        self._audit = audit

    async def let_go(self, for_s: float, reason: str, who: str) -> str:
        """Have all of them let go, for so long at the most; what came of it, in words.

        Raises `AgentError` where there is none, and where one is still held.
        """
        self._audit.note(who, "gpu.release", {"for_s": for_s, "reason": reason})
        try:
            return await self._service().let_go(for_s, f"{reason} ({who})")
        except DriverError as error:
            raise AgentError(f"not let go: {error}") from error

    async def take_up(self, who: str) -> str:
        """Have them taken up again; raises as `let_go` does."""
        self._audit.note(who, "gpu.resume", {})
        try:
            return await self._service().take_up()
        except DriverError as error:
            raise AgentError(f"not taken up: {error}") from error

    def _service(self) -> LetsGo:
        for device in self._devices:
            if isinstance(device.driver, LetsGo):
                return device.driver
        raise AgentError("this node has no GPUs")
