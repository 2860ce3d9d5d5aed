"""Takes commands from the broker: judged, written down, and only then acknowledged.

What comes together is written down together: a burst costs a few commits, not one each.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque

from agent.command.verbs import VERBS
from agent.mqtt.events import Message
from agent.remote.book import Arrival, Book
from agent.remote.command import Command
from agent.remote.judge import Address, Judge, New, Refused, Repeated
from agent.remote.life import Lives
from agent.remote.parts import Parts
from agent.remote.reasons import Reason, Rejected
from agent.remote.replies import reply_topic
from agent.remote.reporter import Reporter
from agent.store.memories import StoreError

log = logging.getLogger("stoker.remote")

AT_ONCE = 64
MOST_WAITING = 1000
"""A broker keeps far fewer in flight, unless it or a sender at QoS 0 keeps to no limits."""
AGAIN_S = 1.0
"""A command that is over is told again at most this often: a burst of repeats gets one answer."""

_level = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch


class Inbox:
    """Commands as they come."""

    def __init__(
        self, parts: Parts, judge: Judge, book: Book, lives: Lives, reporter: Reporter
    ) -> None:
        self._judge = judge
        self._book = book
        self._lives = lives
        self._reporter = reporter
        self._monotonic = parts.clock.monotonic
        self._root = parts.topics.root
        self._prefixes = tuple(
            (name.removesuffix("+"), site_wide)
            for name, site_wide in zip(parts.topics.commands, (True, False), strict=True)
        )
        self._waiting: deque[tuple[Message, Address]] = deque()
        self._news = asyncio.Event()
        self._told_at: dict[str, float] = {}

    def on_message(self, message: Message) -> bool:
        """Take a message, if it is on a topic of commands; it is acknowledged once it is kept."""
        address = self._address(message.topic)
        if address is None:
            return False
        if len(self._waiting) >= MOST_WAITING:
            error = Rejected(Reason.BUSY, f"{MOST_WAITING} messages wait to be looked at")
            self._reporter.refuse(None, None, error, known=False)
            return True
        message.keep()
        self._waiting.append((message, address))
        self._news.set()
        return True

    def __len__(self) -> int:
        """Messages that wait to be looked at."""
        return len(self._waiting)

    def _address(self, topic: str) -> Address | None:
        for prefix, site_wide in self._prefixes:
            if topic.startswith(prefix) and "/" not in topic[len(prefix) :]:
                return Address(topic[len(prefix) :], site_wide)
        return None

    async def run(self) -> None:
        """Work through what comes, until cancelled."""
        while True:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_ONCE))]
            try:
                await self._take(batch)
            except Exception:
                log.exception("commands were not taken")
            for message, _ in batch:
                message.acknowledge()

    async def _take(self, batch: list[tuple[Message, Address]]) -> None:
        arrivals: dict[str, tuple[Arrival, New]] = {}
        repeated: dict[str, Message] = {}
        for message, address in batch:
            judgement = self._judge.judge(message, address)
            if isinstance(judgement, Refused):
                self._refuse(address, judgement)
            elif isinstance(judgement, Repeated):
                repeated[judgement.command_id] = message
            else:
                command = judgement.command
                ids = [device.id for device in judgement.devices]
                arrivals[command.id] = Arrival(command, message.payload, ids), judgement
                self._book.know(command)
        if arrivals:
            await self._enter(arrivals)
            await self._book.write_audit()  # before the broker forgets them, not before they begin
        for command_id, message in repeated.items():
            await self._again(command_id, message)
        await asyncio.sleep(0)  # a flood leaves time for everything else

    async def _enter(self, arrivals: dict[str, tuple[Arrival, New]]) -> None:
        failed: StoreError | None = None
        try:
            await self._book.enter([arrival for arrival, _ in arrivals.values()])
        except StoreError as error:
            failed = error
            log.error("commands are not written down: %s", error)
        for arrival, judged in arrivals.values():
            command = arrival.command
            if failed is not None and not command.final and not _runs_unwritten(command):
                self._book.drop(command)
                error_words = f"it cannot be written down, so it is not run: {failed}"
                self._reporter.refuse(
                    command.id,
                    command.record.digest,
                    Rejected(Reason.JOURNAL_FAILED, error_words),
                    known=False,
                )
                continue
            self._book.tell(command)
            if not command.final:
                self._lives.begin(command, judged.devices)

    def _refuse(self, address: Address, refused: Refused) -> None:
        level = address.command_id if _level(address.command_id) else None
        known = address.command_id in self._book.digests
        log.debug("refused: %s: %s", refused.error.reason, refused.error.words)
        self._reporter.refuse(level, refused.digest, refused.error, known=known)

    async def _again(self, command_id: str, message: Message) -> None:
        """Give the answer once more, to where it is asked for now."""
        now = self._monotonic()
        if now - self._told_at.get(command_id, -AGAIN_S) < AGAIN_S:
            return
        self._told_at = {each: at for each, at in self._told_at.items() if now - at < AGAIN_S} | {
            command_id: now
        }
        command = await self._book.recall(command_id)
        if command is not None:
            command.record.response_topic = reply_topic(message.response_topic, self._root)
            command.record.correlation = message.correlation
            await self._book.tell_again(command)


def _runs_unwritten(command: Command) -> bool:
    """A full disk must not keep a site from being shed: that is run all the same.

    It is acknowledged too: the broker keeps only so many messages in flight, and would hold back
    the next one. What is lost by it is the memory of a harmless repeat.
    """
    verb = VERBS.get(command.record.claims.verb)
    return verb is not None and verb.always_sheds
