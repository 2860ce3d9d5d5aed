"""What happens, made into events: from the child, from the keeper, and from what readings show."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from drivers.gpu.answers import Event, EventKind
from drivers.gpu.errands import Noticed
from drivers.gpu.ring import Ring
from drivers.gpu.roll import Roll

log = logging.getLogger("stoker.gpu")

RECOVERY_CHANGED_XID = 154
_QUIET = frozenset({EventKind.GPU_FOUND, EventKind.CHILD_STARTED, EventKind.EVENTS_HEARD})


class Gazette:
    """Numbers and logs events. Asks for what an event does not say itself."""

    def __init__(self, ring: Ring, roll: Callable[[], Roll]) -> None:
        self._ring = ring
        self._roll = roll
        self._actions: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.look_at: Callable[[str], Coroutine[Any, Any, None]] | None = None
        """Reads a GPU, so that `note_action` learns what its driver wants done."""
        self.child_started: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.hears = True

    def tell(
        self, kind: EventKind, message: str, *, uuid: str | None = None, operation: str = ""
    ) -> None:
        """Something happened at the supervisor."""
        self._add(kind, message, uuid=uuid, operation=operation or None)
        if kind is EventKind.CHILD_STARTED:
            self.hears = True
            if self.child_started is not None:
                self._start(self.child_started())

    def noticed(self, noticed: Noticed) -> None:
        """The driver told something."""
        if noticed.kind in (EventKind.EVENTS_DEAF, EventKind.EVENTS_HEARD):
            self.hears = noticed.kind is EventKind.EVENTS_HEARD
        action_changed = noticed.kind is EventKind.RECOVERY_ACTION
        if not action_changed:
            self._add(
                noticed.kind,
                noticed.message,
                at=noticed.at,
                uuid=noticed.uuid,
                xid=noticed.xid,
                gpu_instance=noticed.gpu_instance,
                compute_instance=noticed.compute_instance,
            )
        asks = action_changed or noticed.xid == RECOVERY_CHANGED_XID
        if asks and noticed.uuid and self.look_at is not None:
            self._start(self.look_at(noticed.uuid))

    def note_action(self, uuid: str, action: str | None) -> None:
        """A reading shows what the driver wants done; told where it is something new."""
        before = self._actions.get(uuid, "none")
        if action is None or action == before:
            return
        self._actions[uuid] = action
        message = f"the driver wants: {action}, before {before}"
        self._add(EventKind.RECOVERY_ACTION, message, uuid=uuid, recovery_action=action)

    def reset(self, uuid: str, words: str) -> None:
        """A GPU was reset."""
        self._add(EventKind.RESET, words or "it was reset", uuid=uuid)

    def released(self, why: str) -> None:
        """All GPUs were let go."""
        self._add(EventKind.RELEASED, why)

    def resumed(self, why: str) -> None:
        """They were taken up again."""
        self._add(EventKind.RESUMED, why)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add(
        self,
        kind: EventKind,
        message: str,
        *,
        at: float | None = None,
        uuid: str | None = None,
        **more: Any,
    ) -> None:
        address = self._roll().address_of(uuid) if uuid else None
        event = Event(
            seq=0,
            at=time.time() if at is None else at,
            kind=kind,
            message=message,
            uuid=uuid or None,
            pci_address=address,
            **more,
        )
        level = logging.INFO if kind in _QUIET else logging.WARNING
        log.log(level, "%s%s: %s", kind, f" {address or uuid}" if uuid else "", message)
        self._ring.add(event)
