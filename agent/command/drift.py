"""Effects that were proved, and are seen to be gone later: a firmware that forgets, a rival hand."""

from __future__ import annotations

from collections.abc import Callable

from drivers.actions import Expectation, Receipt, Relation, Watched, is_denied
from drivers.model import Reading

_RELATIVE = frozenset({Relation.AT_MOST_OF_BEFORE, Relation.BELOW_BEFORE})


class Drift:
    """Remembers by device and verb what was proved, until a reading shows the contrary."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        """Called with device id and verb when a proved effect is gone."""
        self._held: dict[str, dict[str, Expectation]] = {}

    def hold(self, device_id: str, verb: str, receipt: Receipt, replaces: tuple[str, ...]) -> None:
        """Remember an effect; `replaces` are verbs whose effects it ends (resume ends pause)."""
        held = self._held.setdefault(device_id, {})
        for other in replaces:
            held.pop(other, None)
        wanted = receipt.expectation
        if wanted is not None and _lasts(wanted):
            held[verb] = wanted
        if not held:
            del self._held[device_id]

    def observe(self, device_id: str, reading: Reading) -> None:
        """Hold a reading against what was proved."""
        held = self._held.get(device_id)
        if held is None:
            return
        gone = [verb for verb, wanted in held.items() if is_denied(wanted, reading, reading)]
        for verb in gone:
            del held[verb]
            self._tell(device_id, verb)
        if not held:
            del self._held[device_id]


def _lasts(wanted: Expectation) -> bool:
    """True for a state; a reboot shows once, against the reading before."""
    relations = {check.relation for group in wanted.any_of for check in group}
    return wanted.watched is Watched.READING and not relations & _RELATIVE
