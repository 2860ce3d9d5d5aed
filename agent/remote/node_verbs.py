"""What can be ordered of the node itself: a table beside the one of what its devices can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from agent.command.params import Params, checked
from agent.remote.claims import CommandId
from agent.remote.command import Command

Sentence = Annotated[str, Meta(min_length=1, max_length=500)]
Scope = Annotated[str, Meta(min_length=1, max_length=500)]


class LockSet(Params, frozen=True):
    """Where nothing may be started or switched, and why."""

    scope: Scope
    reason: Sentence


class LockClear(Params, frozen=True):
    """The lock to lift; one that was set on the spot is lifted on the spot."""

    scope: Scope


class Approve(Params, frozen=True):
    """The command that may go on; the digest says that the very same bytes were looked at."""

    command: CommandId
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Cancel(Params, frozen=True):
    """The command of which nothing more is to be sent."""

    command: CommandId


class GpuRelease(Params, frozen=True):
    """For how long at the most, and why."""

    for_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    reason: Annotated[str, Meta(min_length=1, max_length=120)] = "on request"


class Services(Protocol):
    """What a node does beside ordering its devices about. Each tells what was done, in words.

    Raises `Rejected` or `AgentError` where it was not done.
    """

    async def set_lock(self, scope: str, reason: str, who: str) -> str:
        """Lock out."""

    async def clear_lock(self, scope: str, who: str) -> str:
        """Lift a lock that was set from afar."""

    async def scan(self) -> str:
        """Sweep every range now."""

    async def reload(self, who: str) -> str:
        """Read the configuration again, and apply what can be applied."""

    async def keyframe(self) -> str:
        """Begin a new chain of `compact` frames, with everything."""

    async def publish_inventory(self) -> str:
        """Publish every page and the manifest again."""

    async def release_gpus(self, for_s: float, reason: str, who: str) -> str:
        """Let go of all GPUs, for so long at the most."""

    async def resume_gpus(self, who: str) -> str:
        """Take them up again."""

    async def approve(self, command_id: str, digest: str, by: Command) -> str:
        """Let a command go on that waits for a second person."""

    async def cancel(self, command_id: str, by: Command) -> str:
        """Send nothing more of a command."""


class NodeVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a node can be told."""

    name: str
    params: type[Params] = Params
    run: Callable[[Services, Any, Command], Awaitable[str]]
    expiry_s: float = 60.0

    def checked(self, params: dict[str, Any]) -> Params:
        """The parameters; raises `AgentError` saying what is wrong with them."""
        return checked(self.name, params, self.params)


_ROWS = (
    NodeVerb(
        name="lock.set",
        params=LockSet,
        run=lambda node, params, by: node.set_lock(params.scope, params.reason, by.who),
        expiry_s=3600.0,
    ),
    NodeVerb(
        name="lock.clear",
        params=LockClear,
        run=lambda node, params, by: node.clear_lock(params.scope, by.who),
    ),
    NodeVerb(name="discovery.scan", run=lambda node, _, __: node.scan()),
    NodeVerb(name="config.reload", run=lambda node, _, by: node.reload(by.who)),
    NodeVerb(name="telemetry.keyframe", run=lambda node, _, __: node.keyframe()),
    NodeVerb(name="inventory.publish", run=lambda node, _, __: node.publish_inventory()),
    NodeVerb(
        name="gpu.release",
        params=GpuRelease,
        run=lambda node, params, by: node.release_gpus(params.for_s, params.reason, by.who),
    ),
    NodeVerb(name="gpu.resume", run=lambda node, _, by: node.resume_gpus(by.who)),
    NodeVerb(
        name="command.approve",
        params=Approve,
        run=lambda node, params, by: node.approve(params.command, params.digest, by),
        expiry_s=600.0,
    ),
    NodeVerb(
        name="command.cancel",
        params=Cancel,
        run=lambda node, params, by: node.cancel(params.command, by),
    ),
)
NODE_VERBS: dict[str, NodeVerb] = {verb.name: verb for verb in _ROWS}
READ_NOW = "read.now"
"""Reads devices and publishes what they say: it needs no right to act on them."""
