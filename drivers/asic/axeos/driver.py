"""Bitaxe (ESP-Miner with AxeOS) and its relatives, NerdAxe and NerdQAxe among them.

Source: ESP-Miner's `system_api_json.c`, `http_server.c` and `openapi.yaml` (2.0 to 2.14), and
`handler_system.cpp` of the NerdQAxe+ firmware. One page has nearly everything, no password is
asked. The device is a small controller: one request a poll. From 2.9 on the number of chips and
the model stand in `/api/system/asic`, which is asked rarely.
"""

from __future__ import annotations

from drivers.api import Context, Endpoint
from drivers.asic.axeos.answers import Shape, Shapes, parse, shape_of
from drivers.asic.axeos.build import checked, parse_identity, words_of
from drivers.asic.axeos.shares import Wait, waited
from drivers.asic.fields import Row, number
from drivers.errors import DriverError, Unsupported
from drivers.model import Identity, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient

INFO, ASIC = "/api/system/info", "/api/system/asic"
SHAPE_EVERY_S = 3600.0
"""The model and the number of its chips do not change while the device runs."""


class Axeos:
    """A Bitaxe or one of its relatives."""

    __slots__ = ("_client", "_context", "_id", "_provisional_id", "_shape", "_wait")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._provisional_id = self._id = endpoint.provisional_id
        self._client = WebClient(endpoint, context)
        self._shape: Shapes | None = None
        self._wait: Wait | None = None

    async def identify(self) -> Identity:
        """By the MAC in the one page; the other adds the model's name where there is one."""
        report = await self._client.pages((INFO, ASIC), self._deadline())
        info, asic = report.replies.get(INFO), report.replies.get(ASIC)
        identity = parse_identity(info, asic, self._provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One page. A rate without shares is told from what earlier polls have shown."""
        deadline = self._deadline()
        info = checked(await self._client.json(INFO, deadline))
        now = self._context.clock.now()
        shape, failed = await self._shape_for(info, now, deadline)
        self._wait = waited(self._wait, info, shape.chips)
        return parse(info, self._id, now, shape, self._wait, failed)

    async def close(self) -> None:
        """Nothing is held."""

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
