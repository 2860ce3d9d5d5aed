"""The oracle of delivery: what the simulator answered, held against what a consumer received.

Every poll of which the last answer was complete more than a second before the agent was killed
must have been received as a reading, or lie in a gap record. Each answer is matched with one
reading and each reading with one answer, so that one lost reading among a million shows.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.answered import AT_RISK_S, Poll

SKEW_S = 0.05
"""The simulator notes an answer just after it has sent it."""
LATE_S = 10.0
"""No reading is dated later than this after its answer."""


class Number(NamedTuple):
    """What identifies a reading or an event for ever."""

    node: str
    boot_id: str
    stream: str
    seq: int


class Received(NamedTuple):
    """One reading or event as it came first."""

    digest: bytes
    topic: str
    device_id: str | None
    at: float
    """When the reading was taken, or the event happened (seconds since the epoch)."""


class Gap(NamedTuple):
    """One gap record: readings that the agent says are lost."""

    boot_id: str
    stream: str
    first_seq: int
    last_seq: int
    lost: int
    since: float
    until: float
    reason: str


class Verdict(NamedTuple):
    """What the comparison came to; `faults` is empty where nothing was lost unsaid."""

    owed: int
    received: int
    named: int
    """Polls that are missing and lie in a gap record."""
    faults: list[str]


class Ledger:
    """Everything that one consumer was ever sent, by number."""

    def __init__(self) -> None:
        self.by_number: dict[Number, Received] = {}
        self.gaps: list[Gap] = []
        self.addresses: dict[str, str] = {}
        """Where the inventory says that a device stands."""
        self.repeats = 0
        self.differing: list[tuple[Number, str, str]] = []
        """Numbers that came twice with different content, and on which topics."""

    def take(self, topic: str, content: Mapping[str, Any]) -> bool:
        """Enter a reading, an event or a page of the inventory; False for a repeated number."""
        if "/inventory/" in topic:
            for device in content.get("devices", ()) if "page" in content else ():
                self.addresses[device["identity"]["id"]] = device["address"]
            return True
        if content.get("stream") not in {"telemetry", "event"}:
            return True
        number = number_of(content)
        digest = hashlib.blake2b(_canonical(content), digest_size=16).digest()
        former = self.by_number.get(number)
        if former is not None:
            self.repeats += 1
            same_place = _without_history(former.topic) == _without_history(topic)
            if former.digest != digest or not same_place:
                self.differing.append((number, former.topic, topic))
            return False
        at = seconds(content["taken_at"] if content["stream"] == "telemetry" else content["at"])
        self.by_number[number] = Received(digest, topic, _device_read(content), at)
        if content.get("name") == "telemetry.gap":
            self.gaps.append(gap_of(content["details"]))
        return True

    def readings(self) -> dict[str, list[float]]:
        """When readings that a machine's answer made were taken, by address, in order."""
        found: dict[str, list[float]] = defaultdict(list)
        for number, received in self.by_number.items():
            if number.stream == "telemetry" and received.device_id is not None:
                found[self._address(received.device_id)].append(received.at)
        return {address: sorted(times) for address, times in found.items()}

    def _address(self, device_id: str) -> str:
        return self.addresses.get(device_id) or device_id.removeprefix("asic-at-")


def number_of(content: Mapping[str, Any]) -> Number:
    """The number that a reading or an event carries."""
    return Number(content["node"], content["boot_id"], content["stream"], int(content["seq"]))


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _without_history(topic: str) -> str:
    return topic.removesuffix("/hist").removesuffix("/live")


def _device_read(content: Mapping[str, Any]) -> str | None:
    """The miner whose answer this reading is; None for the host and for what did not answer."""
    if content["stream"] != "telemetry" or content.get("kind") != "asic":
        return None
    return None if content["state"] == "unreachable" else str(content["device_id"])


def seconds(moment: str | float) -> float:
    """Seconds since the epoch, of a moment in either form."""
    return moment if isinstance(moment, int | float) else datetime.fromisoformat(moment).timestamp()


def gap_of(details: Mapping[str, Any]) -> Gap:
    """A gap record as its event tells it."""
    first, last = int(details["first_seq"]), int(details["last_seq"])
    since, until = seconds(details["from"]), seconds(details["to"])
    stream, reason = str(details["stream"]), str(details["reason"])
    return Gap(details["boot_id"], stream, first, last, int(details["lost"]), since, until, reason)


# --- the comparison -------------------------------------------------------------------------


