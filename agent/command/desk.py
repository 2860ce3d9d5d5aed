"""Orders and locks as a person on this host gives them: requests in, lines of JSON out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from agent.command.control import Control
from agent.errors import AgentError


class Desk:
    """Answers for the control socket. Every method yields encoded JSON, and raises `AgentError`."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def act(
        self, target: str, verb: str, params: dict[str, Any], who: str
    ) -> AsyncIterator[bytes]:
        """Give an order: what was begun, each result as it comes, and the counts at the end.

        Whoever hangs up before the end has not undone the order.
        """
        control = self._control
        job = control.begin(control.order(verb, params, target, who))
        begun = {"order": job.order.id, "verb": verb, "who": who, "devices": len(job.devices)}
        yield msgspec.json.encode({"begun": begun})
        async for result in job.follow():
            yield msgspec.json.encode({"result": result})
        yield msgspec.json.encode({"ended": {"verdicts": job.counts()}})

    async def lock(self, scope: str, reason: str, who: str) -> AsyncIterator[bytes]:
        """Lock out; tells the lock that holds, which may be somebody else's."""
        if not reason.strip():
            raise AgentError("a lock needs a reason: who finds it must know why it is there")
        lock = await self._control.lock(scope, reason.strip(), who)
        yield msgspec.json.encode({"lock": lock, "devices": self._control.held_by(lock)})

    async def unlock(self, scope: str, who: str) -> AsyncIterator[bytes]:
        """Lift a lock."""
        yield msgspec.json.encode({"unlocked": await self._control.unlock(scope, who)})

    async def locks(self) -> AsyncIterator[bytes]:
        """Every lock that holds."""
        yield msgspec.json.encode({"locks": list(self._control.locks)})
