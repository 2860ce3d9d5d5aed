"""Tells what becomes of commands: states, pages of results, rejections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from agent.fleet.events import Event
from agent.remote.command import Command, moment
from agent.remote.messages import PAGE_DEVICES, CommandState, DeviceResult, ResultPage, State
from agent.remote.parts import Parts
from agent.remote.rate import Bucket
from agent.remote.reasons import Rejected

KEPT_S = 86_400
"""How long a broker keeps a state (MQTT 5)."""
REFUSED_KEPT_S = 3600
PROGRESS_S = 0.5
"""After which what has changed is told."""
STILL_S, PATIENT_S, STILL_LATER_S = 0.7, 60.0, 5.0
"""After which it is told that nothing has; less often of what takes longer than a minute."""
PARTIAL_PAGE_S = 5.0
REFUSALS_PER_MINUTE = 600.0
"""Answers to senders that proved nothing: a flood of them must not fill a poor link."""
COUNTED_S = 10.0


class _Planned(NamedTuple):
    at: float
    handle: asyncio.Handle


class Reporter:
    """Publishes for one node."""

    def __init__(self, parts: Parts) -> None:
        self._topics = parts.topics
        self._outbox = parts.outbox
        self._pump = parts.pump
        self._tell_event = parts.tell
        self._expires = parts.expires
        self._clock = parts.clock
        self._planned: dict[str, _Planned] = {}
        self._told_at: dict[str, float] = {}
        self._pages: dict[str, _Page] = {}
        self._answers = Bucket(REFUSALS_PER_MINUTE)
        self._refusals = _Refusals(self._event_of_refusals)
        self.refused: Counter[str] = Counter()
        """Messages that were no commands of ours, by reason, since the start."""

    # --- states -----------------------------------------------------------------------------

    def tell(self, command: Command, arrived: Callable[[], None] | None = None) -> None:
        """Publish the state of a command now; `arrived` is called once the broker has it."""
        planned = self._planned.pop(command.id, None)
        if planned is not None:
            planned.handle.cancel()
        self._told_at[command.id] = self._clock.monotonic()
        payload = msgspec.json.encode(command.statement(self._topics.node))
        topic = self._topics.command_state(command.id)
        self._outbox.state(topic, payload, expiry_s=KEPT_S, arrived=arrived)
        record = command.record
        if record.response_topic is not None:
            self._outbox.reply(
                record.response_topic, payload, correlation=record.correlation, expiry_s=KEPT_S
            )
        self._pump()
        if command.final:
            self._told_at.pop(command.id, None)
        elif record.state is State.EXECUTING:
            age_s = self._clock.now() - record.received_at
            self._plan(command, STILL_S if age_s < PATIENT_S else STILL_LATER_S)

    def progress(self, command: Command) -> None:
        """Publish how far a command is, soon and not too often."""
        since_s = self._clock.monotonic() - self._told_at.get(command.id, 0.0)
        self._plan(command, max(PROGRESS_S - since_s, 0.0))

    def _plan(self, command: Command, after_s: float) -> None:
        """Tell it then, unless that is planned sooner."""
        at = self._clock.monotonic() + after_s
        planned = self._planned.get(command.id)
        if planned is not None:
            if planned.at <= at:
                return
            planned.handle.cancel()
        loop = asyncio.get_running_loop()
        handle = loop.call_later(after_s, self._tell_progress, command)
        self._planned[command.id] = _Planned(at, handle)

    def _tell_progress(self, command: Command) -> None:
        self._planned.pop(command.id, None)
        if not command.final:
            command.progress(self._clock.now())
            page = self._pages.get(command.id)
            if page is not None:
                page.show_part(self._clock.monotonic())
            self.tell(command)

    # --- results ----------------------------------------------------------------------------

    def result(self, command: Command, result: DeviceResult) -> None:
        """Add a device's result to the pages."""
        page = self._pages.get(command.id)
        if page is None:
            page = self._pages[command.id] = _Page(self._put_page, command, self._topics.node)
        page.add(result, self._clock.monotonic())

    def close_pages(self, command: Command) -> None:
        """Publish the last page."""
        page = self._pages.pop(command.id, None)
        if page is not None:
            page.show()

    def _put_page(self, command_id: str, number: int, content: bytes) -> None:
        topic = self._topics.command_results(command_id, number)
        self._outbox.page(topic, content, expiry_s=KEPT_S)
        self._pump()

    # --- what is no command of ours -----------------------------------------------------------

    def refuse(
        self, level: str | None, digest: str | None, error: Rejected, *, known: bool
    ) -> None:
        """Answer a message that was refused; the state of a known command stays what it is."""
        self.refused[error.reason] += 1
        self._refusals.count(error)
        if level is None or self._answers.take(self._clock.monotonic()) > 0:
            return
        now = self._clock.now()
        answer = CommandState(
            id=level,
            node=self._topics.node,
            state=State.REJECTED,
            seq=0,
            at=moment(now),
            digest=digest or "",
            words=error.words,
            reason=error.reason,
        )
        topic, payload = self._topics.command_state(level), msgspec.json.encode(answer)
        if known or not self._expires():
            self._outbox.reply(topic, payload, expiry_s=REFUSED_KEPT_S)
        else:
            self._outbox.state(topic, payload, expiry_s=REFUSED_KEPT_S)
        self._pump()

    def _event_of_refusals(self, reason: str, count: int, words: str) -> None:
        self._tell_event(
            Event(
                name="command.refused",
                at=moment(self._clock.now()),
                message=f"{count} refused as {reason}: {words}",
                details={"reason": reason, "count": count},
            )
        )


class _Page:
    """The page of results that is being filled."""

    def __init__(self, put: Callable[[str, int, bytes], None], command: Command, node: str) -> None:
        self._put = put
        self._command = command
        self._node = node
        self._number = 0
        self._results: list[DeviceResult] = []
        self._fresh = False
        self._shown_at = 0.0

    def add(self, result: DeviceResult, now: float) -> None:
        if not self._results:
            self._shown_at = now
        self._results.append(result)
        self._fresh = True
        if len(self._results) >= PAGE_DEVICES:
            self.show()
            self._number += 1
            self._results = []

    def show_part(self, now: float) -> None:
        """Publish what is there, now and then: a rollout may take hours."""
        if now - self._shown_at >= PARTIAL_PAGE_S:
            self._shown_at = now
            self.show()

    def show(self) -> None:
        if not self._fresh:
            return
        self._fresh = False
        page = ResultPage(
            id=self._command.id,
            node=self._node,
            page=self._number,
            results=tuple(self._results),
        )
        self._command.record.pages = self._number + 1
        self._put(self._command.id, self._number, msgspec.json.encode(page))


class _Refusals:
    """Counts by reason; the first is told at once, what follows within `COUNTED_S` together."""

    def __init__(self, tell: Callable[[str, int, str], None]) -> None:
        self._tell = tell
        self._counts: Counter[str] = Counter()
        self._words: dict[str, str] = {}
        self._planned: set[str] = set()

    def count(self, error: Rejected) -> None:
        reason = str(error.reason)
        self._counts[reason] += 1
        self._words[reason] = error.words
        if reason not in self._planned:
            self._told(reason)

    def _told(self, reason: str) -> None:
        count = self._counts.pop(reason, 0)
        if not count:
            self._planned.discard(reason)
            return
        self._tell(reason, count, self._words.pop(reason))
        self._planned.add(reason)
        asyncio.get_running_loop().call_later(COUNTED_S, self._told, reason)
