"""`make bench`: CPU microseconds per unit of work, and ratios inside one run.

Names of benchmarks as arguments choose among them; without, all run.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from tests.benchmarks import (
    agent_load,
    commanding,
    decoding,
    dialects,
    drain,
    encoding,
    exchanging,
    gpu_reading,
    outage,
    paging,
    shedding,
    spooling,
    uplink,
)

BENCHMARKS: dict[str, Callable[[], None]] = {
    "command": commanding.run,
    "decode": decoding.run,
    "dialects": dialects.run,
    "drain": drain.run,
    "encoding": encoding.run,
    "exchange": exchanging.run,
    "gpu": gpu_reading.run,
    "outage": outage.run,
    "pages": paging.run,
    "poll": agent_load.run_poll,
    "load": agent_load.run_load,
    "shed": shedding.run,
    "spool": spooling.run,
    "uplink": uplink.run,
}


def main() -> int:
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()} on {platform.machine()}")
    for name in names:
        print(f"\n== {name}", flush=True)
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
