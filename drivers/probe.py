"""Which driver fits what answers at an address: by evidence that is kept, firmware first.

A device is asked only until something decides: `version` first, further reports and the front
page of its web server where that shows nothing or only words that other firmwares keep, the
framed port and single pages of an API last.
"""

from __future__ import annotations

import sys

import msgspec

from drivers.api import Context, Driver, Endpoint
from drivers.asic.models import known
from drivers.errors import Unreachable
from drivers.model import Identity
from drivers.registry import GENERIC_DRIVER, create
from drivers.sightings import Sightings

REPORTS = ("version", "stats", "devdetails", "get_version", "summary")
"""VNish 1.2.7 does not know `version`, its name stands in `stats`; a Whatsminer's stands in
`devdetails` and `get_version`."""


class Finding(msgspec.Struct, frozen=True):
    """What stands at an address: the driver that fits, the identity, and why we think so."""

    endpoint: Endpoint
    driver_name: str
    driver: Driver
    identity: Identity
    evidence: tuple[str, ...]


async def probe(endpoint: Endpoint, context: Context) -> Finding:
    """Find the driver for what answers at an address, and ask it who it is.

    Raises the `DriverError` that says why nothing usable answers there.
    """
    seen = Sightings(endpoint, context)
    name = await decide(seen)
    return await identify(name, endpoint, context, tuple(seen.evidence))


async def decide(seen: Sightings) -> str:
    """The name of the driver; what led to it is added to `seen.evidence`."""
    await seen.ask(REPORTS[0])
    for command in REPORTS[1:]:
        if seen.settled or not seen.rpc_answers:
            break
        await seen.ask(command)
    if not seen.settled:
        await seen.look_around()
    if not seen.settled:
        await seen.try_pages()
    found = seen.best
    if found is not None:
        return found
    if not seen.speaks_rpc:
        raise seen.problem or Unreachable("nothing answered")
    seen.evidence.append("no known sign: generic dialect")
    return GENERIC_DRIVER


async def identify(
    name: str, endpoint: Endpoint, context: Context, evidence: tuple[str, ...] = ()
) -> Finding:
    """Ask the device through a driver chosen by name; raises KeyError for an unknown one."""
    driver = create(name, endpoint, context)
    try:
        identity = await driver.identify()
    except BaseException:
        await driver.close()
        raise
    return Finding(endpoint, name, driver, completed(identity), tuple(map(sys.intern, evidence)))


def completed(identity: Identity) -> Identity:
    """The identity with what its model tells: devices seldom say what they hash."""
    model = known(identity.model)
    if model is None or identity.algorithm is not None:
        return identity
    return msgspec.structs.replace(identity, algorithm=model.algorithm)
