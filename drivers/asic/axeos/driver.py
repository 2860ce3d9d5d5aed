"""Bitaxe (ESP-Miner with AxeOS) and its relatives, NerdAxe and NerdQAxe among them.

Source: ESP-Miner's `system_api_json.c`, `http_server.c` and `openapi.yaml` (2.0 to 2.14), and
`handler_system.cpp` of the NerdQAxe+ firmware. One page has nearly everything, no password is
asked. The device is a small controller: one request a poll. From 2.9 on the number of chips and
the model stand in `/api/system/asic`, which is asked rarely. Orders: see `orders`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.axeos.answers import Shape, Shapes, parse, shape_of
from drivers.asic.axeos.build import checked, parse_identity, words_of
from drivers.asic.axeos.orders import Orders
from drivers.asic.axeos.settings import latencies_of, telling
from drivers.asic.axeos.shares import Wait, waited
from drivers.asic.fields import Row, number
from drivers.asic.page_parts import section
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, Unsupported
from drivers.model import Identity, MinerReading, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

INFO, ASIC = "/api/system/info", "/api/system/asic"
SHAPE_EVERY_S = 3600.0
"""The model and the number of its chips do not change while the device runs."""


class Axeos:
    """A Bitaxe or one of its relatives."""

    __slots__ = (
        "_client",
        "_context",
        "_id",
        "_keys",
        "_orders",
        "_provisional_id",
        "_shape",
        "_wait",
    )

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._provisional_id = self._id = endpoint.provisional_id
        self._client = WebClient(endpoint, context)
        self._shape: Shapes | None = None
        self._wait: Wait | None = None
        self._orders = Orders(context, self._client)
        self._keys: frozenset[str] | None = None
        """What the page tells of what the device can do; None until it has been seen."""

    async def identify(self) -> Identity:
        """By the MAC in the one page; the other adds the model's name where there is one."""
        report = await self._client.pages((INFO, ASIC), self._deadline())
        info, asic = report.replies.get(INFO), report.replies.get(ASIC)
        identity = parse_identity(info, asic, self._provisional_id)
        self._id = identity.id
        self._keys = telling(section(info)) if INFO in report.replies else None
        return identity

    async def read(self) -> Sample:
        """One page. A rate without shares is told from what earlier polls have shown."""
        deadline = self._deadline()
        info = checked(await self._client.json(INFO, deadline))
        now = self._context.clock.now()
        shape, failed = await self._shape_for(info, now, deadline)
        self._wait = waited(self._wait, info, shape.chips)
        if self._keys is None:
            self._keys = telling(info)
        sample = parse(info, self._id, now, shape, self._wait, failed)
        if self._orders.awaited is not None and isinstance(sample.reading, MinerReading):
            await self._orders.settle(sample.reading.pool_targets)
        return sample

    async def close(self) -> None:
        """Nothing is held."""

    # --- orders ------------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """By what its page has keys for."""
        return latencies_of(self._keys)

    async def pause(self) -> Receipt:
        """Stop the chips."""
        return await self._orders.pause()

    async def resume(self) -> Receipt:
        """Start the chips."""
        return await self._orders.resume()

    async def reboot(self) -> Receipt:
        """Restart the device."""
        return await self._orders.reboot()

    async def locate(self, *, on: bool) -> Receipt:
        """Say "Hi!" for half a minute."""
        return await self._orders.locate(on=on)

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Hold the fans at a duty."""
        return await self._orders.set_fan_duty(percent)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Choose what automatic fans keep."""
        return await self._orders.set_temp_target(temp_c)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Change its name, and restart."""
        return await self._orders.set_hostname(hostname)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Set the pool and its fallback, and restart."""
        return await self._orders.set_pools(pools)

    async def recover(self) -> Receipt | None:
        """Finish setting pools."""
        return await self._orders.recover()

    # --- asking ------------------------------------------------------------------------------

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    async def _shape_for(self, info: Row, now: float, deadline: Deadline) -> tuple[Shape, Report]:
        """How many chips the device has: from this poll, or from the page that knows it."""
        found = shape_of(info)
        if found.chips is not None:
            return found, Report({}, {})
        words, uptime_s, kept = words_of(info), number(info.get("uptimeSeconds")), self._shape
        if kept and kept.is_of(words, uptime_s, now) and not kept.is_due(now, SHAPE_EVERY_S):
            return kept.value, Report({}, {})
        errors: dict[str, DriverError] = {}
        try:
            found = shape_of(await self._client.json(ASIC, deadline))
        except Unsupported:
            pass  # older than the page: the number is not to be had
        except DriverError as error:
            errors[ASIC] = error
        if not errors:
            self._shape = Shapes(found, now, words, uptime_s)
        return found, Report({}, errors)
