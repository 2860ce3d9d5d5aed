"""The GPUs of the demo: the host's own where it has any, else fake ones that it compiles."""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

from agent.cli.child import Child
from agent.errors import AgentError
from drivers.registry import has_gpus

EIGHT = "h100-sxm*8"
NONE = "none"
REAL = "real"
READY_S = 15.0


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses them."""
    parser.add_argument(
        "--gpus",
        metavar="MODEL*COUNT,...",
        help=f"fake GPUs, `{REAL}` or `{NONE}`; default: this host's own if it has any, "
        f"else {EIGHT}",
    )


class DemoGpus:
    """`stoker-gpu` as a child, and the fake GPUs that it reads as another one."""

    def __init__(self, wanted: str | None, directory: Path, program: str) -> None:
        """`program` is the module that makes fake ones."""
        self._program = program
        self._directory = directory
        self._stack = ExitStack()
        self._wanted = wanted or (REAL if has_gpus() else EIGHT)
        self._sim: Child | None = None
        self._service: Child | None = None
        self.socket = directory / "gpu.sock"
        self.words = "none"
        """What they are, or why there are none."""

    def __enter__(self) -> DemoGpus:
        """Begin to make them, which takes seconds; `settle` waits for that."""
        if self._wanted not in (NONE, REAL):
            command = [self._program, str(self._directory), "--gpus", self._wanted]
            self._sim = self._enter("fake GPUs", command, {})
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def are_there(self) -> bool:
        """Whether there is something for the agent to read."""
        return self._service is not None

    def settle(self) -> None:
        """Wait until they can be read, or say in `words` why they cannot."""
        if self._wanted == NONE:
            return
        try:
            self._service = self._served(self._made())
        except AgentError as error:
            self.words = f"none: {(self._sim and self._sim.last_words()) or error}"

    def check(self) -> None:
        """Raise `AgentError` where a child has ended by itself."""
        for child in (self._sim, self._service):
            if child is not None and self.are_there:
                child.check()

    def _made(self) -> dict[str, str]:
        if self._sim is None:
            self.words = "this host's own"
            return {}
        made = json.loads(self._sim.first_line())
        self.words = f"{made['gpus']} fake ones ({self._wanted})"
        return dict(made["environment"])

    def _served(self, environment: dict[str, str]) -> Child:
        options = ["--socket", str(self.socket), "--user", str(os.getuid())]
        service = self._enter("stoker-gpu", ["drivers.gpu", *options], environment)
        until = time.monotonic() + READY_S
        while not self.socket.exists():
            service.check()
            if time.monotonic() > until:
                raise AgentError(f"stoker-gpu was not there within {READY_S:.0f} s")
            time.sleep(0.02)
        return service

    def _enter(self, name: str, command: list[str], environment: dict[str, str]) -> Child:
        log = self._directory / f"{command[0]}.log"
        return self._stack.enter_context(Child(name, command, log, environment))
