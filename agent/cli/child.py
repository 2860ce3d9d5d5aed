"""One of our own programs as a child process that ends with us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from agent.errors import AgentError

STOP_S = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A context manager around `python -m MODULE ARGUMENTS`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`name` is for complaints; `log` takes its stderr."""
        self._name = name
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-P", "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for us: we end the children in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  no threads run yet in the child
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    @property
    def _output(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise AssertionError("started with a pipe")
        return self._process.stdout

    def first_line(self) -> str:
        """The line that says that it is ready."""
        line = self._output.readline().decode().strip()
        if not line:
            self._process.wait(STOP_S)
            self.check()
        return line

    def check(self) -> None:
        """Raise `AgentError` with its last words where it has ended."""
        if self._process.poll() is not None:
            raise AgentError(f"the {self._name} ended by itself: {self.last_words() or 'no word'}")

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        return self._log.read_text(errors="replace").strip().rpartition("\n")[2]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
