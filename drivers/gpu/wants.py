"""What can be set on a GPU, each as a struct of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Megahertz = Annotated[int, Meta(ge=1, le=100_000)]
INSTANCES_MAX = 16


class PowerLimit(Struct, frozen=True, tag_field="set", tag="power_limit"):
    """None sets the GPU's own default."""

    limit_w: Annotated[float, Meta(gt=0, le=100_000)] | None


class LockedClocks(Struct, frozen=True, tag_field="set", tag="locked_clocks"):
    """Hold the clock of the processors between two values; None lets it go."""

    min_mhz: Megahertz | None
    max_mhz: Megahertz | None


class LockedMemoryClocks(Struct, frozen=True, tag_field="set", tag="locked_memory_clocks"):
    """The same for the memory."""

    min_mhz: Megahertz | None
    max_mhz: Megahertz | None


class Persistence(Struct, frozen=True, tag_field="set", tag="persistence"):
    """Keep the driver's state, limits among it, while nobody uses the GPU."""

    on: bool


class ComputeMode(Struct, frozen=True, tag_field="set", tag="compute_mode"):
    """Who may use the GPU: all, one process, nobody."""

    mode: Literal["default", "exclusive_process", "prohibited"]


class Ecc(Struct, frozen=True, tag_field="set", tag="ecc"):
    """Error correction, from the next reset on."""

    on: bool


class MigMode(Struct, frozen=True, tag_field="set", tag="mig_mode"):
    """Whether the GPU is cut into instances; on some only from the next reset on."""

    on: bool


class MigLayout(Struct, frozen=True, tag_field="set", tag="mig_layout"):
    """The instances that there shall be, by the names of their profiles, such as `1g.10gb`."""

    profiles: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
        Meta(max_length=INSTANCES_MAX),
    ]


class FanDuty(Struct, frozen=True, tag_field="set", tag="fan_duty"):
    """Run the fans at a fixed duty, whatever the heat; None hands them back."""

    percent: Annotated[float, Meta(ge=0, le=100)] | None


Setting = (
    PowerLimit
    | LockedClocks
    | LockedMemoryClocks
    | Persistence
    | ComputeMode
    | Ecc
    | MigMode
    | MigLayout
    | FanDuty
)
