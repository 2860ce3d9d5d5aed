"""ePIC's UMC firmware (PowerPlay) and ePIC's own miners: HTTP on port 4028, not cgminer.

Source: ePIC's API documents for v1 to v3 (PowerPlay), and a recording of PowerPlay-BMS 1.5.13.
Reading needs no password. `/summary` has what changes; model, serials and chips are on pages of
their own, which are asked now and then: `/hashrate` lists every chip.
"""

from __future__ import annotations

from typing import Any

from drivers.api import Context, Endpoint
from drivers.asic.epic.answers import parse
from drivers.asic.epic.build import (
    Build,
    Slow,
    checked,
    is_mining,
    parse_build,
    parse_chips,
    parse_identity,
    uptime_of,
    words_of,
)
from drivers.errors import DriverError
from drivers.model import Identity, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

SUMMARY, CAPABILITIES, NETWORK, CHIPS = "/summary", "/capabilities", "/network", "/hashrate"
SLOW_EVERY_S = 120.0
"""How old the answering chips may be: some ten kilobytes of them are too much for every poll."""


class Epic:
    """A miner with ePIC's firmware."""

    __slots__ = ("_client", "_context", "_id", "_provisional_id", "_slow")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._provisional_id = self._id = endpoint.provisional_id
        self._client = WebClient(endpoint, context, port=endpoint.rpc_port)
        self._slow: Slow | None = None

    async def identify(self) -> Identity:
        """By MAC from `/network`, else by the control board's serial from `/capabilities`.

        Raises `WrongProtocol` where another HTTP server than ePIC's answers at the port.
        """
        report = await self._client.pages((SUMMARY, CAPABILITIES, NETWORK), self._deadline())
        identity = parse_identity(
            report.replies.get(SUMMARY),
            report.replies.get(CAPABILITIES),
            report.replies.get(NETWORK),
            self._provisional_id,
        )
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """`/summary`, and with it what was kept of the other pages."""
        deadline = self._deadline()
        summary = checked(await self._client.json(SUMMARY, deadline))
        now = self._context.clock.now()
        errors = await self._renew(summary, now, deadline) if self._is_due(summary, now) else {}
        slow = self._slow if self._slow and self._is_of(self._slow, summary, now) else None
        return parse(summary, self._id, now, slow.value if slow else None, Report({}, errors))

    async def close(self) -> None:
        """Nothing is held."""

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    def _is_of(self, slow: Slow, summary: dict[str, Any], now: float) -> bool:
        return slow.is_of(words_of(summary), uptime_of(summary), now)

    def _is_due(self, summary: dict[str, Any], now: float) -> bool:
        slow = self._slow
        return slow is None or slow.is_due(now, SLOW_EVERY_S) or not self._is_of(slow, summary, now)

    async def _renew(
        self, summary: dict[str, Any], now: float, deadline: Deadline
    ) -> dict[str, DriverError]:
        """Ask the slow pages, of a miner that stands not its chips; gives back what failed."""
        paths = (CAPABILITIES, CHIPS) if is_mining(summary) else (CAPABILITIES,)
        try:
            report = await self._client.pages(paths, deadline)
        except DriverError as error:
            return dict.fromkeys(paths, error)
        build = Build(
            **parse_build(report.replies.get(CAPABILITIES)),
            chips=parse_chips(report.replies.get(CHIPS)),
        )
        self._slow = Slow(build, now, words_of(summary), uptime_of(summary))
        return report.errors
