"""Brings what waits to the broker, as fast as its window allows, and keeps what it did not take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.mqtt.events import Events, Message, Outcome
from agent.mqtt.failure import Cause, LinkLost
from agent.mqtt.session import Session
from agent.telemetry.letters import Letter
from agent.telemetry.outbox import Outbox

log = logging.getLogger("stoker.publisher")

_BLAMELESS = frozenset({Cause.STOPPED, Cause.TAKEN_OVER})  # no message can bring these about

GATHER_S = 0.01
"""At 1,000 readings a second a system call for each would cost a tenth of the CPU per poll."""


class Publisher:
    """Joins an outbox to a session. Call `pump_soon` after putting letters in."""

    def __init__(self, outbox: Outbox, on_connect: Callable[[], None]) -> None:
        self._outbox = outbox
        self._on_connect = on_connect
        self._pumping = False
        self._planned: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()
        self.session: Session  # set by the app: session and publisher know each other

    def events(self, on_message: Callable[[Message], None]) -> Events:
        """The callbacks for the session."""
        return Events(
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            on_puback=self._acknowledged,
            on_refused=self._refused,
            on_message=on_message,
        )

    def pump_soon(self) -> None:
        """Hand over within `GATHER_S`: many readings then leave in one packet."""
        if self._planned is None:
            self._planned = asyncio.get_running_loop().call_later(GATHER_S, self._pump_planned)

    def _pump_planned(self) -> None:
        self._planned = None
        self.pump()

    def pump(self) -> None:
        """Hand over letters until the window is full or nothing waits."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._hand_over()
        finally:
            self._pumping = False

    async def progress(self) -> None:
        """Wait for the next acknowledgement, or for the connection to change."""
        self._progress.clear()
        await self._progress.wait()

    def _hand_over(self) -> None:
        while self.session.window > 0:
            taken = self._outbox.take()
            if taken is None or not self._send(*taken):
                return

    def _send(self, token: int, letter: Letter) -> bool:
        """Hand a letter over, or give it up; false if the session takes none now."""
        try:
            outcome = self.session.publish(
                letter.topic,
                letter.payload,
                token=token,
                retain=letter.retain,
                expiry_s=letter.expiry_s,
                correlation=letter.correlation,
            )
        except ValueError as error:  # whoever asks for a reply may name any topic
            self._give_up(token, str(error))
            return True
        if outcome is Outcome.TOO_LARGE:
            self._give_up(token, f"{len(letter.payload)} bytes are too many for the broker")
            return True
        if not outcome:
            self._outbox.put_back([token])
        return bool(outcome)

    def _give_up(self, token: int, why: str) -> None:
        letter = self._outbox.discard(token)
        if letter is not None:
            log.error("%.80s: given up: %s", letter.topic, why)

    def _connected(self) -> None:
        self._on_connect()
        self.pump()

    def _disconnected(self, lost: LinkLost, tokens: Sequence[int]) -> None:
        if lost.cause in _BLAMELESS:
            self._outbox.put_back(tokens)
        elif poison := self._outbox.lost(tokens):
            log.error(
                "%s: given up, the connection was lost %d times in a row upon this message",
                poison.topic,
                poison.blamed,
            )
        self._progress.set()

    def _acknowledged(self, token: int) -> None:
        try:
            self._outbox.arrived(token)
        finally:  # whatever the letter's owner makes of it
            self._progress.set()
            self.pump()

    def _refused(self, token: int, reason: int) -> None:
        self._give_up(token, f"the broker refuses it for good (reason code {reason})")
        self.pump()
