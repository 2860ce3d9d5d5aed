"""Reads one device for a person on this host, as the fleet does or in another way."""

from __future__ import annotations

import contextlib

import msgspec

from agent.errors import AgentError
from agent.fleet.inventory import Device, Inventory
from agent.fleet.poller import Poller
from agent.fleet.reach import Reach
from agent.fleet.turn import Preempted
from agent.local.gpus import facts, view
from agent.local.protocol import Request
from drivers.capabilities import Refreshes
from drivers.model_gpu import GpuReading
from drivers.probe import identify, probe


class Reads:
    """Answers `read` requests."""

    def __init__(self, inventory: Inventory, poller: Poller, reach: Reach) -> None:
        self._inventory = inventory
        self._poller = poller
        self._reach = reach

    async def read(self, request: Request) -> bytes:
        """The identity and a reading, as JSON; raises `AgentError` and the driver's errors."""
        address = str(request.address)
        device = self._inventory.at(address) or self._inventory.by_id(address)
        try:
            if device is not None and not (request.driver or request.ports):
                return await self._read_as_known(device)
            # One connection at a time, also where the device is read in another way than usual.
            async with device.turn if device else contextlib.nullcontext():
                return await self._read_otherwise(address, request)
        except Preempted:
            raise AgentError(f"{address}: something urgent is done to it, ask again") from None

    async def _read_as_known(self, device: Device) -> bytes:
        of_gpu = facts(device) is not None
        if of_gpu and isinstance(device.driver, Refreshes):
            device.driver.refresh()  # all of its values, those that are read seldom among them
        reading = await self._poller.read_now(device)
        if of_gpu and isinstance(reading, GpuReading):
            return msgspec.json.encode(msgspec.structs.replace(view(device), reading=reading))
        return msgspec.json.encode({"identity": device.identity, "reading": reading})

    async def _read_otherwise(self, address: str, request: Request) -> bytes:
        """Read what is not in the inventory, or not as the inventory has it."""
        usual = self._reach.endpoint(address)
        if usual is None:
            raise AgentError(f"{address} is in none of this agent's ranges")
        context = self._reach.context(usual)
        endpoint = msgspec.structs.replace(usual, address=address, **request.ports)
        if request.driver is None:
            finding = await probe(endpoint, context)
        else:
            finding = await identify(request.driver, endpoint, context)
        try:
            sample = await finding.driver.read()
        finally:
            await finding.driver.close()
        return msgspec.json.encode({"identity": finding.identity, "reading": sample.reading})
