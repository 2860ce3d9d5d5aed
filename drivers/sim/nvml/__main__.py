"""Fake GPUs that do something, for the demo: made here, loaded by whoever is told where they are.

    python -m drivers.sim.nvml DIRECTORY [--gpus MODEL*COUNT,...]

Prints one line of JSON when they are there, the environment in which a client sees them, and steers
them until it is told to end.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from drivers.sim.nvml.build import NEWEST, BuildError, build
from drivers.sim.nvml.control import REALISTIC_COSTS_US, FakeGpus
from drivers.sim.nvml.story import Story

EIGHT = "h100-sxm*8"
EXIT_NOT_BUILT = 3
STEP_S = 1.0


def main() -> int:
    """Make them and steer them; the exit code."""
    arguments = _parser().parse_args()
    try:
        built = build(arguments.directory / "library", driver=arguments.driver)
        fake = FakeGpus.create(
            arguments.directory / "gpus", arguments.gpus, built=built, seed=arguments.seed
        )
    except (BuildError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_BUILT
    fake.let_write("all")
    fake.cost(REALISTIC_COSTS_US)
    story = Story(fake, arguments.seed)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    sys.stdout.write(json.dumps({"gpus": len(fake), "environment": fake.environment()}) + "\n")
    sys.stdout.flush()
    elapsed_s = 0.0
    while not over.wait(STEP_S):
        elapsed_s += STEP_S
        story.go_on(elapsed_s)
    fake.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drivers.sim.nvml", description=__doc__)
    parser.add_argument("directory", type=Path, help="for the library and the state that is shared")
    parser.add_argument("--gpus", default=EIGHT, metavar="MODEL*COUNT,...")
    parser.add_argument("--driver", default=NEWEST, help="version of the driver")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
