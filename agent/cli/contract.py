"""`stoker contract`: what this version says and hears over MQTT, as an AsyncAPI document."""

from __future__ import annotations

import argparse
import json

from agent.contract.document import document
from agent.contract.yaml_text import yaml_text


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `contract`."""
    parser = subparsers.add_parser(
        "contract",
        help="the MQTT contract of this version",
        description="Print the MQTT contract of this version as an AsyncAPI 3 document, with the "
        "JSON Schema of every message: for those who write the other side.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON; the default is YAML")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    found = document()
    print(f"{json.dumps(found, indent=2)}\n" if arguments.json else yaml_text(found), end="")
    return 0
