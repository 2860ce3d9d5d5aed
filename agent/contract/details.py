"""What the `details` of each event hold. What is absent is not known.

A test holds every event that is named in the code against this table, and the contract tests what
was heard.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.command.desired import Cause
from agent.command.orders import Result
from agent.contract.detail import Details
from agent.contract.gpu_details import (
    GpuBack,
    GpuComplete,
    GpuDriver,
    GpuFault,
    GpuForgotten,
    GpuFreed,
    GpuHung,
    GpuLost,
    GpuMissing,
    GpuQuarantined,
    GpuRecovered,
    GpuRecovery,
    GpuReleased,
    GpuReset,
    GpuResumed,
    GpuServed,
    GpuSlow,
    GpuUnavailable,
    GpuUnserved,
)
from agent.remote.claims import CommandId
from agent.remote.reasons import Reason
from agent.telemetry.messages import BootId, Count, Seq, Sha256

Change = Annotated[list[str | None], Meta(min_length=2, max_length=2)]
OrderId = CommandId


class DeviceFound(Details, frozen=True):
    """A device that this node has never seen, or one with a provisional id after a restart."""


class DeviceMoved(Details, frozen=True):
    """A known device answers at another address."""

    former_address: str


class DeviceReplaced(Details, frozen=True):
    """Another device stands where one was known."""

    former_id: str | None = None
    slot: str | None = None
    asset_id: str | None = None
    changes: dict[str, Change] | None = None
    """Behind a provisional id: by field of the identity, the value before and the value now."""


class DeviceIdentified(Details, frozen=True):
    """A device with a provisional id has shown who it is."""

    former_id: str


class DeviceChanged(Details, frozen=True):
    """Same device, other model, firmware, version, serial or host name."""

    changes: dict[str, Change]
    """By field of the identity, the value before and the value now."""


class DeviceDuplicate(Details, frozen=True):
    """Two machines show the same identity at once; the second gets a provisional id."""

    claimed_id: str


class DeviceUnconfirmed(Details, frozen=True):
    """Where a device was known, one answers that does not show who it is."""

    former_id: str


class DeviceOnline(Details, frozen=True):
    """It was offline and has answered twice in a row."""


class DeviceOffline(Details, frozen=True):
    """Three polls in a row have failed; the message is the last error."""

    error: str
    """The class of the last error."""


class DeviceState(Details, frozen=True):
    """Its state differs from the last one shown; unknown readings are passed over."""

    before: str
    after: str


class OrderDetails(Details, frozen=True):
    """An order."""

    order: OrderId
    """One word for all that belongs to one order."""
    verb: str
    target: str
    """As the sender wrote it."""
    who: str
    """The sender: `local:` and the user on the host; `key:` and the id of the key that signed the
    command; `agent:away` for what the node orders when the broker stays away; `agent:restore` for
    what it puts back."""


class ActionBegun(OrderDetails, frozen=True):
    """An order goes to several devices."""

    devices: Annotated[int, Meta(ge=2)]
    """Devices that the target means."""


class ActionEnded(OrderDetails, frozen=True):
    """It has ended on all of them."""

    verdicts: dict[str, Count]
    """Devices by verdict; verdicts without a device are left out."""
    not_done: list[str]
    """Ids of up to 50 devices that were not seen to do it."""
    not_done_more: Count
    """How many more there are."""


class ActionDone(OrderDetails, frozen=True):
    """An order for one device, named by its id or address, has ended."""

    result: Result


class ActionUnfinished(Details, frozen=True):
    """A change of several steps was left half done: the agent was killed, or the device broke."""


class ActionRecovered(Details, frozen=True):
    """The device has been put right: the change is complete or undone."""


class ActionUndone(Details, frozen=True):
    """An effect that was proved is gone, and nobody ordered that here."""

    verb: str
    """The verb whose effect is gone."""
    params: dict[str, Any] | None = None
    """Of GPUs, as all that follows: its parameters."""
    order: OrderId | None = None
    """What had ordered it."""
    cause: Cause | None = None
    times: Count | None = None
    """How often it was found so since this was told last."""
    restoring: bool | None = None
    """It is ordered anew, by `agent:restore`."""
    contested: bool | None = None
    """It was changed again within an hour after it was put back, and is left so from now on."""


class LockSet(Details, frozen=True):
    """Somebody locked devices against orders."""

    scope: str
    """What is locked."""
    who: str
    reason: str


class LockCleared(Details, frozen=True):
    """A lock was lifted."""

    scope: str
    """What was locked."""
    who: str
    """Whose lock it was; the message says who lifted it."""
    reason: str


class AuditHead(Details, frozen=True):
    """Where the audit ends. Keep it: `stoker audit verify --against` holds a later audit to it."""

    seq: Seq
    """The number of its last record."""
    hash: Sha256
    """Of the last record, and by that of all before it."""


class CommandRefused(Details, frozen=True):
    """Messages on a topic of commands were refused."""

    reason: Reason
    count: Seq
    """How many since this was last told."""


class StreamName(StrEnum):
    """What is numbered and kept."""

    TELEMETRY = "telemetry"
    EVENT = "event"


class LossReason(StrEnum):
    """Why readings or events are lost; docs/mqtt.md explains each."""

    THINNED = "thinned"
    OVER_BOUND = "over_bound"
    DISK = "disk"
    DAMAGED = "damaged"
    TORN = "torn"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    POISON = "poison"


class TelemetryGap(Details, frozen=True):
    """Readings or events are lost for good."""

    boot_id: str
    """Of the run that took them; empty where its segment cannot say."""
    stream: StreamName
    first_seq: Seq
    last_seq: Seq
    lost: Seq
    """How many of these numbers are lost; the others have come, or will."""
    taken_from: datetime = msgspec.field(name="from")
    taken_to: datetime = msgspec.field(name="to")
    reason: LossReason


class TelemetryEnded(Details, frozen=True):
    """At a start, for each earlier run of which something is still kept: how far it had got."""

    boot_id: BootId
    stream: StreamName
    epoch: Seq
    last_seq: Count
    """The last number that was found on the disk."""
    torn_bytes: Count
    """Bytes that were half written."""


class SpoolTrouble(Details, frozen=True):
    """The disk cannot be written; the message has the system's words."""


