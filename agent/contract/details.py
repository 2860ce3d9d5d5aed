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
from agent.remote.claims import CommandId
from agent.remote.reasons import Reason
from agent.telemetry.messages import BootId, Count, Seq, Sha256

Change = Annotated[list[str | None], Meta(min_length=2, max_length=2)]
OrderId = CommandId


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing more."""


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


class GpuFault(Details, frozen=True):
    """A GPU, or the kernel for it, reported an error with a code. The same twice is two events."""

    code: str
    """The maker's code, such as `xid-79`."""
    count: Seq
    """How often this node has seen this code on this GPU."""
    untold: Count
    """How many of them, before this one, came so fast that they had no event of their own."""
    title: str | None = None
    """This and the next five: what the table of faults says of the code."""
    severity: str | None = None
    """`info`, `warning`, `error` (a job suffered), `fatal` (of no use until it is mended)."""
    cause: str | None = None
    """Where the cause lies as a rule: `application`, `gpu`, `memory`, `link`, `driver` ..."""
    action: str | None = None
    """What is to be done: `none`, `restart_job`, `maintenance`, `reset`, `reboot` ..."""
    quarantine: bool | None = None
    """Whether the GPU takes no more jobs until that is done."""
    note: str | None = None
    source: str | None = None
    """Who told it first: `driver` or `kernel_log`."""
    process: str | None = None
    """Whose work it was: its number, and its name."""
    gpu_instance: int | None = None
    compute_instance: int | None = None


class GpuRecovery(Details, frozen=True):
    """What the driver says has to be done with a GPU has changed."""

    action: str | None = None
    """`none`, `reset`, `node_reboot`, `drain_p2p` ..."""


class GpuQuarantined(Details, frozen=True):
    """A GPU must not be used until it was mended, or there is a further reason for it."""

    reasons: list[str]
    """Codes of faults, `recovery-` and what the driver wants done, or `ordered`."""
    action: str
    """What is to be done."""
    since: datetime
    who: str | None = None
    """Who ordered it."""


class GpuRecovered(Details, frozen=True):
    """The quarantine of a GPU is over: it was mended and then seen to be well, or it was lifted."""

    reasons: list[str]
    """Why it was in quarantine."""
    by: str
    """`reset`, `driver` (loaded anew), `reboot`, `back` (on the bus), `recovered` (the driver says
    so), `lifted`."""
    since: datetime
    after_s: float
    who: str | None = None
    """Who lifted it."""


class GpuLost(Details, frozen=True):
    """A GPU is not there any more; the message says how that showed."""


class GpuBack(Details, frozen=True):
    """It is there again."""


class GpuUnavailable(Details, frozen=True):
    """The driver lets nobody use it, and is about to say why."""


class GpuSlow(Details, frozen=True):
    """A call into the driver takes long; the others are served meanwhile."""


class GpuHung(Details, frozen=True):
    """A call into the driver does not return: which, since when, and what its process waits in."""


class GpuFreed(Details, frozen=True):
    """What was slow or hung came back, or its process is gone."""


class GpuReset(Details, frozen=True):
    """It was reset on request."""


class GpuReleased(Details, frozen=True):
    """All GPUs of this host were let go on request, and are not read meanwhile."""


class GpuResumed(Details, frozen=True):
    """They were taken up again."""


class GpuDriver(Details, frozen=True):
    """The host has another version of its GPU driver."""


class GpuUnserved(Details, frozen=True):
    """Nobody reads the GPUs of this host: their service does not answer, or it has no driver."""

    error: str
    """The class of the error."""
    devices: Seq
    """How many GPUs it concerns."""


class GpuServed(Details, frozen=True):
    """They are read again."""


class GpuMissing(Details, frozen=True):
    """Fewer GPUs are there than should be, or others than before are missing."""

    expected: Count
    seen: Count
    missing: list[str]
    """Those that are known by their ids."""


class GpuComplete(Details, frozen=True):
    """All are there again."""

    expected: Count
    seen: Count


class GpuForgotten(Details, frozen=True):
    """A GPU that is gone is not expected any more: the configuration says how many there are."""


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
