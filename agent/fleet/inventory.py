"""Which devices there are, by identity; an address is only where one was last seen.

Decides what an identity seen at an address means: found, moved, replaced, identified,
changed or duplicate. Touches no network: who asks whom is `discovery` and `poller`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from agent.config.locations import Location
from agent.fleet.continuity import Baseline
from agent.fleet.events import Event
from agent.fleet.health import HealthTracker
from agent.fleet.turn import Turn
from drivers.api import Driver, Endpoint
from drivers.model import Identity, Reading, State
from drivers.probe import Finding

Locate = Callable[[str, Identity | None], Location]
"""Where the device of an address stands, as far as it is known who it is."""

_TELLING = ("model", "firmware", "firmware_version", "serial", "hostname")


class Device:
    """One device at its present address."""

    # A site has 30,000 of them.
    __slots__ = (
        "acted_at",
        "baseline",
        "counters",
        "driver",
        "driver_name",
        "endpoint",
        "evidence",
        "health",
        "identity",
        "last",
        "location",
        "since",
        "state",
        "turn",
    )

    def __init__(self, finding: Finding, location: Location, since: float) -> None:
        self.endpoint: Endpoint = finding.endpoint
        self.driver_name = finding.driver_name
        self.driver: Driver = finding.driver
        self.identity: Identity = finding.identity
        self.evidence = finding.evidence
        self.location = location
        self.since = since
        """When it was entered at its address, in seconds since the epoch."""
        self.health = HealthTracker()
        self.baseline: Baseline | None = None
        self.last: Reading | None = None
        self.state: State | None = None
        """The last state that was told, not `unknown`."""
        self.counters: tuple[float, ...] = ()
        """The counters of the last fingerprint."""
        self.acted_at = -math.inf
        """When something was last done to it (monotonic): its uptime may begin anew after that."""
        self.turn = Turn()
        """One connection at a time: whoever speaks to the device holds it."""

    def __repr__(self) -> str:
        return f"<Device {self.identity.id} at {self.endpoint.address}: {self.health.state}>"

    @property
    def id(self) -> str:
        """The stable id, provisional or not."""
        return self.identity.id

    @property
    def address(self) -> str:
        """Where it was last seen."""
        return self.endpoint.address

    @property
    def subnet(self) -> str:
        """What it shares with those near it: its /24, and of what has no address, its host."""
        return self.address.rpartition(".")[0] if self.address.count(".") == 3 else "built in"

    @property
    def known(self) -> Known:
        """What is kept of it over a restart."""
        return Known(self.identity, self.address, self.since, self.driver_name)


class Known(msgspec.Struct, frozen=True):
    """What survives a restart of a device: who it is and where it was last seen."""

    identity: Identity
    address: str
    since: float = 0.0
    """Who came to an address last is the one that stands there."""
    driver_name: str = ""
    """How it was read; empty in records of the first version."""


class Settled(msgspec.Struct, frozen=True):
    """What an identity at an address came to."""

    device: Device
    events: tuple[Event, ...]
    displaced: tuple[Device, ...] = ()
    """Devices that no longer stand where they were: nothing more is read under their ids."""


class Inventory:
    """The devices of this node, by address and by id."""

    def __init__(self, locate: Locate) -> None:
        self.locate = locate
        self._by_address: dict[str, Device] = {}
        self._by_id: dict[str, Device] = {}
        self._known: dict[str, Known] = {}
        self._known_at: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._by_address)

    def __iter__(self) -> Iterator[Device]:
        return iter(self._by_address.values())

    def at(self, address: str) -> Device | None:
        """The device at an address."""
        return self._by_address.get(address)

    def by_id(self, device_id: str) -> Device | None:
        """The device of an id, where it stands somewhere."""
        return self._by_id.get(device_id)

    @property
    def known(self) -> dict[str, Known]:
        """Every confirmed identity ever seen, also those that stand nowhere now."""
        return self._known

    def remember(self, known: Known) -> None:
        """Take over what a former run knew."""
        there = self._known.get(self._known_at.get(known.address, ""))
        if there is None or there.since <= known.since:
            self._note(known)
        else:
            self._known[known.identity.id] = known

    def standing(self) -> list[Known]:
        """Of what is known: who stood at an address last."""
        return [self._known[device_id] for device_id in self._known_at.values()]

    def restore(self, finding: Finding, since: float) -> Device:
        """Place a device where a former run left it; nothing has been seen of it yet."""
        device = Device(finding, self.locate(finding.endpoint.address, finding.identity), since)
        self._by_address[device.address] = device
        self._by_id[device.id] = device
        return device

    def forget(self, device_id: str) -> Device | None:
        """Know a device no more, wherever it stands; gives it where it stood somewhere."""
        device = self._by_id.pop(device_id, None)
        if device is not None:
            self._by_address.pop(device.address, None)
        known = self._known.pop(device_id, None)
        if known is not None and self._known_at.get(known.address) == device_id:
            del self._known_at[known.address]
        return device

    def settle(self, finding: Finding, now: float) -> Settled:
        """Enter what was found at an address (`now`: seconds since the epoch)."""
        address = finding.endpoint.address
        here = self._by_address.get(address)
        if here is not None and here.id == finding.identity.id:
            return self._confirm(here, finding, now)
        events = self._events_of_arrival(finding, here, now)
        displaced = self._displace(finding, here)
        device = Device(finding, self.locate(address, finding.identity), now)
        self._by_address[address] = device
        self._by_id[device.id] = device
        self._note(device.known)
        return Settled(device, tuple(events), tuple(displaced))

    def as_duplicate(self, finding: Finding, now: float) -> Settled:
        """Enter a second machine that shows the identity of one that still stands elsewhere.

        It gets the provisional id of its address: two machines never share one history.
        """
        claimed = finding.identity.id
        provisional = msgspec.structs.replace(
            finding.identity, id=finding.endpoint.provisional_id, mac=None, serial=None
        )
        here = self._by_address.get(finding.endpoint.address)
        settled = self.settle(msgspec.structs.replace(finding, identity=provisional), now)
        if here is not None and here.id == provisional.id:
            return settled  # said before
        other = self._by_id.get(claimed)
        event = _event(
            "device.duplicate",
            now,
            finding,
            f"shows the identity {claimed}, which still stands at {other and other.address}",
            claimed_id=claimed,
        )
        return msgspec.structs.replace(settled, events=(*settled.events, event))

    def _confirm(self, here: Device, finding: Finding, now: float) -> Settled:
        changed = {
            field: [before, after]
            for field in _TELLING
            if (before := getattr(here.identity, field))
            != (after := getattr(finding.identity, field))
        }
        here.identity = finding.identity
        here.driver, here.driver_name = finding.driver, finding.driver_name
        self._note(here.known)
        if not changed:
            return Settled(here, ())
        words = ", ".join(f"{field} {was} -> {is_}" for field, (was, is_) in changed.items())
        # Behind a provisional id another make or model can only be another machine.
        name = "device.changed"
        if finding.identity.provisional and "model" in changed:
            name = "device.replaced"
        return Settled(here, (_event(name, now, finding, words, changes=changed),))

    def _events_of_arrival(self, finding: Finding, here: Device | None, now: float) -> list[Event]:
        identity, address = finding.identity, finding.endpoint.address
        # Behind a provisional id may stand the machine that was known here, or another one.
        was_here = self._known_at.get(address)
        events: list[Event] = []
        if here is not None and here.identity.provisional:
            text = f"was {here.id} until it showed who it is"
            events.append(_event("device.identified", now, finding, text, former_id=here.id))
        if was_here and identity.provisional:
            text = f"{was_here} stood here; what answers now does not show who it is"
            events.append(_event("device.unconfirmed", now, finding, text, former_id=was_here))
        elif was_here and was_here != identity.id:
            location = self.locate(address, identity)
            events.append(
                _event(
                    "device.replaced",
                    now,
                    finding,
                    f"stands where {was_here} stood",
                    former_id=was_here,
                    slot=location.slot,
                    asset_id=location.asset_id,
                )
            )
        known = self._known.get(identity.id)
        if known and known.address != address:
            text = f"moved from {known.address} to {address}"
            events.append(_event("device.moved", now, finding, text, former_address=known.address))
        if not events and not known:
            events.append(_event("device.found", now, finding, f"{_kind(identity)} at {address}"))
        return events

    def _displace(self, finding: Finding, here: Device | None) -> list[Device]:
        displaced: list[Device] = []
        former = self._by_id.get(finding.identity.id)
        for device in (here, former):
            if device is not None and device not in displaced:
                self._by_address.pop(device.address, None)
                self._by_id.pop(device.id, None)
                displaced.append(device)
        return displaced

    def _note(self, known: Known) -> None:
        device_id = known.identity.id
        if known.identity.provisional:
            return
        before = self._known.get(device_id)
        if before and self._known_at.get(before.address) == device_id:
            del self._known_at[before.address]
        self._known[device_id] = known
        self._known_at[known.address] = device_id


def _kind(identity: Identity) -> str:
    make, model = identity.make or "", identity.model or ""
    return (model if model.startswith(make) else f"{make} {model}").strip() or "unknown make"


def _event(name: str, now: float, finding: Finding, message: str, **details: Any) -> Event:
    return Event(
        name=name,
        at=datetime.fromtimestamp(now, UTC),
        message=message,
        device_id=finding.identity.id,
        address=finding.endpoint.address,
        details={key: value for key, value in details.items() if value is not None},
    )
