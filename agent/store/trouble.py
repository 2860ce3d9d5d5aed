"""Says once that the disk takes nothing, and once that it does again."""

from __future__ import annotations

import logging


class Trouble:
    """One thing that is written, and whether the last attempt failed."""

    def __init__(self, log: logging.Logger, failed: str, recovered: str) -> None:
        """What is said of it; the error follows `failed`."""
        self._log = log
        self._failed = failed
        self._recovered = recovered
        self._lasts = False

    def met(self, error: Exception) -> None:
        """An attempt failed; what waits is kept by the caller, and tried again."""
        if not self._lasts:
            self._log.error("%s: %s", self._failed, error)
        self._lasts = True

    def over(self) -> None:
        """An attempt succeeded."""
        if self._lasts:
            self._log.warning("%s", self._recovered)
        self._lasts = False
