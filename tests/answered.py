"""The polls that a simulated site answered, from the log of `stoker sim --log`.

The machines of such a test are those of `MIX`: one joined answer makes their poll. Where a
machine is asked more behind it (who it is, or what does not join), the poll is complete with
the last of these; and the first poll of a machine in a run of the agent is complete when the
machine has said who it is, since a reading is held until then.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MIX = "Whatsminer M30S+ VE40=1,Whatsminer M20S V10=1,CoinTerra TerraMiner=1"
"""Two types with a MAC, that a restarted agent knows, and one that has to be found again."""
POLLS = {"summary+devs+pools", "summary+devs+pools+stats"}
"""The answers that make a reading of these."""
WHO = "version"
"""What every machine is asked when it has to say who it is, and at no other time."""
AT_RISK_S = 1.0
"""What was answered in the last second before a kill may be lost."""
AFTERGLOW_S = 0.3
"""Who is killed while asking is still answered; who starts asks nothing for longer than this."""


class Poll(NamedTuple):
    """One poll that a machine answered."""

    address: str
    at: float
    """When its own answer was complete, which dates the reading (seconds since the epoch)."""
    owed: bool
    """Whether it must have become a reading."""


def polls_of(log: Path, kills: Sequence[float], at_risk_s: float = AT_RISK_S) -> list[Poll]:
    """The polls in a simulator's log, in order; `kills` are the ends of the agent's runs, sorted.

    The last end is that of the test: what was answered behind it is owed by nobody. What was
    answered `at_risk_s` before an end may be lost.
    """
    answers: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in log.read_bytes().splitlines():
        said = json.loads(line)
        if said["complete"]:
            answers[said["address"]].append((said["t"], said["command"]))
    polls = [
        poll
        for address, said in answers.items()
        for run in _by_run(sorted(said), kills)
        for poll in _polls_of_run(address, *run, at_risk_s)
    ]
    return sorted(polls, key=lambda poll: poll.at)


def _by_run(
    said: list[tuple[float, str]], kills: Sequence[float]
) -> Iterable[tuple[list[tuple[float, str]], float]]:
    """One machine's answers in each run of the agent, and when that run ended."""
    runs: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for answer in said:
        runs[bisect_right(kills, answer[0] - AFTERGLOW_S)].append(answer)
    for run, answers in runs.items():
        yield answers, kills[run] if run < len(kills) else float("-inf")


def _polls_of_run(
    address: str, said: list[tuple[float, str]], end: float, at_risk_s: float
) -> list[Poll]:
    known = any(command == WHO for _, command in said)
    found: list[Poll] = []
    complete_at = end
    for at, command in reversed(said):
        complete_at = at if complete_at == end else complete_at
        if command in POLLS:
            found.append(Poll(address, at, known and complete_at < end - at_risk_s))
            complete_at = end
    return found
