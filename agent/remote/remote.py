"""Commands from afar, put together: from the broker's message to the report of its end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec

from agent.config.commands import Commands
from agent.mqtt.events import Message
from agent.remote.admission import Admission
from agent.remote.book import Book
from agent.remote.command import moment
from agent.remote.inbox import Inbox
from agent.remote.judge import Judge
from agent.remote.life import Lives
from agent.remote.messages import Alarm
from agent.remote.parts import Parts
from agent.remote.reporter import Reporter
from agent.remote.ring import Ring
from agent.remote.roster import Roster
from agent.remote.runner import Runner
from agent.remote.services import NodeServices


class Remote:
    """Takes signed commands for one node."""

    def __init__(self, settings: Commands, parts: Parts) -> None:
        self.ring = Ring(settings)
        self.roster = Roster(parts.topics.node)
        self._settings = settings
        self._parts = parts
        reporter = Reporter(parts)
        self.refused = reporter.refused
        self.book = Book(parts, reporter)
        admission = Admission(parts, self.roster, self.book, self._knows_time)
        self._runner = Runner(parts, admission, reporter)
        self._lives = Lives(parts, admission, self.book, self._runner, reporter)
        self._lives.services = NodeServices(parts, self.book, self._runner, lambda: self.ring)
        self._lives.two_person = settings.two_person
        judge = Judge(
            parts,
            lambda: self.ring,
            admission,
            self.book.digests,
            lambda: self._settings.clock_skew_s,
        )
        self._inbox = Inbox(parts, judge, self.book, self._lives, reporter)

    def parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run."""
        return [
            ("commands", self._inbox.run()),
            ("lives", self._lives.run()),
            ("book", self.book.run()),
        ]

    @property
    def waiting(self) -> int:
        """Messages that wait to be looked at."""
        return len(self._inbox)

    @property
    def filters(self) -> list[str]:
        """What has to be subscribed to."""
        return [*self._parts.topics.commands, *self._parts.topics.roster]

    def on_message(self, message: Message) -> None:
        """Take a message of the control connection; what is none of ours is left alone."""
        if self._inbox.on_message(message):
            return
        match self._parts.topics.roster_place(message.topic):
            case ("status", node):
                self.roster.on_status(node, message.payload)
            case ("inventory", node):
                self.roster.on_manifest(node, message.payload)

    def adopt(self, settings: Commands) -> None:
        """Take over another configuration; what waits for a key that is gone is stopped."""
        ring = Ring(settings)
        ring.adopt(self.ring)
        self.ring = ring
        self._settings = settings
        self._lives.two_person = settings.two_person
        for command in self.book.unfinished():
            if ring.key(command.record.key) is None:
                words = f"key {command.record.key} does not count any more"
                self._runner.stop(command, words, "stoker")
        self.say_alarms()

    def say_alarms(self) -> None:
        """Whether an alarm stands: commands without a signature are taken."""
        topic = self._parts.topics.alarm(f"unsigned-commands-{self._parts.topics.node}")
        content = b""
        if self._settings.unsigned is not None:
            content = msgspec.json.encode(
                Alarm(
                    alarm="unsigned-commands",
                    node=self._parts.topics.node,
                    since=moment(self._parts.clock.now()),
                    message="commands without a signature are taken: [commands.unsigned]",
                )
            )
        self._parts.outbox.state(topic, content)
        self._parts.pump()

    def _knows_time(self) -> bool:
        return self._settings.clock == "trusted" or self._parts.synchronised() is True
