"""`stoker` with little memory and small gigabytes: what takes hours is seen within seconds.

Everything else is as it is. A test puts this file in the place of `harness.STOKER`.
"""

from __future__ import annotations

import os
import sys

from agent.__main__ import main
from agent.store.spool import Spool
from agent.telemetry import delivery

MEMORY_BYTES = 60_000
GB = 30_000_000
"""`spool_limit_gb = 0.01` are 300 kB of these. The variable SMALL_GB has another number."""

if __name__ == "__main__":
    assert Spool.__init__.__kwdefaults__ is not None
    Spool.__init__.__kwdefaults__["memory_bytes"] = MEMORY_BYTES
    delivery.GB = int(os.environ.get("SMALL_GB", GB))
    sys.exit(main())
