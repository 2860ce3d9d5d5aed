"""The command `stoker`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from agent import __version__
from agent.errors import EXIT_CONFIG, AgentError, ConfigError

COMMANDS = (
    *("run", "demo", "sim", "scan", "read", "act", "lock", "unlock", "watch", "status"),
    *("gpu", "quarantine", "audit", "check_config", "contract", "keys", "send"),
)
"""Modules of `agent.cli`, each with `add_parser`."""
EXIT_FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        print(f"stoker: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except AgentError as error:
        print(f"stoker: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:  # `stoker scan | head`
        sys.stderr.close()
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stoker", description=__doc__)
    parser.add_argument("--version", action="version", version=f"stoker {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"agent.cli.{name}").add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
