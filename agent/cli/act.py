"""`stoker act TARGET DEED`: have devices do something, and see the proof.

Only through the running agent: it holds locks, limits and the audit, which nothing may bypass.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli.deeds import DEEDS, wanted
from agent.cli.gpu_names import resolve
from agent.cli.show import plain, printer
from agent.cli.target import add_socket
from agent.errors import AgentError
from agent.local import client

GOOD = frozenset({"verified", "verified_unanswered"})
MOST_SHOWN = 20
EXIT_NOT_DONE = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `act`."""
    parser = subparsers.add_parser(
        "act",
        help="have devices do something, and see the proof",
        description="TARGET: all, an id, an address, gpu:NUMBER, or key=value joined by commas "
        "(rack=B7,make=Bitmain).",
        epilog="DEED: " + "; ".join(deed.usage for deed in DEEDS.values()),
    )
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("deed", metavar="DEED", choices=list(DEEDS))
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_socket(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Give the order and follow it; 3 where any device did not do it."""
    verb, params = wanted(arguments.deed, arguments.arguments)
    target = resolve(arguments.target, arguments.socket)
    lines = _whole(
        client.stream(arguments.socket, op="act", target=target, verb=verb, params=params)
    )
    if arguments.json:
        return _print_json(lines)
    begun = next(lines)["begun"]
    results = (line["result"] for line in lines if "result" in line)
    if begun["devices"] == 1:
        return max(_show_one(verb, result) for result in results)
    return _show_many(verb, begun["devices"], results)


def _whole(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines; raises `AgentError` where the agent ended before it had said all."""
    line: dict[str, Any] = {}
    for line in lines:
        yield line
    if "ended" not in line:
        raise AgentError("the agent ended in mid-order: what came of the rest is not known")


def _print_json(lines: Iterator[dict[str, Any]]) -> int:
    done = True
    for line in lines:
        json.dump(line, sys.stdout, ensure_ascii=False)
        print()
        done = done and line.get("result", {}).get("verdict", "verified") in GOOD
    return 0 if done else EXIT_NOT_DONE


def _show_one(verb: str, result: dict[str, Any]) -> int:
    say = printer().print
    say(plain(f"{verb} on {result['device_id']} at {result['address']}"))
    say(plain(f"  before   {_evidence(result['before'])}"))
    if result["answer"]:
        after_s = f" after {result['answered_s']:.1f} s" if result["answered_s"] is not None else ""
        say(plain(f"  receipt  {result['answer']}{after_s}: {result['words']}"))
    else:
        say(plain(f"  receipt  none: {result['words']}"))
    proved_s = f" after {result['proved_s']:.1f} s" if result["proved_s"] is not None else ""
    shown = f": {_evidence(result['after'])}" if result["after"] else ""
    say(plain(f"  proof    {result['verdict']}{proved_s}{shown}"))
    return 0 if result["verdict"] in GOOD else EXIT_NOT_DONE


def _show_many(verb: str, devices: int, results: Iterator[dict[str, Any]]) -> int:
    console = printer()
    verdicts: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    columns = (
        TextColumn(f"{verb} {{task.description}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=devices)
        for result in results:
            verdicts[result["verdict"]] += 1
            if result["verdict"] not in GOOD:
                failed.append(result)
            words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
            progress.update(bar, advance=1, description=words)
    for result in failed[:MOST_SHOWN]:
        console.print(
            plain(
                f"  {result['device_id']} {result['address']}: {result['verdict']}: "
                f"{result['words']}"
            )
        )
    if len(failed) > MOST_SHOWN:
        console.print(f"  and {len(failed) - MOST_SHOWN} more")
    return EXIT_NOT_DONE if failed else 0


def _evidence(shown: dict[str, Any] | None) -> str:
    """What a reading showed, in a line; what is not known is not said."""
    if not shown:
        return "nothing was seen of it yet"
    parts = [str(shown["state"])]
    if shown["hashrate_ths"] is not None:
        parts.append(f"{shown['hashrate_ths']:.1f} TH/s")
    if shown["power_w"] is not None:
        parts.append(f"{shown['power_w']:.0f} W ({shown['power_source']})")
    if shown["power_limit_w"] is not None:
        parts.append(f"limit {shown['power_limit_w']:.0f} W")
    if shown["mode"] is not None:
        parts.append(f"mode {shown['mode']}")
    if shown["pools"]:
        parts.append(f"pool {shown['pools'][0]}")
    parts += [
        _word(name, value) for name, value in (shown.get("gpu") or {}).items() if _is_known(value)
    ]
    return ", ".join(parts)


def _is_known(value: Any) -> bool:
    """False for what is not known, or empty."""
    return value is not None and value != []


def _word(name: str, value: Any) -> str:
    """A value of a GPU under its own name, whose unit stands in it."""
    said = " ".join(map(str, value)) if isinstance(value, list) else value
    if isinstance(said, bool):
        said = "on" if said else "off"
    return f"{name.replace('_', ' ')} {said}"