def compare(polls: Sequence[Poll], ledger: Ledger, kills: Sequence[float]) -> Verdict:
    """Hold what was answered against what was received."""
    missing, strays = match(polls, ledger.readings())
    unnamed = without_named(missing, ledger.gaps)
    holes = holes_in(ledger, kills)
    faults = [f"lost without a word: {_said(poll)}" for poll in unnamed]
    faults += [f"number {number} is missing and in no gap record" for number in holes]
    faults += [f"two contents of one number: {each}" for each in ledger.differing]
    faults += [f"a reading of {address} at {at:.3f} that no answer made" for address, at in strays]
    owed = sum(poll.owed for poll in polls)
    named = len(missing) - len(unnamed)
    return Verdict(owed, sum(map(len, ledger.readings().values())), named, faults)


def _said(poll: Poll) -> str:
    return f"{poll.address} at {poll.at:.3f} ({datetime.fromtimestamp(poll.at):%H:%M:%S})"


def match(
    polls: Sequence[Poll], readings: Mapping[str, Sequence[float]]
) -> tuple[list[Poll], list[tuple[str, float]]]:
    """The owed polls without a reading, and the readings without a poll."""
    by_address: dict[str, list[Poll]] = defaultdict(list)
    for poll in polls:
        by_address[poll.address].append(poll)
    missing: list[Poll] = []
    strays: list[tuple[str, float]] = []
    for address in by_address.keys() | readings.keys():
        answered = sorted(by_address[address], key=lambda poll: poll.at)
        unmatched, unexplained = _match_one(answered, sorted(readings.get(address, ())))
        missing += unmatched
        strays += [(address, at) for at in unexplained]
    return sorted(missing, key=lambda poll: poll.at), strays


def _match_one(polls: Sequence[Poll], readings: Sequence[float]) -> tuple[list[Poll], list[float]]:
    """A machine is asked one thing at a time: a reading belongs to the last answer before it.

    Backwards, so that of two that seem to belong to one answer the earlier takes the one before.
    """
    times = [poll.at for poll in polls]
    matched: set[int] = set()
    strays: list[float] = []
    later = len(polls)
    for taken_at in reversed(readings):
        place = min(bisect_right(times, taken_at + SKEW_S), later) - 1
        if place < 0 or taken_at - times[place] > LATE_S:
            strays.append(taken_at)
            continue
        matched.add(place)
        later = place
    return [poll for at, poll in enumerate(polls) if poll.owed and at not in matched], strays


def without_named(missing: Sequence[Poll], gaps: Sequence[Gap]) -> list[Poll]:
    """The missing polls that no gap record names; a record names as many as it says are lost."""
    room = Counter({gap: gap.lost for gap in set(gaps) if gap.stream == "telemetry"})
    unnamed: list[Poll] = []
    for poll in missing:
        fitting = [gap for gap in room if room[gap] and _covers(gap, poll.at)]
        if not fitting:
            unnamed.append(poll)
            continue
        room[min(fitting, key=lambda gap: gap.until)] -= 1
    return unnamed


def _covers(gap: Gap, at: float) -> bool:
    return gap.since - AT_RISK_S <= at <= gap.until + AT_RISK_S


def holes_in(ledger: Ledger, kills: Sequence[float]) -> list[Number]:
    """Numbers below one that was received, themselves not received and in no gap record.

    What was live may overtake what waited for the disk: in the last second before a kill the
    later number may be all that is left.
    """
    numbers: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for (node, boot_id, stream, seq), received in ledger.by_number.items():
        numbers[node, boot_id, stream][seq] = received.at
    holes: list[Number] = []
    for (node, boot_id, stream), seen in numbers.items():
        for seq in sorted(set(range(1, max(seen))) - seen.keys()):
            after = next(seen[later] for later in range(seq + 1, max(seen) + 1) if later in seen)
            named = any(_names(gap, boot_id, stream, seq) for gap in ledger.gaps)
            if not named and not _at_risk(after, kills):
                holes.append(Number(node, boot_id, stream, seq))
    return holes


def _names(gap: Gap, boot_id: str, stream: str, seq: int) -> bool:
    mine = (gap.boot_id, gap.stream) == (boot_id, stream)
    return mine and gap.first_seq <= seq <= gap.last_seq


def _at_risk(at: float, kills: Sequence[float]) -> bool:
    place = bisect_right(kills, at)
    return place < len(kills) and at >= kills[place] - AT_RISK_S - SKEW_S
