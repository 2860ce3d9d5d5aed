"""Everything about one GPU on a sheet, also what it cannot tell and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.cli.gpu_table import BAD, DIM, GIB, REASONS, WARN
from agent.cli.show import plain, rows
from agent.local.gpu_views import GpuView
from drivers.model_gpu import GpuFacts, GpuReading

NOT_SUPPORTED = "not supported"
NOT_READ = "not read"
_WHY = {"not_supported": NOT_SUPPORTED, "old_driver": "needs a newer driver"}
_PARTS = ("faults", "processes", "fans", "nvlinks", "mig_instances")
_PARTS_OF_FACTS = ("nvlink_peers", "mig_profiles")
_SHOWN_ELSEWHERE = frozenset({"device_id", "kind", "missing", "mig_instances", "absent"})

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("state", ("state", "taken_at", "recovery_action", "medium_age", "slow_age")),
    ("load", ("utilisation", "memory_utilisation", "encoder", "decoder", "graphics_active", "sm_a",
              "sm_o", "tensor", "dram", "integer", "fp")),
    ("memory", ("memory_",)),
    ("power", ("power", "energy")),
    ("heat", ("temp", "memory_temp")),
    ("clocks", ("sm_clock", "memory_clock", "graphics_clock", "video_clock", "performance")),
    ("held down", ("throttle",)),
    ("links", ("pcie", "nvlink", "fabric")),
    ("health", ("ecc", "sram", "row", "page", "repair")),
    ("settings", ("persistence", "compute_mode", "accounting", "mig", "vgpu")),
)  # fmt: skip
"""Which fields of a reading stand together, by how their names begin; the longest that fits."""


def sheet(view: GpuView, *, beside: bool) -> Group:
    """All that is known; groups stand beside each other where there is room for them."""
    tables: list[RenderableType] = [_identity(view)]
    if view.facts is not None:
        tables.append(_facts(view.facts))
    parts: list[RenderableType] = []
    if view.reading is not None:
        tables += _groups(view.reading)
        parts = [rows(name, found) for name in _PARTS if (found := _listed(view.reading, name))]
    if view.facts is not None:
        parts += [
            rows(name, found) for name in _PARTS_OF_FACTS if (found := _listed(view.facts, name))
        ]
    if view.problem is not None:
        parts.append(Text(f"not read: {view.problem}", BAD))
    return Group(Columns(tables, padding=(0, 3)) if beside else Group(*tables), *parts)


def group_of(name: str) -> str | None:
    """The title under which a field of a reading is shown."""
    fits = [(len(start), title) for title, starts in GROUPS for start in starts
            if name.startswith(start)]  # fmt: skip
    return max(fits)[1] if fits else None


def _identity(view: GpuView) -> Table:
    known = msgspec.to_builtins(view.identity)
    where = {"address": view.address, "slot": view.slot}
    shown = {name: value for name, value in {**known, **where}.items() if value is not None}
    return _pairs("identity", {name: plain(value) for name, value in shown.items()})


def _facts(facts: GpuFacts) -> Table:
    names = (name for name in facts.__struct_fields__ if name not in _PARTS_OF_FACTS)
    return _pairs(
        "what it is",
        {
            name: _value(name, getattr(facts, name), _WHY.get(facts.absent.get(name, ""), ""))
            for name in names
            if name not in _SHOWN_ELSEWHERE
        },
    )


def _groups(reading: GpuReading) -> list[Table]:
    groups: dict[str, dict[str, Text]] = {title: {} for title, _ in GROUPS}
    for name in reading.__struct_fields__:
        title = group_of(name)
        if title is not None and name not in (*_PARTS, *_SHOWN_ELSEWHERE):
            why = NOT_READ if name in reading.missing else NOT_SUPPORTED
            groups[title][name] = _value(name, getattr(reading, name), why)
    return [_pairs(title, pairs) for title, pairs in groups.items()]


def _pairs(title: str, pairs: Mapping[str, Text]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left", box=None, pad_edge=False)
    for name, value in pairs.items():
        table.add_row(Text(name, DIM), value)
    return table


def _listed(struct: GpuReading | GpuFacts, name: str) -> list[dict[str, Any]]:
    found: Iterable[Any] = getattr(struct, name) or ()
    return [msgspec.to_builtins(each) for each in found]


def _value(name: str, value: Any, why: str) -> Text:
    """A value as a person reads it, by the unit in its name."""
    if value is None:
        return Text(why or "-", WARN if why == NOT_READ else DIM)
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if name == "throttle_reasons":
        return plain(", ".join(REASONS.get(reason, reason) for reason in value) or "nothing")
    if name == "throttle_bits":
        return Text(f"{value:#x}")
    if isinstance(value, int | float):
        return Text(_number(name, value))
    return plain(value)


def _number(name: str, value: float) -> str:
    if name.endswith("_ns"):
        return f"{value / 1e9:,.1f} s"
    if name.endswith("_bytes_s"):
        return f"{value / 1e6:,.1f} MB/s"
    if name.endswith("_bytes"):
        return f"{value / GIB:,.2f} GiB"
    if name.endswith("_j"):
        return f"{value / 3.6e6:,.3f} kWh"
    for ending, (unit, digits) in _UNITS.items():
        if name.endswith(ending):
            return f"{value:,.{digits}f} {unit}"
    return f"{value:,}"


_UNITS = {
    "_percent": ("%", 0),
    "_mhz": ("MHz", 0),
    "_mib": ("MiB", 0),
    "_w": ("W", 0),
    "_c": ("°C", 0),
    "_s": ("s", 1),
}
