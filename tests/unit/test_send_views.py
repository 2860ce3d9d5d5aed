"""How a command on its way is shown, on a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from agent.cli.following import Following
from agent.cli.send_views import View, view
from agent.remote.messages import State
from tests.unit.test_send_following import following, said, tell

FACTS = {"verb": "mining.pause", "id": "c1", "topic": "stoker/v1/north/cmd/c1", "digest": "d" * 64}


class Screen:
    """A view, what it printed, and a clock that stands."""

    def __init__(self, *, terminal: bool) -> None:
        self._file = io.StringIO()
        self.now = 0.0
        console = Console(file=self._file, force_terminal=terminal, width=120, color_system=None)
        self.sent: Following = following()
        self.view: View = view(console, as_json=False, monotonic=lambda: self.now)

    def hear(self, state: State, seq: int, done: int, waiting_for: str | None = None) -> None:
        more = {"targets": 80, "done": done, "verdicts": {"verified": done}}
        tell(self.sent, "n1", state, seq, **more)
        self.view.news(said("n1", state, seq, waiting_for=waiting_for, **more), self.sent)

    @property
    def text(self) -> str:
        return self._file.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def test_a_pipe_gets_a_line_for_each_state_and_progress_once_a_second() -> None:
    screen = Screen(terminal=False)
    screen.hear(State.EXECUTING, 1, 1)
    for done in range(2, 40):
        screen.now += 0.1
        screen.hear(State.EXECUTING, done, done)
    assert 4 <= len(screen.lines) <= 5
    screen.hear(State.SUCCEEDED, 99, 80)
    assert screen.lines[-1].startswith("n1: succeeded 80/80")
    screen.view.over(screen.sent, screen.sent.words())
    assert screen.lines[-1].endswith("succeeded: 80 verified")


def test_a_terminal_gets_a_bar_and_lines_only_for_what_has_ended() -> None:
    screen = Screen(terminal=True)
    screen.view.sent(FACTS)
    screen.hear(State.EXECUTING, 1, 1)
    screen.hear(State.EXECUTING, 2, 40)
    assert "n1: executing" not in screen.text
    screen.hear(State.SUCCEEDED, 3, 80)
    screen.view.over(screen.sent, screen.sent.words())
    assert "n1: succeeded 80/80" in screen.text
    assert "80 verified" in screen.text
    assert "80/80" in screen.text
    assert screen.lines[-1].endswith("succeeded: 80 verified")


def test_both_say_what_a_command_waits_for_and_only_once() -> None:
    for terminal in (False, True):
        screen = Screen(terminal=terminal)
        screen.hear(State.SCHEDULED, 1, 0, "approval")
        screen.hear(State.SCHEDULED, 2, 0, "approval")
        assert screen.text.count("waits for approval") == 1
        assert screen.text.count("to approve: stoker send command.approve") == 1
