"""The steps of a change at which the agent is killed, and what is seen of each one's machine."""

from __future__ import annotations

from typing import Any, NamedTuple

from drivers.model import pool_target
from tests.e2e.gate import When

POOLS = [
    {"url": "stratum+tcp://new-a.example.com:3333", "user": "new.a"},
    {"url": "stratum+tcp://new-b.example.com:3333", "user": "new.b", "password": "s3cret"},
]
NEW = [pool_target(pool["url"], pool["user"]) for pool in POOLS]


class Change(NamedTuple):
    """A change that is walked: whose, what is written, in how many writes."""

    model: str
    writes: str
    """A pattern of the bytes of one write, and of nothing else that travels."""
    steps: int
    noted: bool = True
    """False for one write that a firmware takes whole or not at all: nothing is left half done."""
    verb: str = "pools.set"

    def __str__(self) -> str:
        return f"{self.model}, {self.verb}"


class Step(NamedTuple):
    """Where the agent is killed: at a write of a change; without a number nowhere."""

    change: Change
    number: int | None
    when: When = When.BEFORE

    def __str__(self) -> str:
        return f"killed {self.when} write {self.number} of {self.change}"

    @property
    def rack(self) -> str:
        """Whoever gets the same order at the same time stands in one rack."""
        return f"{'spare' if self.number is None else 'killed'} {self.change.verb}"


def steps_of(change: Change) -> list[Step]:
    """Both ends of every write, and the change as a whole."""
    ends = [Step(change, at + 1, when) for at in range(change.steps) for when in When]
    return [*ends, Step(change, None)]


class Seen:
    """One step's machine before the kill and after the next start."""

    def __init__(self, address: str, step: Step) -> None:
        self.address = address
        self.step = step
        self.device_id = ""
        self.driver = ""
        self.pools_before: list[str] = []
        self.killed_twice = False
        """The next agent was killed as well, after a write by which it put this machine right."""
        self.readings: list[dict[str, Any]] = []
        """Of the agent that was started last."""
        self.events: list[str] = []
        """Names, of every agent but the first."""
        self.verdict = self.words = ""
        self.writes = 0
        """How many the change took, where nobody broke it off."""

    def __str__(self) -> str:
        return f"{self.step}: {self.state} for {self.pools} after {self.events}"

    @property
    def pools(self) -> list[str]:
        """As the last reading shows them."""
        return pools_of(self.readings[-1]) if self.readings else []

    @property
    def state(self) -> str:
        """As the last reading shows it."""
        return str(self.readings[-1]["state"]) if self.readings else ""

    @property
    def is_whole(self) -> bool:
        """True where it has its old pools, or the new ones where there are new ones, and works."""
        if self.step.change.verb != "pools.set":
            return self.pools == self.pools_before and self.state in ("mining", "sleeping")
        return self.pools in (self.pools_before, NEW) and self.state == "mining"

    @property
    def is_over(self) -> bool:
        """True where nothing more has to come."""
        if self.step.number is None:
            return bool(self.verdict)
        told = "action.recovered" in self.events or not self.step.change.noted
        return told and self.is_whole


def pools_of(reading: dict[str, Any]) -> list[str]:
    """The pools of a reading, in order; places that are filled with the same one count once."""
    found = [pool_target(pool["url"], pool["user"]) for pool in reading["pools"] or ()]
    return list(dict.fromkeys(found))
