"""What stands between a command and each device: its time, its being called off, its mark."""

from __future__ import annotations

from typing import Protocol

from agent.command.effects import Verdict
from agent.command.orders import Held
from agent.fleet.inventory import Device
from agent.remote.command import Command
from agent.store.memories import StoreError
from drivers.api import Clock


class Marks(Protocol):
    """Writes down what is about to be sent."""

    async def mark(self, command_id: str, device_id: str) -> None:
        """On disk when it returns; raises `StoreError` where that cannot be."""


class CommandGate:
    """The gate of one command's order."""

    def __init__(self, command: Command, marks: Marks, clock: Clock, *, sheds: bool) -> None:
        self._command = command
        self._marks = marks
        self._clock = clock
        self._sheds = sheds

    def held(self, device: Device) -> Held | None:
        """Why it is not sent to anybody any more."""
        if self._command.stop_words is not None:
            return Held(Verdict.CANCELLED, self._command.stop_words)
        if self._clock.now() >= self._command.record.expires_at:
            return Held(Verdict.EXPIRED, "not sent: the command's time was over")
        return None

    async def sending(self, device: Device) -> Held | None:
        """Mark a device before it is sent to, so that a crash leaves no doubt about it.

        What sheds is sent even where nothing can be written: a full disk must not keep a site
        from being shed, and a repeat of it is harmless.
        """
        try:
            await self._marks.mark(self._command.id, device.id)
        except StoreError as error:
            if not self._sheds:
                return Held(Verdict.CANCELLED, f"not sent: it cannot be written down ({error})")
        return self.held(device)
