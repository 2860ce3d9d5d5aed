"""GPUs as a table: a line for each, what is wrong in colour. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.cli.show import UNKNOWN, figure, plain
from agent.local.gpu_views import GpuView, GpuViews
from drivers.model_gpu import GpuReading

QUARANTINE = "quarantine"
"""The code of the fault that a reading shows of a GPU that takes no jobs."""
GIB = 1 << 30
BAD, WARN, DIM, GOOD = "bold red", "yellow", "dim", "green"
STALE_S = 60.0
_HOT_C, _WARM_C = 3.0, 10.0
"""So near to the temperature at which the GPU slows down."""
_BAR_CELLS = 6
_EIGHTHS = " ▏▎▍▌▋▊▉█"

REASONS = {
    "idle": "idle",
    "clocks_setting": "locked clocks",
    "power_cap": "power limit",
    "hw_slowdown": "hardware slowdown",
    "sync_boost": "sync boost",
    "sw_thermal": "heat",
    "hw_thermal": "heat (hardware)",
    "power_brake": "power brake",
    "display_clocks": "display clocks",
    "board_limit": "board's power limit",
    "reliability": "voltage",
}
"""Why clocks are lower than they could be, as a technician says it."""
_ALARMING = frozenset({"hw_slowdown", "hw_thermal", "power_brake"})
_NO_MATTER = frozenset({"idle", "clocks_setting"})


class Column(NamedTuple):
    """One column, and how wide a terminal has to be to have it."""

    title: str
    from_width: int
    justify: Literal["left", "right"]
    cell: Callable[[GpuView], Text]
    wraps: bool = False


def table(views: GpuViews, width: int) -> Group:
    """A line for each GPU, and a line for all."""
    columns = [column for column in COLUMNS if width >= column.from_width]
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for column in columns:
        found.add_column(column.title, justify=column.justify, no_wrap=not column.wraps)
    found.add_column("state", overflow="fold")
    for view in views.gpus:
        found.add_row(*(column.cell(view) for column in columns), _state(view, views.at))
    problem = [Text.assemble((f"not read: {views.problem}", BAD))] if views.problem else []
    return Group(found, *problem, Text(summary(views), DIM))


def summary(views: GpuViews) -> str:
    """All GPUs in a line."""
    readings = [view.reading for view in views.gpus if view.reading and not view.problem]
    drawn_w = sum(reading.power_w or 0.0 for reading in readings)
    allowed_w = sum(limit_w(reading) or 0.0 for reading in readings)
    busy = sum((load(reading) or 0.0) > 0 for reading in readings)
    parts = [
        f"{len(views.gpus)} GPU{'s' if len(views.gpus) != 1 else ''}",
        f"{drawn_w / 1000:.2f} of {allowed_w / 1000:.2f} kW",
        f"{busy} busy",
    ]
    if not_read := sum(view.problem is not None for view in views.gpus):
        parts.append(f"{not_read} not read")
    if shunned := sum(bool(reasons_of(reading)) for reading in readings):
        parts.append(f"{shunned} in quarantine")
    versions = {view.facts.driver_version for view in views.gpus if view.facts} - {None}
    driver = f", driver {', '.join(sorted(map(str, versions)))}" if versions else ""
    return f"{', '.join(parts)}{driver}; told by {views.source}"


def load(reading: GpuReading) -> float | None:
    """How busy it is in percent; of a GPU in MIG mode as it measures that itself."""
    if reading.utilisation_percent is not None:
        return reading.utilisation_percent
    return reading.graphics_active_percent


def limit_w(reading: GpuReading) -> float | None:
    """The power limit that counts."""
    enforced_w = reading.power_limit_enforced_w
    return reading.power_limit_w if enforced_w is None else enforced_w


def bar(percent: float) -> str:
    """A bar of blocks, an eighth of a cell fine."""
    eighths = round(max(0.0, min(100.0, percent)) / 100 * _BAR_CELLS * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_CELLS)


# --- cells -----------------------------------------------------------------------------------


def _shown(
    cell: Callable[[GpuView, GpuReading], Text | str],
) -> Callable[[GpuView], Text]:
    """A cell of a reading; a dash where there is none."""

    def show(view: GpuView) -> Text:
        if view.reading is None or view.problem is not None:
            return Text(UNKNOWN, DIM)
        found = cell(view, view.reading)
        return Text(found, DIM if found == UNKNOWN else "") if isinstance(found, str) else found

    return show


def _number(view: GpuView) -> Text:
    return Text(UNKNOWN if view.index is None else str(view.index))


def _name(view: GpuView) -> Text:
    return plain((view.identity.model or "").removeprefix("NVIDIA "))


def _bus(view: GpuView) -> Text:
    place = view.address.removeprefix("pci:").removeprefix("0000:").removesuffix(".0")
    return plain(f"{view.slot} {place}" if view.slot else place)


def _heat(view: GpuView, reading: GpuReading) -> Text | str:
    memory = f"/{reading.memory_temp_c:.0f}" if reading.memory_temp_c is not None else ""
    words = f"{figure(reading.temp_c, digits=0)}{memory}"
    margin_c = reading.temp_margin_c
    if margin_c is None and view.facts and view.facts.temp_slowdown_c and reading.temp_c:
        margin_c = view.facts.temp_slowdown_c - reading.temp_c
    if margin_c is None or margin_c > _WARM_C:
        return words
    return Text(words, BAD if margin_c <= _HOT_C else WARN)


def _power(_: GpuView, reading: GpuReading) -> Text | str:
    words = f"{figure(reading.power_w, digits=0)}/{figure(limit_w(reading), digits=0)}"
    if words == f"{UNKNOWN}/{UNKNOWN}":
        return UNKNOWN
    asked_w, enforced_w = reading.power_limit_w, reading.power_limit_enforced_w
    lowered = asked_w is not None and enforced_w is not None and enforced_w < asked_w - 1
    return Text(words, WARN if lowered else "")


def _load(_: GpuView, reading: GpuReading) -> Text | str:
    busy = load(reading)
    if busy is None:
        return UNKNOWN
    return Text.assemble((bar(busy), GOOD), f" {busy:3.0f} %")


def _memory(_: GpuView, reading: GpuReading) -> str:
    used, total = reading.memory_used_bytes, reading.memory_total_bytes
    if used is None and total is None:
        return UNKNOWN
    return "/".join(figure(None if n is None else n / GIB) for n in (used, total))


def _clocks(_: GpuView, reading: GpuReading) -> str:
    clocks = (reading.sm_clock_mhz, reading.memory_clock_mhz)
    return "/".join(UNKNOWN if mhz is None else str(mhz) for mhz in clocks)


def _held_down(_: GpuView, reading: GpuReading) -> Text | str:
    if reading.throttle_reasons is None:
        return UNKNOWN
    words = Text()
    for reason in reading.throttle_reasons:
        style = BAD if reason in _ALARMING else DIM if reason in _NO_MATTER else WARN
        words.append(", " if words else "")
        words.append(REASONS.get(reason, reason), style)
    return words


def _processes(_: GpuView, reading: GpuReading) -> str:
    return UNKNOWN if reading.processes is None else str(len(reading.processes))


def _mig(_: GpuView, reading: GpuReading) -> str:
    if reading.mig_enabled is None:
        return UNKNOWN
    return f"{len(reading.mig_instances or ())} inst." if reading.mig_enabled else "off"


def _state(view: GpuView, at: datetime) -> Text:
    """What is wrong, the worst first; it may take several lines."""
    words: list[tuple[str, str]] = []
    reading = view.reading
    if view.problem is not None:
        words.append((view.problem, BAD))
    elif reading is not None:
        words += [(fault, BAD) for fault in _faults(reading)]
        age_s = (at - reading.taken_at).total_seconds()
        if age_s > STALE_S:
            words.append((f"read {age_s / 60:.0f} min ago", WARN))
    if not words:
        words = [(str(reading.state) if reading else "not read yet", GOOD if reading else DIM)]
    found = Text()
    for text, style in words:
        found.append("; " if found else "")
        found.append(plain(text).plain, style)
    return found


def reasons_of(reading: GpuReading | None) -> str:
    """Why a GPU is in quarantine; empty where it is not."""
    faults = reading.faults if reading else ()
    return " ".join(fault.message for fault in faults if fault.code == QUARANTINE)


def _faults(reading: GpuReading) -> list[str]:
    """The quarantine first, and then what its reasons do not say already."""
    reasons = reasons_of(reading)
    others = [each.message for each in reading.faults if each.code != QUARANTINE]
    told = [f"{QUARANTINE}: {reasons}"] if reasons else []
    return told + [message for message in others if message not in reasons]


COLUMNS = (
    Column("#", 0, "right", _number),
    Column("GPU", 0, "left", _name),
    Column("bus", 100, "left", _bus),
    Column("°C", 0, "right", _shown(_heat)),
    Column("power W", 0, "right", _shown(_power)),
    Column("load", 0, "left", _shown(_load)),
    Column("memory GiB", 0, "right", _shown(_memory)),
    Column("MHz", 120, "right", _shown(_clocks)),
    Column("held down by", 100, "left", _shown(_held_down), wraps=True),
    Column("proc.", 120, "right", _shown(_processes)),
    Column("MIG", 120, "left", _shown(_mig)),
)
