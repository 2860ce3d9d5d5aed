"""What the audit is told of orders: that they began, what came of them, and how they ended.

An order to one device is told with its evidence. Of an order to many the verdicts are gathered and
told together: a site of 30,000 machines sheds twice a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from agent.command.orders import Order, Result
from drivers.api import Clock

ROUND_S = 1.0
WORTH_TELLING = 20
"""So many results are told in the next round; fewer wait, since a record has some 300 bytes of its
own: at a start rate of 120 a minute it would come to 150 bytes for each device."""
LONGEST_S = 10.0
"""So long a result waits for others."""
SHOWN_WORDS = 20
WORDS_LENGTH = 120
"""Of devices that did not do it the first words are told, in each record."""


class Audit(Protocol):
    """Where decisions are written down."""

    def note(self, who: str, what: str, content: Mapping[str, Any] | msgspec.Struct) -> None:
        """Add a record; no password may be in it."""


class _Gathered:
    """Results of one order that were not told yet."""

    def __init__(self, order: Order, since: float) -> None:
        self.order = order
        self.since = since
        self.verdicts: dict[str, str] = {}
        self.words: dict[str, str] = {}

    def add(self, result: Result) -> None:
        self.verdicts[result.device_id] = result.verdict
        if not result.verdict.good and len(self.words) < SHOWN_WORDS:
            self.words[result.device_id] = result.words[:WORDS_LENGTH]


class AuditNotes:
    """Makes the notes; `run` tells what gathers."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._many: set[str] = set()
        """Orders under way that have more than one device."""
        self._gathered: dict[str, _Gathered] = {}

    def begun(self, order: Order, devices: int) -> None:
        """An order goes out to so many devices."""
        if devices > 1:
            self._many.add(order.id)
        content = {"target": order.target, "params": shown(order.params), "targets": devices}
        self._note(order, "order.begun", **content)

    def result(self, order: Order, result: Result) -> None:
        """It ended on one device."""
        if order.id not in self._many:
            self._note(order, "order.result", result=result)
            return
        gathered = self._gathered.get(order.id)
        if gathered is None:
            gathered = self._gathered[order.id] = _Gathered(order, self._clock.monotonic())
        gathered.add(result)

    def ended(self, order: Order, verdicts: Mapping[str, int]) -> None:
        """It ended on all devices; where there is only one, its result has said so."""
        if order.id not in self._many:
            return
        self._many.remove(order.id)
        if (gathered := self._gathered.pop(order.id, None)) is not None:
            self._tell(gathered)
        self._note(order, "order.ended", verdicts=verdicts)

    async def run(self) -> None:
        """Tell what has gathered, until cancelled; then the rest."""
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                self.tell_due()
        finally:
            for gathered in self._gathered.values():
                self._tell(gathered)
            self._gathered.clear()

    def tell_due(self) -> None:
        """Tell what is worth a record, or has waited long."""
        now = self._clock.monotonic()
        for order_id, gathered in list(self._gathered.items()):
            if len(gathered.verdicts) >= WORTH_TELLING or now - gathered.since >= LONGEST_S:
                del self._gathered[order_id]
                self._tell(gathered)

    def _tell(self, gathered: _Gathered) -> None:
        words = {"words": gathered.words} if gathered.words else {}
        self._note(gathered.order, "order.results", devices=gathered.verdicts, **words)

    def _note(self, order: Order, what: str, **content: Any) -> None:
        digest = {} if order.digest is None else {"digest": order.digest}
        head = {"order": order.id, **digest, "verb": order.verb.name}
        self._audit.note(order.who, what, {**head, **content})


def shown(params: Any) -> Any:
    """Parameters for the audit: pools without their passwords."""
    made = msgspec.to_builtins(params)
    for pool in made.get("pools", ()):
        pool.pop("password", None)
    return made
