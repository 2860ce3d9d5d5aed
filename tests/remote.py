"""Commands from afar over a fleet in memory: messages in, statements out, no broker between."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from agent.config.commands import Commands, SigningKey
from agent.mqtt.events import Message
from agent.mqtt.topics import Topics
from agent.remote.parts import Deeds, Parts
from agent.remote.remote import Remote
from agent.store.audit import AuditLog
from agent.store.journal import Journal
from agent.telemetry.outbox import Outbox
from tests.commands import Signer
from tests.fakes import kept
from tests.unit.test_command_dispatch import House, house

TOPICS = Topics("test", "n1")


async def _reload(_who: str) -> str:
    return "reloaded"


class RemoteHouse:
    """A house that takes signed commands, and what it answers."""

    def __init__(self, inside: House, outbox: Outbox, remote: Remote) -> None:
        self.inside = inside
        self.remote = remote
        self._outbox = outbox

    def claims(self, verb: str, target: Any = None, **more: Any) -> dict[str, Any]:
        """Claims of now."""
        now = self.inside.clock.now()
        said = {"jti": uuid.uuid4().hex, "aud": "test", "iat": now, "exp": now + 3000, "verb": verb}
        return {**said, **({} if target is None else {"target": target}), **more}

    def say(self, payload: bytes, command_id: str, **more: Any) -> None:
        """A message as the broker would bring it."""
        topic = f"{TOPICS.root}/cmd/{command_id}"
        self.remote.on_message(Message(topic, payload, qos=1, retain=False, **more))

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What has been put out since last asked, oldest first."""
        found = []
        while (taken := self._outbox.take()) is not None:
            token, letter = taken
            self._outbox.arrived(token)
            if letter.payload:
                found.append((letter.topic, json.loads(letter.payload)))
        return found


def ring(*signers: Signer, **more: Any) -> Commands:
    """A key ring in which every signer may do everything that is not dangerous."""
    keys = tuple(
        SigningKey(id=each.key_id, public_key=each.public, verbs=("*",), per_minute=100_000)
        for each in signers
    )
    return Commands(key=keys, clock="trusted", **more)


@asynccontextmanager
async def remote_house(
    directory: Path,
    count: int,
    commands: Commands,
    synchronised: Callable[[], bool | None] = lambda: True,
    **values: Any,
) -> AsyncIterator[RemoteHouse]:
    """A house of miners and its commands, running."""
    async with AsyncExitStack() as stack:
        inside = await stack.enter_async_context(house(count, **values))
        journal = await stack.enter_async_context(Journal(directory / "commands.db", inside.clock))
        audit = await stack.enter_async_context(AuditLog(directory / "audit", inside.clock))
        outbox = Outbox()
        parts = Parts(
            site="test",
            topics=TOPICS,
            control=inside.control,
            inventory=inside.fleet.inventory,
            poller=inside.fleet.poller,
            outbox=outbox,
            journal=journal,
            audit=audit,
            clock=inside.clock,
            pump=lambda: None,
            expires=lambda: True,
            synchronised=synchronised,
            tell=inside.fleet.sink.event,
            deeds=Deeds(
                scan=lambda: "searching",
                reload=_reload,
                keyframe=lambda: "begun",
                publish_inventory=lambda: "published",
            ),
        )
        remote = Remote(commands, parts)
        remote.book.load(await journal.entries())
        for _, part in remote.parts():
            await stack.enter_async_context(kept(part))
        yield RemoteHouse(inside, outbox, remote)
