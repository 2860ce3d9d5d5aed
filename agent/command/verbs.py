"""What can be ordered of devices: one table of verbs, put together from those for each kind."""

from __future__ import annotations

from agent.command.gpu_verbs import ROWS as OF_GPUS
from agent.command.miner_verbs import ROWS as OF_MINERS
from agent.command.verb import Load, Verb

__all__ = ["VERBS", "Load", "Verb"]

VERBS: dict[str, Verb] = {verb.name: verb for verb in (*OF_MINERS, *OF_GPUS)}
