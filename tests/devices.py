"""Single devices for tests that need no fleet around them."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.config.locations import Location
from agent.fleet.inventory import Device
from drivers.api import Driver, Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.probe import Finding
from tests.fakes import FakeClock


def device_at(
    address: str = "10.1.2.3",
    *,
    number: int = 1,
    driver: Driver | None = None,
    driver_name: str = "mock",
    place: Location | None = None,
    **identity: Any,
) -> Device:
    """A device as the inventory would hold it; `identity` changes what it says of itself."""
    who = msgspec.structs.replace(mock_identity(number), **identity)
    driver = driver or MockMiner(who, FakeClock())
    finding = Finding(Endpoint(address), driver_name, driver, who, ())
    return Device(finding, place or Location(), 0.0)
