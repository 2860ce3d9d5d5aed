"""Brings what waits to the broker, as fast as its window allows, and keeps what it did not take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.mqtt.events import Events, Message, Outcome
from agent.mqtt.failure import Cause, LinkLost
from agent.mqtt.session import Session
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
        session, outbox = self.session, self._outbox
        while session.window > 0:
            taken = outbox.take()
            if taken is None:
                return
            token, letter = taken
            outcome = session.publish(letter.topic, letter.payload, retain=True, token=token)
            if outcome is Outcome.TOO_LARGE:
                log.error(
                    "%s: %d bytes are too many for the broker", letter.topic, len(letter.payload)
                )
                outbox.discard(token)
            elif not outcome:
                outbox.put_back([token])
                return

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
        self._outbox.arrived(token)
        self._progress.set()
        self.pump()

    def _refused(self, token: int, reason: int) -> None:
        log.error("the broker refused a message for good (reason code %d)", reason)
        self._outbox.discard(token)
        self.pump()
