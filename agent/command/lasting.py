"""Effects that last, and whether they still do: of GPUs they are kept, of others missed once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from agent.command.drift import Drift
from agent.command.orders import Order, Result
from agent.command.reconciler import Reconciler
from agent.fleet.events import Event
from agent.fleet.inventory import Device
from drivers.actions import Expectation
from drivers.api import Clock
from drivers.model import Kind, Reading

log = logging.getLogger("stoker.lasting")


class Lasting:
    """Told of orders and of readings."""

    def __init__(self, reconciler: Reconciler, clock: Clock, tell: Callable[[Event], None]) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._tell = tell
        self._drift = Drift(self._tell_drift)

    def sending(self, device: Device, order: Order) -> None:
        """An order is about to be sent: what it replaces is wanted no more."""
        if _is_kept(device):
            self._reconciler.sending(device, order)
        elif order.verb.aspect is not None:
            self._drift.release(device.id, order.verb.aspect)

    def proved(self, device: Device, order: Order, wanted: Expectation) -> None:
        """A reading has shown its effect."""
        if order.verb.aspect is not None and not _is_kept(device):
            self._drift.hold(device.id, order.verb.aspect, order.verb.name, wanted)

    def ended(self, device: Device, order: Order, result: Result) -> None:
        """It has its verdict."""
        if _is_kept(device):
            self._reconciler.ended(device, order, result)

    def observe(self, device: Device, reading: Reading) -> None:
        """Hold a reading against what was proved."""
        if _is_kept(device):
            self._reconciler.observe(device, reading)
        else:
            self._drift.observe(device.id, reading)

    def _tell_drift(self, device_id: str, verb: str) -> None:
        words = (
            f"{verb} was proved, and its effect is gone: the device forgot, or somebody undid it"
        )
        log.warning("action.undone: %s", words, extra={"device": device_id})
        self._tell(
            Event(
                name="action.undone",
                at=datetime.fromtimestamp(self._clock.now(), UTC),
                message=words,
                device_id=device_id,
                details={"verb": verb},
            )
        )


def _is_kept(device: Device) -> bool:
    """Whether what was set is kept over restarts, and may be put back: of what forgets it."""
    return device.identity.kind is Kind.GPU
