"""MicroBT Whatsminer over port 4028: read through APIs 1 and 2, given orders through API 2.

Reading takes no password. Orders take the machine's `admin` password and a token, which
`keep_ready` gets beforehand, so that shedding costs one request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic.whatsminer.access import Access
from drivers.asic.whatsminer.orders import LATENCIES, Orders
from drivers.asic.whatsminer.reader import Reader
from drivers.capabilities import PoolSetting
from drivers.model import Identity, Sample

_NONE: Mapping[str, Latency] = {}
NOTHING_TO_KEEP_S = 3600.0


class Whatsminer:
    """A Whatsminer that speaks API 1 or 2."""

    __slots__ = ("_access", "_orders", "_reader")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._reader = Reader(endpoint, context)
        self._access = Access(endpoint, context)
        self._orders = Orders(self._access)

    async def identify(self) -> Identity:
        """By all commands that name the machine; raises only where none answers."""
        return await self._reader.identify()

    async def read(self) -> Sample:
        """One joined question where the firmware allows it, and now and then what does not join."""
        sample = await self._reader.read()
        self._orders.share.note(sample.reading)
        return sample

    async def close(self) -> None:
        """Nothing can be given back: the machine drops a token when it is old."""

    def refresh(self) -> None:
        """Forget what was kept between polls."""
        self._reader.refresh()

    async def keep_ready(self) -> float:
        """Have a token at hand; a machine of API 1 needs none."""
        return await self._access.keep_ready() if self._reader.writes else NOTHING_TO_KEEP_S

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """None for a machine of API 1."""
        return LATENCIES if self._reader.writes else _NONE

    async def pause(self) -> Receipt:
        """Switch the hash boards' power off; the control board stays."""
        return await self._orders.pause()

    async def resume(self) -> Receipt:
        """Switch it on again."""
        return await self._orders.resume()

    async def restart_mining(self) -> Receipt:
        """Restart the mining program."""
        return await self._orders.restart_mining()

    async def reboot(self) -> Receipt:
        """Restart the control board."""
        return await self._orders.reboot()

    async def limit_power(self, limit_w: float) -> Receipt:
        """Set the limit, which restarts the mining program."""
        return await self._orders.limit_power(limit_w)

    async def throttle(self, percent: float) -> Receipt:
        """Hold it at a share of the power that it settled at, within a second."""
        return await self._orders.throttle(percent)

    async def set_mode(self, mode: str) -> Receipt:
        """Choose `low`, `normal` or `high`."""
        return await self._orders.set_mode(mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools; there is room for three."""
        return await self._orders.set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink red, or hand the lights back to the firmware."""
        return await self._orders.locate(on=on)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Set the name."""
        return await self._orders.set_hostname(hostname)

    async def factory_reset(self) -> Receipt:
        """Forget pools, passwords and network."""
        return await self._orders.factory_reset()
