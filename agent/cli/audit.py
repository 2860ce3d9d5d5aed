"""`stoker audit`: what was done, by whom, and whether the record of it is whole.

Reads the files, also while the agent writes them. `verify` reads all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.cli.audit_words import sentence, tampering
from agent.cli.show import plain, printer
from agent.config.load import DEFAULT_PATH, load
from agent.errors import AgentError
from agent.store.audit_chain import Head, unpack
from agent.store.audit_files import end_of, paths, streams
from agent.store.audit_verify import Verdict, verify

EXIT_TAMPERED = 4


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` and what it can do."""
    parser = subparsers.add_parser("audit", help="what was done, and whether its record is whole")
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    whole = commands.add_parser(
        "verify",
        help="is it as the agent wrote it?",
        description="Exit code 0 where it is, also where only the last record is unfinished; "
        f"{EXIT_TAMPERED} where it was tampered with.",
    )
    whole.add_argument(
        "--against",
        type=_head,
        metavar="SEQ:HASH",
        help="a head that `stoker audit head` or the event audit.head told earlier: finds also "
        "what was cut off the end, and a record that was written anew from some point on",
    )
    whole.set_defaults(run=run_verify)
    shown = commands.add_parser("show", help="the last records")
    shown.add_argument("-n", type=_count, default=20, metavar="N", help="default: %(default)s")
    shown.add_argument("--json", action="store_true", help="the records as they stand in the files")
    shown.add_argument("--command", metavar="ID", help="only of this command or order")
    shown.add_argument("--device", metavar="ID", help="only what came of this device")
    shown.set_defaults(run=run_show)
    head = commands.add_parser("head", help="number and hash of the last record, to keep elsewhere")
    head.set_defaults(run=run_head)
    for each in (whole, shown, head):
        _add_place(each)


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--dir", type=Path, help="where the files are: a copy, for instance")
    place.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the agent's, which says where they are; default: %(default)s",
    )


def _head(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!a} is no number of records")
    return int(text)


def _directory(arguments: argparse.Namespace) -> Path:
    if arguments.dir is not None:
        return Path(arguments.dir)
    return Path(load(arguments.config).node.state_dir) / "audit"


def _cannot_read(error: OSError, directory: Path) -> AgentError:
    where = error.filename or directory
    return AgentError(f"{where}: {error.strerror}: the audit cannot be read")


# --- verify ----------------------------------------------------------------------------------


def run_verify(arguments: argparse.Namespace) -> int:
    """Say whether it is whole; 0 or 4."""
    directory = _directory(arguments)
    try:
        files = paths(directory)
        verdict = verify(streams(files), arguments.against)
    except OSError as error:
        raise _cannot_read(error, directory) from None
    for line in _verdict(verdict, len(files), arguments.against):
        print(line)
    return 0 if verdict.intact else EXIT_TAMPERED


def _verdict(verdict: Verdict, files: int, against: Head | None) -> list[str]:
    if verdict.finding is not None:
        return tampering(verdict.finding, verdict)
    lines = ["intact: nothing is recorded yet"]
    if verdict.first is not None:
        where = f"{files} file{'' if files == 1 else 's'}"
        lines = [f"intact: records {verdict.first} to {verdict.head.seq} in {where}"]
        lines.append(f"head: {verdict.head}")
    if verdict.first is not None and verdict.first > 1:
        lines.append(f"not here, and not judged: records 1 to {verdict.first - 1}")
    if against is None:
        lines.append(
            "not judged: whether records were cut off the end. For that, hold it --against a head"
        )
    if (torn := verdict.torn) is not None:
        lines.append(
            f"behind it: {torn.bytes} bytes of a record that is not finished ({torn.file}, line "
            f"{torn.line}). It is being written, or the host went down in mid-write: no tampering"
        )
    return lines


# --- show and head -----------------------------------------------------------------------------


class _Wanted(NamedTuple):
    command: str | None
    device: str | None

    def may_be_in(self, line: bytes) -> bool:
        return all(msgspec.json.encode(each) in line for each in self if each is not None)

    def is_met(self, content: Any) -> bool:
        if not isinstance(content, dict):
            return self == (None, None)
        if self.command not in (None, content.get("order"), content.get("command")):
            return False
        result, devices = content.get("result") or {}, content.get("devices") or {}
        return self.device is None or self.device in (result.get("device_id"), *devices)


def run_show(arguments: argparse.Namespace) -> int:
    """Print the last records that are wanted, oldest first."""
    directory = _directory(arguments)
    wanted = _Wanted(arguments.command, arguments.device)
    try:
        lines, damaged = _last(paths(directory), arguments.n, wanted)
    except OSError as error:
        raise _cannot_read(error, directory) from None
    if arguments.json:
        for line in lines:
            print(line.decode())
    else:
        say = printer().print
        for line in lines:
            say(plain(sentence(msgspec.json.decode(line), wanted.device)))
    if damaged:
        print(f"{damaged} lines are no records: see `stoker audit verify`", file=sys.stderr)
    return 0


def _last(files: Sequence[Path], most: int, wanted: _Wanted) -> tuple[list[bytes], int]:
    """The last records that are wanted, and how many lines that were looked at are none."""
    found: list[bytes] = []
    damaged = 0
    for path in reversed(files):
        kept = deque[bytes](maxlen=most - len(found))
        with path.open("rb") as stream:
            for line in stream:
                if not wanted.may_be_in(line) or not line.endswith(b"\n"):  # not finished
                    continue
                record = unpack(line[:-1])
                if record is None:
                    damaged += 1
                elif wanted.is_met(msgspec.json.decode(record.content)):
                    kept.append(line[:-1])
        found = [*kept, *found]
        if len(found) >= most:
            break
    return found, damaged


def run_head(arguments: argparse.Namespace) -> int:
    """Print the head, for a program or a person to keep."""
    directory = _directory(arguments)
    try:
        print(end_of(directory).head)
    except OSError as error:
        raise _cannot_read(error, directory) from None
    return 0
