"""One order on its way to one device: what it waits for, and what wakes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from agent.command.effects import Verdict
from agent.command.orders import Held, Job, Result, evidence
from agent.command.verb import Load
from agent.fleet.inventory import Device
from drivers.model import Reading

OVERTAKEN = "not sent: another order took its place"
WITHDRAWN = "not sent: it was withdrawn"


class Work:
    """Waits in no queue any longer, once it is superseded or withdrawn."""

    def __init__(
        self, job: Job, device: Device, load: Load, at: float, earlier: Work | None
    ) -> None:
        self.job = job
        self.device = device
        self.load = load
        self.at = at
        self.started = False
        """Its turn to start has come."""
        self.finished = False
        self.superseded = False
        self._withdrawn = False
        self._earlier = earlier
        self._news = asyncio.Event()

    def start(self) -> None:
        """Its turn to start has come."""
        self.started = True
        self.wake()

    def supersede(self) -> None:
        """Another order takes its place."""
        self.superseded = True
        self.wake()

    def withdraw(self) -> None:
        """Its sender wants it no more."""
        self._withdrawn = True
        self.wake()

    def wake(self) -> None:
        """Let it look whether what it waits for has come."""
        self._news.set()

    @property
    def is_next(self) -> bool:
        """True where all that came before it on the device is over."""
        while self._earlier is not None and self._earlier.finished:
            self._earlier = self._earlier._earlier
        return self._earlier is None

    async def until(self, come: Callable[[], bool]) -> None:
        """Wait until something has come; no longer where it is not sent anyway."""
        while not (self.superseded or self._withdrawn or come()):
            self._news.clear()
            await self._news.wait()

    async def pause(self, seconds: float) -> None:
        """Let time pass; less where it is not sent anyway."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.until(lambda: False)

    def held(self) -> Held | None:
        """Why it is not sent, as far as other orders and its sender say."""
        if self.superseded:
            return Held(Verdict.SUPERSEDED, OVERTAKEN)
        gate = self.job.order.gate
        held = None if gate is None else gate.held(self.device)
        if held is None and self._withdrawn:
            return Held(Verdict.CANCELLED, WITHDRAWN)
        return held

    def unsent(self, held: Held, before: Reading | None = None, **times: Any) -> Result:
        """The result of what was held back."""
        return self.result(held.verdict, held.words, before, reason=held.reason, **times)

    def result(
        self,
        verdict: Verdict,
        words: str,
        before: Reading | None = None,
        after: Reading | None = None,
        **more: Any,
    ) -> Result:
        """How it ended; `more` are the other fields of `Result`."""
        device, aspect = self.device, self.job.order.verb.aspect
        return Result(
            device_id=device.id,
            address=device.address,
            verdict=verdict,
            words=words,
            before=evidence(before if before is not None else device.last, aspect),
            after=evidence(after, aspect),
            **more,
        )
