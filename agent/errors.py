"""What can go wrong in the agent itself."""

from __future__ import annotations

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit does not restart on it


class AgentError(Exception):
    """Root of the agent's own errors."""


class ConfigError(AgentError):
    """The configuration is wrong: which file, which key, what, in one line."""

    def __init__(self, where: str, key: str, problem: str) -> None:
        place = f"{where}: {key}" if key else where
        super().__init__(f"{place}: {problem}")
        self.where = where
        self.key = key
        self.problem = problem


class BrokerUnavailable(AgentError):
    """No usable MQTT connection right now."""
