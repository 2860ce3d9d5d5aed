"""What is wrong in the same way at many devices: one counted finding, not one event each."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("stoker.findings")

FACTORY_PASSWORD = "factory_password"  # noqa: S105  the name of a finding
GPU_MISSING = "gpu_missing"
GPU_UNSERVED = "gpu_unserved"


class Findings:
    """Counts devices by finding."""

    def __init__(self, stands: Callable[[str], bool] = lambda _address: True) -> None:
        self._stands = stands
        """Whether a device stands at an address: one that has left is not counted."""
        self._addresses: dict[str, set[str]] = {FACTORY_PASSWORD: set()}
        self._counts = {GPU_MISSING: 0, GPU_UNSERVED: 0}

    def login(self, address: str, *, factory: bool) -> None:
        """Note which password opened a device: the factory's, or its owner's."""
        found = self._addresses[FACTORY_PASSWORD]
        if not factory:
            found.discard(address)
        elif address not in found:
            if not found:
                log.warning(
                    "a device opens with its factory password; summary and status count them all",
                    extra={"reason": FACTORY_PASSWORD},
                )
            found.add(address)

    def set(self, name: str, count: int) -> None:
        """Note how many devices a finding concerns that is counted elsewhere."""
        self._counts[name] = count

    def counts(self) -> dict[str, int]:
        """How many devices each finding concerns."""
        shared = {name: sum(map(self._stands, found)) for name, found in self._addresses.items()}
        return {**shared, **self._counts}
