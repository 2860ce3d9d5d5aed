"""Every command this node knows: those under way in memory, all of them in the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from agent.remote.command import Command, Record
from agent.remote.messages import DeviceResult
from agent.remote.parts import Parts
from agent.remote.reporter import Reporter
from agent.store.journal import Entry
from agent.store.memories import StoreError

log = logging.getLogger("stoker.remote")

KEPT_S = 7 * 86_400.0
"""How long a command's id is known after its time was over."""


class Kept(NamedTuple):
    """What the journal knows of a command's devices."""

    targets: list[str]
    marks: dict[str, float]
    """By device: when it was about to be sent to."""
    results: list[DeviceResult]


class Arrival(NamedTuple):
    """A command that has just come, with the devices that it meant then."""

    command: Command
    token: bytes
    device_ids: Sequence[str]


class Book:
    """Keeps commands."""

    def __init__(self, parts: Parts, reporter: Reporter) -> None:
        self.digests: dict[str, str] = {}
        """Of every command that is known, by id."""
        self._journal = parts.journal
        self._audit = parts.audit
        self._reporter = reporter
        self._active: dict[str, Command] = {}
        self._untold: list[str] = []
        self._told: list[Entry] = []
        self._news = asyncio.Event()

    def load(self, entries: Iterable[Entry]) -> None:
        """Take over what an earlier run of the agent wrote down."""
        for entry in entries:
            self.digests[entry.id] = entry.digest
            if not entry.final:
                self._active[entry.id] = Command(_record(entry))
            elif not entry.told:
                self._untold.append(entry.id)

    async def run(self) -> None:
        """Say what an earlier run could not; write down what the broker has. Until cancelled."""
        for command_id in self._untold:
            command = await self.recall(command_id)
            if command is not None:
                await self.tell_again(command)
        while True:
            await self._news.wait()
            self._news.clear()
            told, self._told = self._told, []
            try:
                await self._journal.put(told)
            except StoreError as error:  # it is told once more after a restart: no harm
                log.debug("not written down as told: %s", error)

    def __len__(self) -> int:
        """Commands under way."""
        return len(self._active)

    def active(self, command_id: str) -> Command | None:
        """A command that is under way."""
        return self._active.get(command_id)

    def unfinished(self) -> list[Command]:
        """All that are under way."""
        return list(self._active.values())

    def sender_of(self, command_id: str) -> str | None:
        """Whose key a command under way was signed with."""
        command = self._active.get(command_id)
        return None if command is None else command.record.key

    def know(self, command: Command) -> None:
        """Count a command as known from now on, whether or not it can be written down."""
        self.digests[command.id] = command.record.digest
        if not command.final:
            self._active[command.id] = command

    async def enter(self, arrivals: Sequence[Arrival]) -> None:
        """Write down what has come; raises `StoreError` where the disk does not take it."""
        for arrival in arrivals:
            command = arrival.command
            self._note(command, "command.rejected" if command.final else "command.accepted")
        await self._journal.put(
            [_entry(each.command, each.token) for each in arrivals],
            {each.command.id: each.device_ids for each in arrivals if each.device_ids},
        )

    async def write_audit(self) -> None:
        """Wait until what was decided is in the audit, as far as the disk takes it."""
        try:
            await self._audit.write()
        except StoreError as error:  # it keeps what waits, and says so where that is too much
            log.debug("the audit waits: %s", error)

    def drop(self, command: Command) -> None:
        """Forget a command that could not be written down and is therefore not run."""
        self._active.pop(command.id, None)
        self.digests.pop(command.id, None)

    async def keep(self, command: Command) -> None:
        """Write down what somebody decided of a command; raises `StoreError` where that cannot be.

        Whoever is told that a command is cancelled or approved is right after a crash, too.
        """
        if not command.final:  # else its end is written down
            await self._journal.put([_entry(command)])

    async def close(self, command: Command) -> None:
        """Write down how a command ended, and tell it."""
        self._active.pop(command.id, None)
        self._note(command, "command.ended")
        try:
            await self._journal.flush()
            await self._journal.put([_entry(command)])
        except StoreError as error:
            log.error("the end is not written down: %s", error, extra={"command": command.id})
        self.tell(command)

    def tell(self, command: Command) -> None:
        """Publish the state of a command; of the last one it is noted that the broker has it."""
        self._reporter.tell(command, (lambda: self._arrived(command)) if command.final else None)

    def _arrived(self, command: Command) -> None:
        self._told.append(msgspec.structs.replace(_entry(command), told=True))
        self._news.set()

    async def kept(self, command_id: str) -> Kept:
        """What was done of a command before a restart."""
        results = await self._journal.results(command_id)
        return Kept(
            list(await self._journal.targets(command_id)),
            await self._journal.marks(command_id),
            [msgspec.json.decode(each, type=DeviceResult) for each in results],
        )

    async def recall(self, command_id: str) -> Command | None:
        """A command under way or over, for another word about it."""
        command = self._active.get(command_id)
        if command is not None:
            return command
        entry = await self._journal.find(command_id)
        return None if entry is None else Command(_record(entry))

    async def tell_again(self, command: Command) -> None:
        """Publish the state of a command, and of one that is over its results too."""
        if command.final:
            results = await self._journal.results(command.id)
            for each in results:
                self._reporter.result(command, msgspec.json.decode(each, type=DeviceResult))
            self._reporter.close_pages(command)
        self.tell(command)

    def _note(self, command: Command, what: str) -> None:
        record = command.record
        self._audit.note(
            command.who,
            what,
            {
                "command": command.id,
                "digest": record.digest,
                "verb": record.claims.verb,
                "state": record.state,
                "reason": record.reason,
                "words": record.words,
                "targets": record.targets,
                "verdicts": record.verdicts,
                "approved_by": record.approved_by,
                "cancelled_by": record.cancelled_by,
            },
        )


def _entry(command: Command, token: bytes | None = None) -> Entry:
    record = command.record
    return Entry(
        id=command.id,
        digest=record.digest,
        received_at=record.received_at,
        expires_at=record.expires_at,
        keep_until=max(record.expires_at, record.received_at) + KEPT_S,
        state=record.state,
        final=command.final,
        token=token,
        record=msgspec.msgpack.encode(record),
    )


def _record(entry: Entry) -> Record:
    return msgspec.msgpack.decode(entry.record or b"", type=Record)
