"""Takes orders for many devices to an end on each: objections, starts, sending, proof."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from agent.command.actor import Actor, Sent
from agent.command.admission import Admission
from agent.command.effects import Verdict
from agent.command.orders import Held, Job, Objection, Order, Result
from agent.command.prover import Prover, Shown
from agent.command.starts import Starts
from agent.command.verb import Load
from agent.command.work import Work
from agent.fleet.inventory import Device
from agent.fleet.precedence import Precedence
from drivers.actions import Answer, Expectation, Watched
from drivers.api import Clock

log = logging.getLogger("stoker.dispatcher")

SLICE = 100
"""Works that begin in one turn of the event loop."""


class Rules(Protocol):
    """What the dispatcher is held to, and whom it tells."""

    def objection(self, device: Device, order: Order) -> Objection | None:
        """Why an order may not go to a device; None where it may."""

    def start_group(self, device: Device) -> str:
        """What a device shares with others that must not start together."""

    def sending(self, device: Device, order: Order) -> None:
        """Take note that an order is sent to a device now; asked again before each repeat."""

    def proved(self, device: Device, order: Order, wanted: Expectation) -> None:
        """Take note that a reading has shown the effect of an order."""

    def ended(self, order: Order, device: Device, result: Result) -> None:
        """Take note of how an order ended on a device."""

    def finished(self, job: Job) -> None:
        """Take note of how it ended on all of them."""


class Dispatcher:
    """Runs jobs. On one device one action at a time; an order that sheds goes before all others.

    What sheds supersedes whatever waits on the same device: it is not sent any more, or its proof
    is not waited for.
    """

    def __init__(
        self,
        *,
        actor: Actor,
        prover: Prover,
        starts: Starts[Work],
        rules: Rules,
        precedence: Precedence,
        concurrency: int,
        clock: Clock,
    ) -> None:
        self._actor = actor
        self._prover = prover
        self._starts = starts
        self._rules = rules
        self._precedence = precedence
        self._clock = clock
        self._shedding = Admission(concurrency)
        self._others = Admission(max(1, concurrency // 4))
        self._works: dict[str, list[Work]] = {}
        self._tasks: asyncio.TaskGroup
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """Orders to single devices that are not yet settled."""
        return sum(map(len, self._works.values()))

    @property
    def waiting_starts(self) -> int:
        """Orders that wait for the start-rate limit."""
        return len(self._starts)

    async def run(self) -> None:
        """Let starts go at their rate, until cancelled; jobs need this to be running."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                work = self._starts.pop(self._clock.monotonic())
                if work is not None:
                    work.start()
                    continue
                await self._wait_for_start()

    def submit(self, order: Order, devices: list[Device]) -> Job:
        """Begin; follow the job for its results."""
        now = self._clock.monotonic()
        job = Job(order, devices, now)
        works = [self._enter(job, device, now) for device in devices]
        self._tasks.create_task(self._begin(works), name=f"begin-{order.id}")
        self._tasks.create_task(self._finish(job), name=f"job-{order.id}")
        return job

    def _enter(self, job: Job, device: Device, now: float) -> Work:
        """Put a device's work behind what it has to do already, or before it where it sheds."""
        order = job.order
        load = order.verb.load(order.params, device.last)
        before = self._works.setdefault(device.id, [])
        earlier = before[-1] if before and load is not Load.SHEDS else None
        work = Work(job, device, load, now, earlier)
        if load is Load.SHEDS:
            self._supersede(work, before)
            self._precedence.begin()
        before.append(work)
        return work

    async def _begin(self, works: list[Work]) -> None:
        """Begin with some after the other: ten thousand at once would stop everything else."""
        for start in range(0, len(works), SLICE):
            for work in works[start : start + SLICE]:
                self._tasks.create_task(self._take_to_end(work))
            await asyncio.sleep(0)

    def withdraw(self, job: Job) -> None:
        """Send a job to nobody any more: what waits ends at once with what its gate says.

        What was sent is followed to its proof.
        """
        for device in job.devices:
            for work in self._works.get(device.id, ()):
                if work.job is job:
                    self._starts.drop(work)
                    work.withdraw()

    async def _finish(self, job: Job) -> None:
        async for _ in job.follow():
            pass
        self._rules.finished(job)

    # --- starts -----------------------------------------------------------------------------

    async def _wait_for_start(self) -> None:
        at = self._starts.next_at()
        self._news.clear()
        try:
            wait_s = None if at is None else max(at - self._clock.monotonic(), 0.001)
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            pass

    def _supersede(self, shed: Work, works: list[Work]) -> None:
        """Put aside what would raise the load again, and what sets the same thing."""
        aspect = shed.job.order.verb.aspect
        for work in works:
            verb = work.job.order.verb
            if work.load is Load.RAISES or verb.aspect == aspect:
                self._starts.drop(work)
                work.supersede()
                self._prover.supersede(shed.device.id, verb.name)

    def is_busy(self, device_id: str) -> bool:
        """True while something is being done to a device, or waits to be."""
        return device_id in self._works

    # --- one device ---------------------------------------------------------------------------

    async def _take_to_end(self, work: Work) -> None:
        device = work.device
        try:
            result = await self._result(work)
        except Exception:
            log.exception("an order failed unexpectedly", extra={"device": device.id})
            result = work.result(Verdict.FAILED, "internal error, see the log")
        finally:
            if work.load is Load.SHEDS:
                self._precedence.end()
            self._forget(work)
        self._rules.ended(work.job.order, device, result)
        work.job.end(result)

    async def _result(self, work: Work) -> Result:
        if work.device.last is None:
            async with self._others.place(work.job):
                await self._actor.meet(work.device)
        held = self._objection(work) or await self._wait(work)
        if held is not None:
            return work.unsent(held)
        admission = self._shedding if work.load is Load.SHEDS else self._others
        async with admission.place(work.job):
            # It may have waited for minutes: somebody may have locked the rack since.
            held = work.held() if work.load is Load.SHEDS else self._objection(work)
            if held is not None:
                return work.unsent(held)
            began = self._clock.monotonic()
            sent = await self._actor.send(
                work.device, work.job.order, work.load, lambda: self._last_word(work)
            )
        return await self._proven(work, sent, began)

    async def _wait(self, work: Work) -> Held | None:
        """Wait for what came before it on the device, and for its turn to start."""
        await work.until(lambda: work.is_next)
        held = work.held()
        if held is None and work.load is Load.RAISES:
            self._starts.put(work, self._rules.start_group(work.device))
            self._news.set()
            await work.until(lambda: work.started)
            held = work.held()
        return held

    def _objection(self, work: Work) -> Held | None:
        held = work.held()
        if held is not None:
            return held
        objection = self._rules.objection(work.device, work.job.order)
        if objection is None:
            return None
        return Held(Verdict.REFUSED, objection.words, objection.reason)

    async def _last_word(self, work: Work) -> Held | None:
        """Why an order is not sent after all; where nothing is said it is sent."""
        order = work.job.order
        if work.load is Load.RAISES:
            await self._keep_distance(work)
        held = self._objection(work)
        if held is None and order.gate is not None:
            held = await order.gate.sending(work.device) or work.held()
        if held is None:
            self._rules.sending(work.device, order)
        return held

    async def _keep_distance(self, work: Work) -> None:
        """Starts that were let go one by one may have met on the way: space them once more."""
        if work.held() is not None:
            return
        now = self._clock.monotonic()
        wait_s = self._starts.spacing.reserve(self._rules.start_group(work.device), now) - now
        if wait_s > 0:
            await work.pause(wait_s)

    async def _proven(self, work: Work, sent: Sent, began: float) -> Result:
        times: dict[str, Any] = {
            "waited_s": began - work.at,
            "answered_s": self._clock.monotonic() - began,
        }
        receipt = sent.receipt
        if receipt is None:
            held = sent.held or Held(Verdict.FAILED, sent.words)
            if sent.held and work.superseded:
                held = held._replace(verdict=Verdict.SUPERSEDED)
            return work.unsent(held, sent.before, **times)
        if work.superseded:
            words = f"{sent.words} (then another order took its place)"
            return work.result(
                Verdict.SUPERSEDED, words, sent.before, answer=receipt.answer, **times
            )
        if receipt.expectation is None:
            refused = receipt.answer is Answer.REFUSED
            verdict = Verdict.REFUSED if refused else Verdict.NOT_VERIFIED
            words = (
                sent.words if refused else f"{sent.words} (no reading of it can show the effect)"
            )
            return work.result(verdict, words, sent.before, answer=receipt.answer, **times)
        watched = receipt.expectation.watched
        basis = sent.before if watched is Watched.READING else work.device.identity
        verb = work.job.order.verb
        shown: Shown = await self._prover.prove(work.device, verb.name, receipt, basis)
        if shown.verdict.good:
            self._rules.proved(work.device, work.job.order, receipt.expectation)
        return work.result(
            shown.verdict,
            sent.words,
            sent.before,
            shown.reading,
            answer=receipt.answer,
            proved_s=self._clock.monotonic() - began,
            **times,
        )

    def _forget(self, work: Work) -> None:
        work.finished = True
        works = self._works.get(work.device.id, [])
        if work in works:
            works.remove(work)
        for each in works:
            each.wake()
        if not works:
            self._works.pop(work.device.id, None)
