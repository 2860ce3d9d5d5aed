"""Effects that were proved and are gone later: a firmware that forgets, a rival hand. Pure."""

from __future__ import annotations

from collections.abc import Callable

from drivers.actions import Expectation, Relation, Watched, is_denied
from drivers.model import Reading

_RELATIVE = frozenset({Relation.AT_MOST_OF_BEFORE, Relation.BELOW_BEFORE, Relation.BEGUN_SINCE})


class Drift:
    """Remembers what was proved of each device, aspect by aspect, until a reading shows otherwise.

    An aspect (sleep, power, pools ...) is what verbs that replace each other's effects share.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        """Called with device id and verb when a proved effect is gone."""
        self._held: dict[str, dict[str, tuple[str, Expectation]]] = {}

    def hold(self, device_id: str, aspect: str, verb: str, wanted: Expectation) -> None:
        """Remember an effect that has been proved."""
        if _lasts(wanted):
            self._held.setdefault(device_id, {})[aspect] = verb, wanted

    def release(self, device_id: str, aspect: str) -> None:
        """Forget an effect: something else is wanted now."""
        held = self._held.get(device_id)
        if held is not None:
            held.pop(aspect, None)
            if not held:
                del self._held[device_id]

    def observe(self, device_id: str, reading: Reading) -> None:
        """Hold a reading against what was proved; what is gone is told once."""
        for aspect, (verb, wanted) in list(self._held.get(device_id, {}).items()):
            if is_denied(wanted, reading, reading):
                self.release(device_id, aspect)
                self._tell(device_id, verb)


def _lasts(wanted: Expectation) -> bool:
    """True for a state; a reboot shows once, against the reading before."""
    relations = {check.relation for group in wanted.any_of for check in group}
    return wanted.watched is Watched.READING and not relations & _RELATIVE
