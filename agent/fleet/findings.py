"""What is wrong in the same way at many devices: one counted finding, not one event each."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("stoker.findings")

FACTORY_PASSWORD = "factory_password"  # noqa: S105  the name of a finding


class Findings:
    """Counts devices by finding."""

    def __init__(self, stands: Callable[[str], bool] = lambda _address: True) -> None:
        self._stands = stands
        """Whether a device stands at an address: one that has left is not counted."""
        self._addresses: dict[str, set[str]] = {FACTORY_PASSWORD: set()}

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

    def counts(self) -> dict[str, int]:
        """How many devices each finding concerns."""
        return {name: sum(map(self._stands, found)) for name, found in self._addresses.items()}
