"""ePIC's UMC firmware (PowerPlay) and ePIC's own miners: HTTP on port 4028, not cgminer.

Source: ePIC's API documents for v1 to v3 (PowerPlay), and a recording of PowerPlay-BMS 1.5.13.
Reading needs no password. `/summary` has what changes; model, serials and chips are on pages of
their own, which are asked now and then: `/hashrate` lists every chip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.actions import Latency, Receipt
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
from drivers.asic.epic.orders import CAPABILITIES, OLD, PLAIN, SUMMARY, TUNING, Orders
from drivers.asic.epic.tuner import tunes
from drivers.asic.page_parts import section
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError
from drivers.model import Identity, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

NETWORK, CHIPS = "/network", "/hashrate"
SLOW_EVERY_S = 120.0
"""How old the answering chips may be: some ten kilobytes of them are too much for every poll."""


class Epic:
    """A miner with ePIC's firmware."""

    __slots__ = (
        *("_client", "_context", "_endpoint", "_id", "_latencies", "_provisional_id", "_slow"),
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._endpoint = endpoint
        self._latencies = PLAIN
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
        shows_pools = "StratumConfigs" in section(report.replies.get(SUMMARY))
        newest = TUNING if tunes(report.replies.get(CAPABILITIES)) else PLAIN
        self._latencies = newest if shows_pools else OLD
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

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By the version of the API, and whether it has a tuner."""
        return self._latencies

    def refresh(self) -> None:
        """Ask the slow pages anew."""
        self._slow = None

    async def pause(self) -> Receipt:
        """Stop the mining program."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """Start the mining program."""
        return await self._orders().resume()

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._orders().restart_mining()

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders().reboot()

    async def throttle(self, percent: float) -> Receipt:
        """A share of its rate, which the tuner holds at the least power."""
        return await self._orders().throttle(percent)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools."""
        return await self._orders().set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the red light."""
        return await self._orders().locate(on=on)

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Fix the fans; the machine still stops where it gets too hot."""
        return await self._orders().set_fan_duty(percent)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """The temperature that the fans keep."""
        return await self._orders().set_temp_target(temp_c)

    def _orders(self) -> Orders:
        return Orders(self._client, self._endpoint, self._context)

    # --- inside ----------------------------------------------------------------------------

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