class SpoolRecovered(Details, frozen=True):
    """It can be written again."""


EVENTS: dict[str, type[Details]] = {
    "device.found": DeviceFound,
    "device.moved": DeviceMoved,
    "device.replaced": DeviceReplaced,
    "device.identified": DeviceIdentified,
    "device.changed": DeviceChanged,
    "device.duplicate": DeviceDuplicate,
    "device.unconfirmed": DeviceUnconfirmed,
    "device.online": DeviceOnline,
    "device.offline": DeviceOffline,
    "device.state": DeviceState,
    "gpu.fault": GpuFault,
    "gpu.recovery": GpuRecovery,
    "gpu.quarantined": GpuQuarantined,
    "gpu.recovered": GpuRecovered,
    "gpu.lost": GpuLost,
    "gpu.back": GpuBack,
    "gpu.unavailable": GpuUnavailable,
    "gpu.slow": GpuSlow,
    "gpu.hung": GpuHung,
    "gpu.freed": GpuFreed,
    "gpu.reset": GpuReset,
    "gpu.released": GpuReleased,
    "gpu.resumed": GpuResumed,
    "gpu.driver": GpuDriver,
    "gpu.unserved": GpuUnserved,
    "gpu.served": GpuServed,
    "gpu.missing": GpuMissing,
    "gpu.complete": GpuComplete,
    "gpu.forgotten": GpuForgotten,
    "action.begun": ActionBegun,
    "action.ended": ActionEnded,
    "action.done": ActionDone,
    "action.unfinished": ActionUnfinished,
    "action.recovered": ActionRecovered,
    "action.undone": ActionUndone,
    "lock.set": LockSet,
    "lock.cleared": LockCleared,
    "command.refused": CommandRefused,
    "audit.head": AuditHead,
    "telemetry.gap": TelemetryGap,
    "telemetry.ended": TelemetryEnded,
    "spool.trouble": SpoolTrouble,
    "spool.recovered": SpoolRecovered,
}
