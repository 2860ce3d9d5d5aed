"""The lives of accepted commands: each waits until it may begin, runs, and is written down.

After a restart the journal says which were under way: what had been sent is read back and never
sent again, what had not is sent where there is still time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from agent.command.effects import Verdict
from agent.command.orders import Order, Result
from agent.command.readback import ReadBack
from agent.command.verbs import VERBS
from agent.errors import AgentError
from agent.fleet.inventory import Device
from agent.remote import dry_run
from agent.remote.admission import Admission, two_person
from agent.remote.book import Book
from agent.remote.command import LEAP, Command
from agent.remote.gate import CommandGate
from agent.remote.messages import State
from agent.remote.node_verbs import NODE_VERBS, READ_NOW, Services
from agent.remote.parts import Parts
from agent.remote.reading import Reader
from agent.remote.reasons import Rejected
from agent.remote.reporter import Reporter
from agent.remote.runner import Runner, told, wait_for_change

log = logging.getLogger("stoker.remote")


class Lives:
    """Runs every command that was accepted, as a task of its own."""

    def __init__(
        self, parts: Parts, admission: Admission, book: Book, runner: Runner, reporter: Reporter
    ) -> None:
        self._control = parts.control
        self._inventory = parts.inventory
        self._clock = parts.clock
        self._journal = parts.journal
        self._admission = admission
        self._book = book
        self._runner = runner
        self._reader = Reader(parts.poller, runner.note)
        self._readback = ReadBack(parts.poller, parts.clock)
        self._reporter = reporter
        self._tasks: asyncio.TaskGroup
        self.services: Services
        """Set by the owner: services and lives know each other."""
        self.two_person: tuple[str, ...] = ()
        """Verbs that wait for a second person by configuration; may change."""

    async def run(self) -> None:
        """Keep the tasks, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for command in self._book.unfinished():
                self._tasks.create_task(self._resume(command), name=f"command-{command.id}")
            await asyncio.get_running_loop().create_future()

    def begin(self, command: Command, devices: Sequence[Device]) -> None:
        """Set an accepted command going; what it supersedes is stopped."""
        for superseded in command.record.claims.supersedes:
            other = self._book.active(superseded)
            if other is not None:
                self._runner.stop(other, f"superseded by {command.id}", command.who)
        self._tasks.create_task(self._live(command, devices), name=f"command-{command.id}")

    # --- one life -----------------------------------------------------------------------------

    async def _live(self, command: Command, devices: Sequence[Device]) -> None:
        try:
            if await self._may_begin(command):
                await self._execute(command, devices)
                self._end(command)
        except Exception:
            log.exception("a command failed unexpectedly", extra={"command": command.id})
            self._break(command)
        await self._book.close(command)

    def _end(self, command: Command) -> None:
        if not command.final:
            self._runner.end(command)

    def _break(self, command: Command) -> None:
        """A fault of ours ends the command, and nothing else."""
        if not command.final:
            command.move(State.FAILED, self._clock.now(), "internal error, see the log")
        self._reporter.close_pages(command)

    async def _may_begin(self, command: Command) -> bool:
        """Wait for its time and for a second person; False where its life is over before."""
        record = command.record
        while True:
            now = self._clock.now()
            if command.stop_words is not None:
                command.move(State.CANCELLED, now, command.stop_words)
                return False
            if now >= record.expires_at:
                missing = f"still waiting for {record.waiting_for}" if record.waiting_for else ""
                command.move(State.TIMED_OUT, now, f"expired before it began; {missing}")
                return False
            waiting, until = self._waits_for(command, now)
            if waiting is None:
                return True
            if record.waiting_for != waiting:
                command.move(State.SCHEDULED, now, f"waits: {waiting}", waiting_for=waiting)
                self._reporter.tell(command)
            await wait_for_change(command, until - now)

    def _waits_for(self, command: Command, now: float) -> tuple[str | None, float]:
        claims, record = command.record.claims, command.record
        if claims.dry_run:
            return None, now
        if record.approved_by is None and two_person(claims.verb, self.two_person):
            return "approval", record.expires_at
        if claims.nbf is not None and claims.nbf > now:
            return "not_before", min(claims.nbf, record.expires_at)
        return None, now

    async def _execute(self, command: Command, devices: Sequence[Device]) -> None:
        verb = command.record.claims.verb
        if command.record.claims.dry_run:
            self._foretell(command, devices)
        elif verb in NODE_VERBS:
            await self._tell_node(command)
        elif verb == READ_NOW:
            self._executing(command)
            gate = CommandGate(command, self._journal, self._clock, sheds=False)
            await self._reader.run(command, devices, gate)
        else:
            await self._runner.run(command, devices)

    def _executing(self, command: Command) -> None:
        if command.record.state is State.EXECUTING:
            return
        command.move(State.EXECUTING, self._clock.now(), "under way")
        self._reporter.tell(command)

    def _foretell(self, command: Command, devices: Sequence[Device]) -> None:
        if command.record.claims.verb not in VERBS:
            return
        order = self._admission.order(command)
        results = [dry_run.foretold(self._control, order, device) for device in devices]
        for result in results:
            self._runner.note(command, result)
        command.record.watts = dry_run.watts(results)

    async def _tell_node(self, command: Command) -> None:
        row, now = NODE_VERBS[command.record.claims.verb], self._clock.now
        params: Any = row.checked(command.record.claims.params)
        try:
            words = await row.run(self.services, params, command)
        except Rejected as error:
            command.record.reason = error.reason
            command.move(State.FAILED, now(), error.words)
        except AgentError as error:
            command.move(State.FAILED, now(), str(error))
        else:
            command.move(State.SUCCEEDED, now(), words)

    # --- after a restart ----------------------------------------------------------------------

    async def _resume(self, command: Command) -> None:
        """Go on with a command that an earlier run of the agent left."""
        command.record.seq += LEAP
        kept = await self._book.kept(command.id)
        devices = [device for each in kept.targets if (device := self._inventory.by_id(each))]
        if not kept.marks and not kept.results:
            await self._live(command, devices)
            return
        command.record.done, command.record.verdicts = 0, {}
        for result in kept.results:
            command.count(result.verdict)
            self._reporter.result(command, result)
        settled = {each.device_id for each in kept.results}
        left = [device for device in devices if device.id not in settled]
        try:
            await self._take_up(command, left, kept.marks)
            self._note_vanished(command)
            self._end(command)
        except Exception:
            log.exception("a command was not taken up", extra={"command": command.id})
            self._break(command)
        await self._book.close(command)

    async def _take_up(self, command: Command, left: list[Device], marks: dict[str, float]) -> None:
        if command.record.state is not State.EXECUTING:
            command.move(State.EXECUTING, self._clock.now(), "taken up after a restart")
        self._reporter.tell(command)
        marked = [device for device in left if device.id in marks]
        unsent = [device for device in left if device.id not in marks]
        async with asyncio.TaskGroup() as group:
            if marked:
                order = self._admission.order(command)
                for device in marked:
                    looking = self._look_back(command, order, device, marks[device.id])
                    group.create_task(looking)
            if unsent:
                group.create_task(self._execute(command, unsent))

    async def _look_back(
        self, command: Command, order: Order, device: Device, marked_at: float
    ) -> None:
        result: Result = await self._readback.settle(device, order.verb, order.params, marked_at)
        self._runner.note(command, told(result))

    def _note_vanished(self, command: Command) -> None:
        """Devices that are not known any more: nobody can say what became of them."""
        missing = command.record.targets - command.record.done
        if missing > 0:
            words = "%d devices of a command are not known any more"
            log.warning(words, missing, extra={"command": command.id})
            command.record.verdicts[Verdict.INTERRUPTED] = (
                command.record.verdicts.get(Verdict.INTERRUPTED, 0) + missing
            )
            command.record.done += missing
