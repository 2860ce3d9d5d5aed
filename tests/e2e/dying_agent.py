"""`stoker run` that kills itself, as kill -9 would, at a chosen call of one of its parts.

Used as `python -P -m tests.e2e.dying_agent CONFIG PART:NAME before|after NUMBER`.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from agent.cli import run


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Fuse:
    """Burns down with each call."""

    def __init__(self, number: int, when: str) -> None:
        self._left = number
        self._when = when

    def lit(self, when: str) -> bool:
        if when != self._when:
            return False
        self._left -= 1
        return self._left == 0


def arm(part: str, when: str, number: int) -> None:
    """Have this process die at the `number`-th call of `module:Class.method`."""
    module_name, _, path = part.partition(":")
    class_name, _, method = path.partition(".")
    owner = getattr(import_module(module_name), class_name)
    whole, fuse = getattr(owner, method), _Fuse(number, when)

    @functools.wraps(whole)
    async def in_time(*args: Any, **kwargs: Any) -> Any:
        if fuse.lit("before"):
            _die()
        result = await whole(*args, **kwargs)
        if fuse.lit("after"):
            _die()
        return result

    @functools.wraps(whole)
    def at_once(*args: Any, **kwargs: Any) -> Any:
        if fuse.lit("before"):
            _die()
        result = whole(*args, **kwargs)
        if fuse.lit("after"):
            _die()
        return result

    setattr(owner, method, in_time if inspect.iscoroutinefunction(whole) else at_once)


def main() -> None:
    """Arm, and run the agent."""
    config, part, when, number = sys.argv[1:]
    arm(part, when, int(number))

    class Arguments:
        """What the command line would say."""

        config: Path

    arguments = Arguments()
    arguments.config = Path(config)
    run.run(arguments)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
