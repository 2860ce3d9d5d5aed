"""Sessions of LuxOS: the lock that its writing commands want, taken for one action and given back.

Source: Luxor's documentation of `logon`, `logoff` and the sessions: there is one at a time, it is
the first word of a command's parameter, and it ends after a minute without use. Somebody else's is
waited for, and never used: `session` would tell it to anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from drivers.api import Clock
from drivers.asic.fields import text
from drivers.errors import BadReply, DriverError, Refused
from drivers.wire.cgminer import CgminerRpc, rows, status_of
from drivers.wire.deadline import Deadline

BUSY = 402
AGAIN_S = 1.0
"""How long to wait before asking for a session again that somebody else has."""
WAIT_S = 8.0
"""How long to go on asking: most hold a session for the seconds of one change."""
LOGOFF_S = 3.0


@asynccontextmanager
async def session(rpc: CgminerRpc, clock: Clock) -> AsyncIterator[str]:
    """Hold a session for the block, and give it back however the block ends.

    Raises `Refused` where somebody else has one and does not give it back in time.
    """
    token = await _log_on(rpc, Deadline(clock, WAIT_S))
    try:
        yield token
    finally:
        with suppress(DriverError):  # it ends by itself; a machine that reboots has none
            await rpc.ask("logoff", token, deadline=Deadline(clock, LOGOFF_S))


async def _log_on(rpc: CgminerRpc, deadline: Deadline) -> str:
    while True:
        try:
            return _token(await rpc.ask("logon", deadline=deadline))
        except Refused as error:
            if error.code != BUSY:
                raise
            if deadline.left_s() <= AGAIN_S:
                words = "another's session is open on the miner, and it was left alone"
                raise Refused(BUSY, words) from None
        await asyncio.sleep(AGAIN_S)


def _token(reply: dict[str, object]) -> str:
    found = next((text(row.get("SessionID")) for row in rows(reply, "SESSION")), None)
    if found is None:
        raise BadReply("logon: no session")
    return found


async def speak(rpc: CgminerRpc, deadline: Deadline, command: str, *words: str) -> str:
    """Send a command with its words, and give the device's; raises as `CgminerRpc.ask` does."""
    reply = await rpc.ask(command, ",".join(words), deadline=deadline)
    return status_of(reply).message
