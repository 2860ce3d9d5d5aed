"""What a node does when it is told something itself: locks, sweeps, approvals, cancels."""

from __future__ import annotations

from collections.abc import Callable

from agent.command.targets import parse
from agent.remote.book import Book
from agent.remote.claims import Target
from agent.remote.command import Command
from agent.remote.parts import Parts
from agent.remote.reasons import Reason, Rejected
from agent.remote.ring import Key, Ring
from agent.remote.runner import Runner
from agent.remote.selecting import chosen

AFAR = "key:"
"""How senders from afar are named; all others are people on this host."""


class NodeServices:
    """Does what node verbs say."""

    def __init__(self, parts: Parts, book: Book, runner: Runner, ring: Callable[[], Ring]) -> None:
        self._control = parts.control
        self._inventory = parts.inventory
        self._site = parts.site
        self._deeds = parts.deeds
        self._book = book
        self._runner = runner
        self._ring = ring

    async def set_lock(self, scope: str, reason: str, who: str) -> str:
        """Lock out."""
        lock = await self._control.lock(scope, reason, who)
        return f"{lock} ({self._control.held_by(lock)} devices)"

    async def clear_lock(self, scope: str, who: str) -> str:
        """Lift a lock; who locks on the spot works there, and lifts it there."""
        scope = str(parse(scope))
        for lock in self._control.locks:
            if lock.scope == scope and not lock.who.startswith(AFAR):
                raise Rejected(Reason.NOT_PERMITTED, f"set on the spot, lifted on the spot: {lock}")
        lifted = await self._control.unlock(scope, who)
        return f"{lifted.scope} is not locked any more"

    async def scan(self) -> str:
        """Sweep every range now."""
        return self._deeds.scan()

    async def reload(self, who: str) -> str:
        """Read the configuration again."""
        return await self._deeds.reload(who)

    async def keyframe(self) -> str:
        """Begin a new chain of frames."""
        return self._deeds.keyframe()

    async def publish_inventory(self) -> str:
        """Publish every page again."""
        return self._deeds.publish_inventory()

    async def release_gpus(self, for_s: float, reason: str, who: str) -> str:
        """Let go of all GPUs of this host."""
        return await self._control.gpus.let_go(for_s, reason, who)

    async def resume_gpus(self, who: str) -> str:
        """Take them up again."""
        return await self._control.gpus.take_up(who)

    async def cancel(self, command_id: str, by: Command) -> str:
        """Send nothing more of a command."""
        command = self._under_way(command_id)
        self._runner.stop(command, f"cancelled by {by.who}", by.who)
        await self._book.keep(command)
        return f"nothing more of {command_id} is sent"

    async def approve(self, command_id: str, digest: str, by: Command) -> str:
        """Let a command go on; raises `Rejected` where that is not this person's to say."""
        command = self._under_way(command_id)
        record = command.record
        if record.waiting_for != "approval":
            raise Rejected(Reason.UNKNOWN_COMMAND, f"{command_id} waits for no approval")
        if record.digest != digest:
            raise Rejected(Reason.ID_REUSED, f"{command_id} has another digest: {record.digest}")
        if record.key == by.record.key or record.owner == by.record.owner is not None:
            raise Rejected(
                Reason.NOT_PERMITTED,
                f"{record.owner or record.key} may not approve his own command",
            )
        self._check_rights(self._ring().key(by.record.key), command)
        command.approve(by.who)
        await self._book.keep(command)
        return f"{command_id} is approved"

    def _under_way(self, command_id: str) -> Command:
        command = self._book.active(command_id)
        if command is None:
            raise Rejected(Reason.UNKNOWN_COMMAND, f"no command {command_id} is under way here")
        return command

    def _check_rights(self, key: Key | None, command: Command) -> None:
        verb = command.record.claims.verb
        if key is None or not key.may_approve(verb):
            raise Rejected(Reason.NOT_PERMITTED, f"the key may not approve {verb}")
        target: Target | None = command.record.claims.target
        devices = chosen(target, self._inventory, self._site) if target else []
        beyond = sum(not key.covers(device) for device in devices)
        if beyond:
            raise Rejected(
                Reason.NOT_PERMITTED,
                f"{beyond} of its devices are beyond the kinds and tags of {key.id}",
            )
