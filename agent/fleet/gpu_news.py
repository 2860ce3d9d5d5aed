"""What happens to this host's GPUs, made into events: once each, counted, with what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.fleet import quarantine
from agent.fleet.events import Event
from agent.fleet.flood import Flood
from agent.fleet.gpu_record import GpuRecord
from agent.fleet.quarantine import Quarantine, Reason
from drivers.api import Clock
from drivers.api_gpu import Happened, Happening
from drivers.model import Reading
from drivers.model_gpu import GpuReading

log = logging.getLogger("stoker.gpu")

Tell = Callable[[Event], None]
NOTHING = "none"
_QUIET = frozenset({Happened.FOUND, Happened.OTHER})
"""Told by the inventory, or logged by the service itself."""
_MENDS = {
    Happened.RESET: "reset",
    Happened.BACK: "back",
    Happened.DRIVER: "driver",
}
"""After what a GPU in quarantine may be well again."""
_NAMES = {
    Happened.ADVICE: "gpu.recovery",
    Happened.LOST: "gpu.lost",
    Happened.BACK: "gpu.back",
    Happened.UNAVAILABLE: "gpu.unavailable",
    Happened.HUNG: "gpu.hung",
    Happened.SLOW: "gpu.slow",
    Happened.FREED: "gpu.freed",
    Happened.RESET: "gpu.reset",
    Happened.RELEASED: "gpu.released",
    Happened.RESUMED: "gpu.resumed",
    Happened.DRIVER: "gpu.driver",
}


class GpuNews:
    """Takes happenings and readings; tells events, and knows which GPUs are in quarantine."""

    def __init__(self, record: GpuRecord, clock: Clock, tell: Tell) -> None:
        self._record = record
        self._clock = clock
        self._tell = tell
        self._flood = Flood()
        self._energy_restarts: dict[str, int] = {}
        if record.rebooted:
            for device_id in tuple(self.quarantines):
                self._mended(device_id, self._now(), "reboot")

    @property
    def quarantines(self) -> dict[str, Quarantine]:
        """Those that stand, by device."""
        return self._record.record.quarantines

    def take(self, heard: Happening) -> None:
        """Something happened, to a device whose id is known where it can be."""
        if heard.what is Happened.FAULT:
            self._fault(heard)
        elif heard.what not in _QUIET:
            details = {"action": heard.action} if heard.what is Happened.ADVICE else {}
            self._say(_NAMES[heard.what], heard.message, heard, details)
        if (
            heard.what is Happened.ADVICE
            and heard.device_id
            and heard.action not in (None, NOTHING)
        ):
            reason = Reason(f"recovery-{heard.action}", heard.message, heard.at)
            self._begin(heard.device_id, reason, heard.action or NOTHING)
        self._may_mend(heard)

    def tick(self) -> None:
        """Tell what was not told one by one, once that has ended."""
        for (who, code), untold in self._flood.ended(self._clock.monotonic()):
            if untold:
                count = self._record.record.counts.get(who, {}).get(code, untold)
                details = {"code": code, "count": count, "untold": untold}
                self._event("gpu.fault", f"{code}: {untold} more", who, details)

    def _fault(self, heard: Happening) -> None:
        who, code, meaning = heard.device_id or heard.address or "", heard.code or "", heard.meaning
        count = self._record.count(who, code)
        repeats = self._flood.repeats((who, code), self._clock.monotonic())
        if repeats is not None:
            self._say(
                "gpu.fault",
                heard.message,
                heard,
                {
                    "code": code,
                    "count": count,
                    "untold": repeats,
                    "title": meaning and meaning.title,
                    "severity": meaning and meaning.severity,
                    "cause": meaning and meaning.cause,
                    "action": meaning and meaning.action,
                    "quarantine": meaning and meaning.quarantine,
                    "note": (meaning and meaning.note) or None,
                    "source": heard.source,
                    "process": heard.process,
                    "gpu_instance": heard.gpu_instance,
                    "compute_instance": heard.compute_instance,
                },
            )
        if meaning and meaning.quarantine and heard.device_id:
            reason = Reason(code, heard.message, heard.at)
            self._begin(heard.device_id, reason, meaning.action)

    def _may_mend(self, heard: Happening) -> None:
        how = _MENDS.get(heard.what)
        if heard.what is Happened.ADVICE:
            how = "recovered" if heard.action == NOTHING else None
        if how is None:
            return
        concerned = [heard.device_id] if heard.device_id else list(self.quarantines)
        for device_id in concerned:
            self._mended(device_id, heard.at, how)

    # --- quarantine --------------------------------------------------------------------------

    def put(self, device_id: str, why: str, who: str) -> Quarantine:
        """Put a GPU into quarantine because a person says so, who has to end it as well."""
        return self._begin(device_id, Reason("ordered", why, self._now(), who), NOTHING)

    def lift(self, device_id: str, who: str) -> bool:
        """End a quarantine because a person says so; False where there is none."""
        if device_id not in self.quarantines:
            return False
        self._end(device_id, "lifted", who)
        return True

    def shown(self, device_id: str, reading: Reading) -> Reading:
        """The reading as it is to be published; it may end a quarantine."""
        self._note_restart(device_id, reading)
        standing = self.quarantines.get(device_id)
        if standing is None:
            return reading
        if quarantine.is_over(standing, reading):
            self._end(device_id, standing.mended_by or "", None)
            return reading
        return quarantine.shown(standing, reading)

    def _note_restart(self, device_id: str, reading: Reading) -> None:
        """The GPU's counters begin anew with a reset, and with its driver."""
        restarts = reading.energy_restarts if isinstance(reading, GpuReading) else None
        if restarts is None:
            return
        if restarts > self._energy_restarts.get(device_id, restarts):
            self._mended(device_id, reading.taken_at, "driver")
        self._energy_restarts[device_id] = restarts

    def _begin(self, device_id: str, reason: Reason, action: str) -> Quarantine:
        before = self.quarantines.get(device_id)
        now = quarantine.begun(before, reason, action, self._record.boot_id)
        self.quarantines[device_id] = now
        self._record.note()
        if before is None or before.reasons != now.reasons:
            details = {
                "reasons": list(quarantine.codes(now)),
                "action": now.action,
                "since": now.since,
                "who": reason.who,
            }
            self._event("gpu.quarantined", now.words, device_id, details)
        return now

    def _mended(self, device_id: str, at: datetime, how: str) -> None:
        if (standing := self.quarantines.get(device_id)) is not None:
            self.quarantines[device_id] = quarantine.mended(standing, at, how)
            self._record.note()

    def _end(self, device_id: str, how: str, who: str | None) -> None:
        ended = self.quarantines.pop(device_id)
        self._record.note()
        seconds = (self._now() - ended.since).total_seconds()
        details = {
            "reasons": list(quarantine.codes(ended)),
            "by": how,
            "since": ended.since,
            "after_s": max(0.0, round(seconds, 1)),
            "who": who,
        }
        words = f"lifted by {who}" if who else f"seen well after: {how}"
        self._event("gpu.recovered", words, device_id, details)

    # --- telling -----------------------------------------------------------------------------

    def _say(self, name: str, message: str, heard: Happening, details: dict[str, Any]) -> None:
        log.warning("%s: %s", name, message, extra={"device": heard.device_id})
        self._tell(
            Event(
                name=name,
                at=heard.at,
                message=message,
                device_id=heard.device_id,
                address=heard.address,
                details=_there(details),
            )
        )

    def _event(self, name: str, message: str, device_id: str, details: dict[str, Any]) -> None:
        log.warning("%s: %s", name, message, extra={"device": device_id})
        self._tell(
            Event(
                name=name,
                at=self._now(),
                message=message,
                device_id=device_id,
                details=_there(details),
            )
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


def _there(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if value is not None}
