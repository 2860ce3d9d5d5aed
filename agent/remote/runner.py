"""Sends a command to its devices, wave after wave, and notes each result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence

import msgspec

from agent.command.effects import Verdict
from agent.command.orders import Job, Order, Result
from agent.fleet.inventory import Device
from agent.remote.admission import Admission, sheds
from agent.remote.command import Command, outcome
from agent.remote.gate import CommandGate
from agent.remote.messages import DeviceResult, State
from agent.remote.parts import Parts
from agent.remote.reasons import Reason
from agent.remote.reporter import Reporter

log = logging.getLogger("stoker.remote")

LOOK_S = 5.0
"""The clock of the wall may be set: how long a wait for a moment of it lasts without a look."""


class Runner:
    """Runs commands over devices."""

    def __init__(self, parts: Parts, admission: Admission, reporter: Reporter) -> None:
        self._control = parts.control
        self._journal = parts.journal
        self._clock = parts.clock
        self._admission = admission
        self._reporter = reporter
        self._jobs: dict[str, Job] = {}

    def stop(self, command: Command, words: str, by: str) -> None:
        """Send nothing more of a command; what was sent is followed to its proof."""
        command.stop(words, by)
        self._withdraw(command)

    def _withdraw(self, command: Command) -> None:
        job = self._jobs.get(command.id)
        if job is not None:
            self._control.dispatcher.withdraw(job)

    async def run(self, command: Command, devices: Sequence[Device]) -> None:
        """Send it to every device, and wait for the last proof; the results are noted."""
        first = self._admission.order(command)
        gate = CommandGate(
            command,
            self._journal,
            self._clock,
            sheds=all(sheds(first, device) for device in devices),
        )
        order = msgspec.structs.replace(first, gate=gate)
        for number, wave in enumerate(_waves(devices, command)):
            if number:
                await self._pause(command)
            await self._run_wave(command, order, gate, wave)
            self._judge_rollout(command)

    async def _run_wave(
        self, command: Command, order: Order, gate: CommandGate, wave: Sequence[Device]
    ) -> None:
        held = gate.held(wave[0])
        if held is not None:
            for device in wave:
                self.note(command, unsent(device, held.verdict, held.words))
            return
        if command.record.state is not State.EXECUTING:
            command.move(State.EXECUTING, self._clock.now(), f"sent to {len(wave)} devices")
            self._reporter.tell(command)
        job = self._jobs[command.id] = self._control.submit(order, list(wave))
        over = asyncio.get_running_loop().call_later(
            max(command.record.expires_at - self._clock.now(), 0.0), self._withdraw, command
        )
        try:
            async for result in job.follow():
                self.note(command, told(result))
        finally:
            over.cancel()
            self._jobs.pop(command.id, None)

    async def _pause(self, command: Command) -> None:
        """Wait between waves; shorter where the command is stopped meanwhile."""
        rollout = command.record.claims.rollout
        pause_s = rollout.pause_s if rollout else 0.0
        if pause_s <= 0 or command.stop_words is not None:
            return
        command.move(State.SCHEDULED, self._clock.now(), "a wave is over", waiting_for="pause")
        self._reporter.tell(command)
        until = self._clock.monotonic() + pause_s
        while (left_s := until - self._clock.monotonic()) > 0 and command.stop_words is None:
            await wait_for_change(command, left_s)

    def _judge_rollout(self, command: Command) -> None:
        rollout, record = command.record.claims.rollout, command.record
        if rollout is None or not record.done or command.stop_words is not None:
            return
        good = sum(count for name, count in record.verdicts.items() if Verdict(name).good)
        failed = record.done - good
        if failed / record.done > rollout.stop_above:
            self.stop(
                command,
                f"the rollout stopped: {failed} of {record.done} devices did not do it",
                "stoker",
            )

    def note(self, command: Command, result: DeviceResult) -> None:
        """Take a device's result, from a run or from a look back after a restart."""
        command.count(result.verdict)
        self._journal.note_result(command.id, result.device_id, msgspec.json.encode(result))
        self._reporter.result(command, result)
        self._reporter.progress(command)

    def end(self, command: Command) -> None:
        """Everything has its result: say how it ended."""
        record = command.record
        counts = ", ".join(f"{count} {name}" for name, count in record.verdicts.items())
        words = command.stop_words if command.stop_words and not record.done else counts
        command.move(outcome(record.verdicts), self._clock.now(), words or "nothing was to be done")
        self._reporter.close_pages(command)


def _waves(devices: Sequence[Device], command: Command) -> Iterator[Sequence[Device]]:
    rollout = command.record.claims.rollout
    size = rollout.wave if rollout else max(len(devices), 1)
    for start in range(0, len(devices), size):
        yield devices[start : start + size]


async def wait_for_change(command: Command, most_s: float) -> None:
    """Until a command is approved or stopped, or it is time to look at the clock again."""
    command.changed.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(min(most_s, LOOK_S), 0.001)):
            await command.changed.wait()


def told(result: Result) -> DeviceResult:
    """A result as it is published."""
    return DeviceResult(
        device_id=result.device_id,
        address=result.address,
        verdict=result.verdict,
        words=result.words,
        reason=Reason(result.reason) if result.reason else None,
        answer=result.answer,
        before=result.before,
        after=result.after,
        answered_s=result.answered_s,
        proved_s=result.proved_s,
    )


def unsent(device: Device, verdict: Verdict, words: str) -> DeviceResult:
    """The result of a device that was not sent to."""
    return DeviceResult(device_id=device.id, address=device.address, verdict=verdict, words=words)
