"""`read.now`: reads devices for a command, beside their schedule, and publishes what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agent.command.effects import Verdict
from agent.command.orders import evidence
from agent.fleet.inventory import Device
from agent.fleet.poller import Poller
from agent.remote.command import Command
from agent.remote.gate import CommandGate
from agent.remote.messages import DeviceResult
from agent.remote.runner import unsent
from drivers.model import Reading

AT_ONCE = 64


class Reader:
    """Reads the devices of commands; of all commands together `AT_ONCE` at a time."""

    def __init__(self, poller: Poller, note: Callable[[Command, DeviceResult], None]) -> None:
        self._poller = poller
        self._note = note
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, command: Command, devices: Sequence[Device], gate: CommandGate) -> None:
        """Read them all."""
        async with asyncio.TaskGroup() as group:
            for device in devices:
                await self._room.acquire()
                group.create_task(self._read(command, device, gate))

    async def _read(self, command: Command, device: Device, gate: CommandGate) -> None:
        try:
            held = gate.held(device)
            if held is not None:
                self._note(command, unsent(device, held.verdict, held.words))
                return
            before = device.last
            await self._poller.look(device)
            self._note(command, _seen(device, before))
        finally:
            self._room.release()


def _seen(device: Device, before: Reading | None) -> DeviceResult:
    """`look` raises nothing: whether it answered shows in its having another reading."""
    reading = device.last
    if reading is None or reading is before:
        words = "it did not answer, or not as itself"
        return unsent(device, Verdict.FAILED, words)
    return DeviceResult(
        device_id=device.id,
        address=device.address,
        verdict=Verdict.VERIFIED,
        words="read",
        after=evidence(reading),
    )
