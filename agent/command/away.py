"""What the node does when the broker stays away: by default it holds what was ordered last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from agent.config.schema import Away as Settings
from agent.errors import AgentError
from drivers.api import Clock

log = logging.getLogger("stoker.away")

LOOK_S = 1.0
WHO = "agent:away"
"""Under this name the audit shows what was ordered here."""


class Orders(Protocol):
    """Takes an order."""

    def order(self, verb: str, params: dict[str, Any], target: str, who: str) -> Any:
        """An order made of words; raises `AgentError`."""

    def begin(self, order: Any) -> Any:
        """Begin it; raises `AgentError`."""


class Away:
    """Watches the connection; once an outage has lasted long enough, puts the site to sleep.

    It is woken by nobody but who is entitled to: a broker that comes back orders nothing by itself.
    """

    def __init__(
        self, settings: Settings, orders: Orders, clock: Clock, connected: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._orders = orders
        self._clock = clock
        self._connected = connected
        self._since = clock.monotonic()
        self._acted = False

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Act, where the outage has lasted long enough and nothing was done about it yet."""
        now = self._clock.monotonic()
        if self._connected():
            self._since, self._acted = now, False
        elif not self._acted and now - self._since >= self._settings.after_s:
            self._acted = True
            self._act()

    def _act(self) -> None:
        if self._settings.order == "hold":
            return
        log.warning("no broker for %g s: the miners are put to sleep", self._settings.after_s)
        try:
            self._orders.begin(self._orders.order("mining.pause", {}, "kind=asic", WHO))
        except AgentError as error:
            log.error("they are not: %s", error)
