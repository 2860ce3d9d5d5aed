"""A GPU as the child holds it: the handle, and what was learnt since it was opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.errors import DriverError, Unsupported
from drivers.gpu.errors import cause_of
from drivers.gpu.nvml.session import FATAL, SOFT, Nvml


class Held:
    """One opened GPU."""

    def __init__(self, nvml: Nvml, uuid: str, handle: Any, pci_address: str, index: int) -> None:
        self._nvml = nvml
        self.uuid = uuid
        self.handle = handle
        self.pci_address = pci_address
        self.index = index
        self.fresh()

    @property
    def driver_version(self) -> tuple[int, ...]:
        """The version of the driver, as numbers."""
        return self._nvml.driver_version()

    def fresh(self) -> None:
        """Forget what was learnt: everything is asked again."""
        self.absent: dict[str, str] = {}
        """Why something will not be answered, by its name, until this is forgotten."""
        self.way: dict[str, int] = {}
        """Which of several ways to ask works, where it is not the first."""
        self.kept: dict[str, Any] = {}
        """What one reading leaves for the next one."""

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of NVML on this GPU; raises a `DriverError`."""
        return self._nvml.call(self.uuid, function, self.handle, *arguments)

    def ask_of(self, part: Any, function: str, *arguments: Any) -> Any:
        """Call a function on a part of this GPU."""
        return self._nvml.call(self.uuid, function, part, *arguments)

    def ask_alone(self, function: str, *arguments: Any) -> Any:
        """Call a function for this GPU that takes no handle."""
        return self._nvml.call(self.uuid, function, *arguments)

    def learn(self, name: str, ask: Callable[[Held], Any], why: dict[str, str]) -> Any:
        """The answer, or None with the reason noted in `why`; "not supported" for good.

        Raises what concerns the whole GPU.
        """
        if name in self.absent:
            why[name] = self.absent[name]
            return None
        try:
            return ask(self)
        except Unsupported as error:
            why[name] = self.absent[name] = cause_of(error)
        except FATAL:
            raise
        except SOFT as error:
            why[name] = cause_of(error)
        return None

    def optional(self, function: str, *arguments: Any) -> Any:
        """The answer, or None where this value cannot be had; raises what concerns the GPU."""
        try:
            return self.ask(function, *arguments)
        except FATAL:
            raise
        except DriverError:
            return None
