"""The table of drivers. Modules are imported when first needed: no GPU, no NVML."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import msgspec

from drivers.api import Clock, Context, Driver, Endpoint
from drivers.model import Kind
from drivers.wire.exchange import SocketWire
from drivers.wire.http import HttpPool


class Spec(msgspec.Struct, frozen=True):
    """Where a driver's class is, and what kind of device it drives."""

    path: str
    kind: Kind
    title: str


DRIVERS: dict[str, Spec] = {
    "antminer": Spec("drivers.asic.antminer:Antminer", Kind.ASIC, "Bitmain stock firmware"),
    "cgminer": Spec("drivers.asic.cgminer:Cgminer", Kind.ASIC, "cgminer and its descendants"),
}


def create(name: str, endpoint: Endpoint, context: Context) -> Driver:
    """A driver of that name for that endpoint; KeyError for a name not in the table."""
    module, _, class_name = DRIVERS[name].path.partition(":")
    return cast("Driver", getattr(import_module(module), class_name)(endpoint, context))


def host(clock: Clock) -> Driver:
    """The driver of the host that we run on."""
    return cast("Driver", import_module("drivers.host.host").Host(clock))


class Network:
    """The way to the devices of one network: a wire and an HTTP client that share it.

    Belongs to one running event loop; use it as an async context manager.
    """

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._source_address = source_address
        self._interface = interface
        self.wire: SocketWire
        self.web: HttpPool

    async def __aenter__(self) -> Network:
        self.wire = SocketWire(source_address=self._source_address, interface=self._interface)
        self.web = HttpPool(source_address=self._source_address, interface=self._interface)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wire.close()
        await self.web.close()
