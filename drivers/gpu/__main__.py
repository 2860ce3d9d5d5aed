"""The command `stoker-gpu`."""

from __future__ import annotations

import argparse
import asyncio
import grp
import logging
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from drivers.gpu.bounds import Bounds
from drivers.gpu.office import FAN, MIG, RESET
from drivers.gpu.resetting import PROGRAM
from drivers.gpu.supervisor import Options, serve

DEFAULT_SOCKET = Path("/run/stoker-gpu/gpu.sock")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `stoker-gpu`; gives the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        options = _options(_parser().parse_args(arguments))
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        sys.stderr.write(f"stoker-gpu: {error}\n")
        return 2
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"stoker-gpu: {options.socket_path}: {error.strerror or error}\n")
        return 1
    # not through the interpreter's end: a child that hangs must not hold us up
    sys.stderr.flush()
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stoker-gpu",
        description="Reads and sets this host's NVIDIA GPUs for the agent, over a Unix socket.",
    )
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, metavar="PATH")
    parser.add_argument(
        "--user", action="append", default=[], metavar="NAME", help="may speak to it, beside root"
    )
    parser.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="whose members may"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=(RESET, MIG, FAN),
        help="what is off otherwise",
    )
    parser.add_argument("--nvidia-smi", default=PROGRAM, metavar="PATH", help="resets GPUs")
    parser.add_argument(
        "--bound",
        action="append",
        default=[],
        metavar="NAME=SECONDS",
        help=f"one of {', '.join(Bounds.__struct_fields__)}",
    )
    return parser


def _options(parsed: argparse.Namespace) -> Options:
    return Options(
        socket_path=parsed.socket,
        uids=tuple(_uid(name) for name in parsed.user),
        gids=tuple(_gid(name) for name in parsed.group),
        allowed=tuple(parsed.allow),
        bounds=_bounds(parsed.bound),
        reset_program=parsed.nvidia_smi,
    )


def _uid(name: str) -> int:
    return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid


def _bounds(words: Sequence[str]) -> Bounds:
    given: dict[str, float] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in Bounds.__struct_fields__:
            raise ValueError(f"--bound {word}: there is no such bound")
        given[name] = float(value)
        if not given[name] > 0:
            raise ValueError(f"--bound {word}: it has to be more than 0")
    return msgspec.convert(given, Bounds)


if __name__ == "__main__":
    sys.exit(main())
