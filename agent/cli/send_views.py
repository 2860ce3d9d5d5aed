"""How a command that was sent is shown: a bar on a terminal, lines in a pipe, JSON for programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli.following import Following, News
from agent.cli.show import plain
from agent.remote.messages import CommandState, State, Watts

LINE_EVERY_S = 1.0
MOST_SHOWN = 20


class View(Protocol):
    """Shows a command on its way."""

    def sent(self, facts: dict[str, Any]) -> None:
        """It was published."""

    def say(self, words: str) -> None:
        """Something that a person should know."""

    def news(self, said: News, following: Following) -> None:
        """A node has said something."""

    def over(self, following: Following, words: str) -> None:
        """Nothing more is waited for."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def view(console: Console, *, as_json: bool, monotonic: Callable[[], float]) -> View:
    """The view that fits where it is shown."""
    if as_json:
        return _JsonLines()
    return (_Bar if console.is_terminal else _Lines)(console, monotonic)


class _Lines:
    """A line when a node's state changes, and now and then for its progress."""

    def __init__(self, console: Console, monotonic: Callable[[], float]) -> None:
        self._console = console
        self._monotonic = monotonic
        self._told: dict[str, tuple[State, str | None, float]] = {}

    def sent(self, facts: dict[str, Any]) -> None:
        self.say(f"sent {facts['verb']} as {facts['id']} on {facts['topic']}")
        self.say(f"digest {facts['digest']}")

    def say(self, words: str) -> None:
        self._console.print(plain(words))

    def news(self, said: News, following: Following) -> None:
        if not isinstance(said, CommandState):
            return
        now = self._monotonic()
        state, waiting_for, told_at = self._told.get(said.node, (None, None, now))
        new = said.state is not state or said.waiting_for != waiting_for
        if new or now - told_at >= LINE_EVERY_S:
            self._told[said.node] = (said.state, said.waiting_for, now)
            self._tell(said, new=new)

    def _tell(self, said: CommandState, *, new: bool) -> None:
        self.say(sentence(said))
        if new and said.waiting_for == "approval":
            self.say(
                f"  to approve: stoker send command.approve --param command={said.id} "
                f"--param digest={said.digest}, with the key of somebody else"
            )

    def over(self, following: Following, words: str) -> None:
        _show_failures(self._console, following)
        self.say(words)

    def close(self) -> None:
        pass


class _Bar(_Lines):
    """A bar over all devices of all nodes; lines where a node waits or has ended."""

    def __init__(self, console: Console, monotonic: Callable[[], float]) -> None:
        super().__init__(console, monotonic)
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        self._progress = Progress(
            *columns, MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("sent", total=None)

    def sent(self, facts: dict[str, Any]) -> None:
        super().sent(facts)
        self._progress.start()

    def news(self, said: News, following: Following) -> None:
        self._progress.update(
            self._task,
            description=_counts(following.verdicts()) or _state_of(said),
            total=following.targets or None,
            completed=following.done,
        )
        super().news(said, following)

    def _tell(self, said: CommandState, *, new: bool) -> None:
        if said.state.final or (new and said.waiting_for):
            super()._tell(said, new=new)

    def over(self, following: Following, words: str) -> None:
        self.close()
        super().over(following, words)

    def close(self) -> None:
        self._progress.stop()


class _JsonLines:
    """One object a line."""

    def sent(self, facts: dict[str, Any]) -> None:
        _put({"sent": facts})

    def say(self, words: str) -> None:
        print(f"stoker: {words}", file=sys.stderr)

    def news(self, said: News, following: Following) -> None:
        _put({"state" if isinstance(said, CommandState) else "results": said})

    def over(self, following: Following, words: str) -> None:
        ended = {
            "exit_code": following.exit_code(),
            "words": words,
            "nodes": {node: said.state for node, said in sorted(following.states.items())},
            "silent": following.silent,
            "targets": following.targets,
            "verdicts": dict(following.verdicts()),
        }
        _put({"ended": ended})

    def close(self) -> None:
        pass


def sentence(said: CommandState) -> str:
    """What a node says, in a line."""
    count = f" {said.done}/{said.targets}" if said.targets and not said.dry_run else ""
    why = f" ({said.reason})" if said.reason else ""
    waits = f", waits for {said.waiting_for}" if said.waiting_for else ""
    watts = f"; {_watts(said.watts)}" if said.watts else ""
    return f"{said.node}: {said.state}{count}{why}{waits}: {said.words}{watts}"


def _state_of(said: News) -> str:
    return str(said.state) if isinstance(said, CommandState) else ""


def _watts(watts: Watts) -> str:
    unknown = f", {watts.unknown} devices unknown" if watts.unknown else ""
    return f"{watts.change_w / 1000:+,.1f} kW of {watts.drawn_w / 1000:,.1f} kW{unknown}"


def _counts(verdicts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in verdicts.most_common())


def _show_failures(console: Console, following: Following) -> None:
    failures = list(following.failures())
    for node, each in failures[:MOST_SHOWN]:
        words = f"  {each.device_id} {each.address} at {node}: {each.verdict}: {each.words}"
        console.print(plain(words))
    if len(failures) > MOST_SHOWN:
        console.print(f"  and {len(failures) - MOST_SHOWN} more")


def _put(line: dict[str, Any]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)
