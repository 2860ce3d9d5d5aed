"""`stoker` with little memory and patience and small gigabytes: hours pass within seconds.

Everything else is as it is. A test puts this file in the place of `harness.STOKER`.
"""

from __future__ import annotations

import os
import sys

from agent.__main__ import main
from agent.store.spool import Spool
from agent.telemetry import delivery, thinner

MEMORY_BYTES = 60_000
GB = 20_000_000
"""`spool_limit_gb = 0.01` are 200 kB of these. The variable SMALL_GB has another number."""

if __name__ == "__main__":
    assert Spool.__init__.__kwdefaults__ is not None
    Spool.__init__.__kwdefaults__.update(memory_bytes=MEMORY_BYTES, retry_s=1.0)
    thinner.LOOK_S = 0.05
    delivery.GB = int(os.environ.get("SMALL_GB", GB))
    sys.exit(main())
