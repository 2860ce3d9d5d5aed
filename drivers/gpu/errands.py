"""What the supervisor asks of its child, one GPU at a time, and what comes back."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from drivers.gpu.answers import DriverFacts, EventKind, GpuScan, Problem
from drivers.gpu.protocol import Tier
from drivers.gpu.wants import Setting
from drivers.model_gpu import GpuFacts


class _Errand(Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    id: int


class Enumerate(_Errand, frozen=True, kw_only=True, tag="enumerate"):
    """Open every GPU but those to skip; `renew` closes the driver before.

    Where some are to be skipped the others are opened by their PCI address: numbers may have
    changed. One whose UUID was never seen is skipped by its number, written `#3`.
    """

    known: dict[str, str] = {}
    """PCI addresses by UUID, as they were seen before."""
    skip: tuple[str, ...] = ()
    renew: bool = False


class Examine(_Errand, frozen=True, kw_only=True, tag="examine"):
    """Say what one GPU is, and forget what it did not support."""

    uuid: str


class Read(_Errand, frozen=True, kw_only=True, tag="read"):
    """Read one GPU."""

    uuid: str
    tiers: tuple[Tier, ...]


class Put(_Errand, frozen=True, kw_only=True, tag="put"):
    """Set one thing on one GPU, and read it back."""

    uuid: str
    setting: Setting


Errand = Enumerate | Examine | Read | Put


class _Returns(Struct, frozen=True, kw_only=True, tag_field="is", omit_defaults=True):
    id: int


class Seat(Struct, frozen=True):
    """A GPU that could be opened, and where it is."""

    uuid: str
    pci_address: str
    index: int


class Enumerated(_Returns, frozen=True, kw_only=True, tag="enumerated"):
    """Which GPUs could be opened; `unopened` counts those that the driver lists and keeps shut."""

    driver: DriverFacts
    seats: tuple[Seat, ...]
    unopened: int = 0
    hears_events: bool = True


class Examined(_Returns, frozen=True, kw_only=True, tag="examined"):
    """What the GPU is."""

    facts: GpuFacts


class WasRead(_Returns, frozen=True, kw_only=True, tag="was_read"):
    """What it showed."""

    scan: GpuScan


class WasPut(_Returns, frozen=True, kw_only=True, tag="was_put"):
    """What it showed before and after."""

    before: dict[str, Any]
    after: dict[str, Any]
    words: str


class NotDone(_Returns, frozen=True, kw_only=True, tag="not_done"):
    """Why not."""

    problem: Problem


class Noticed(Struct, frozen=True, kw_only=True, tag_field="is", tag="noticed", omit_defaults=True):
    """The driver told something by itself."""

    kind: EventKind
    at: float
    message: str
    uuid: str | None = None
    pci_address: str | None = None
    xid: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None


Returned = Enumerated | Examined | WasRead | WasPut | NotDone
FromChild = Returned | Noticed

encode = msgspec.msgpack.Encoder().encode
errand_decoder: msgspec.msgpack.Decoder[Errand] = msgspec.msgpack.Decoder(Errand)
from_child_decoder: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
