"""GPUs as a technician sees them: in a table, on a sheet, and by the names that they are called."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console, RenderableType

from agent.cli.gpu_names import choose, names_a_gpu
from agent.cli.gpu_sheet import NOT_READ, NOT_SUPPORTED, group_of, sheet
from agent.cli.gpu_table import bar, summary, table
from agent.errors import AgentError
from agent.local.gpu_views import GpuView, GpuViews, in_order
from drivers.model import Fault, Identity, Kind, State
from drivers.model_gpu import GpuFacts, GpuProcess, GpuReading, MigInstance

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GIB = 1 << 30
WIDE = 200


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def reading(number: int = 0, **values: object) -> GpuReading:
    shown = {
        "device_id": f"gpu-{uuid(number)}",
        "kind": Kind.GPU,
        "taken_at": AT,
        "state": State.OK,
        "utilisation_percent": 97,
        "memory_used_bytes": 60 * GIB,
        "memory_total_bytes": 80 * GIB,
        "power_w": 649.6,
        "power_limit_w": 700.0,
        "power_limit_enforced_w": 700.0,
        "temp_c": 54.0,
        "memory_temp_c": 61.0,
        "temp_margin_c": 33.0,
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "throttle_reasons": (),
        "processes": (GpuProcess(pid=1, kind="compute"),),
        "mig_enabled": False,
        **values,
    }
    return GpuReading(**shown)


def view(number: int = 0, **values: object) -> GpuView:
    shown = {
        "identity": Identity(
            id=f"gpu-{uuid(number)}", kind=Kind.GPU, model="NVIDIA H100 80GB HBM3"
        ),
        "address": f"pci:0000:{number + 16:02x}:00.0",
        "facts": GpuFacts(uuid=f"GPU-{uuid(number)}", index=number, driver_version="580.65.06"),
        "reading": reading(number),
        **values,
    }
    return GpuView(**shown)


def views(*gpus: GpuView, problem: str | None = None) -> GpuViews:
    return GpuViews(at=AT, source="the agent", gpus=gpus, problem=problem)


def text(shown: RenderableType, width: int = WIDE) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()


def line(*gpus: GpuView, width: int = WIDE) -> str:
    """The line of the first GPU."""
    return text(table(views(*gpus), width), width).splitlines()[1]


# --- the table -------------------------------------------------------------------------------


def test_a_gpu_is_one_line_with_all_that_matters():
    shown = line(view(3))
    for word in ("3", "H100 80GB HBM3", "13:00", "54/61", "650/700", "97 %", "60.0/80.0",
                 "1980/2619", "off", "ok"):  # fmt: skip
        assert word in shown
    assert "NVIDIA" not in shown
    assert "0000:" not in shown


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_eight_healthy_gpus_are_eight_lines_at_any_width(width):
    shown = text(table(views(*(view(number) for number in range(8))), width), width)
    assert len(shown.splitlines()) == 1 + 8 + 1
    assert max(map(len, shown.splitlines())) <= width


def test_what_is_not_known_is_a_dash_and_never_zero():
    bare = GpuReading(device_id="gpu-x", kind=Kind.GPU, taken_at=AT, state=State.OK)
    shown = line(view(reading=bare, facts=None, identity=Identity(id="gpu-x", kind=Kind.GPU)))
    assert "0" not in shown.replace("10:00", "")
    assert shown.count("-") >= 9


def test_the_limit_is_the_one_that_counts():
    assert "650/500" in line(view(reading=reading(power_limit_enforced_w=500.0)))
    assert "650/300" in line(
        view(reading=reading(power_limit_w=300.0, power_limit_enforced_w=None))
    )


def test_reasons_are_in_words():
    throttled = reading(throttle_reasons=("power_cap", "hw_thermal", "bit_12"))
    assert "power limit, heat (hardware), bit_12" in line(view(reading=throttled))


def test_in_mig_mode_the_load_is_what_it_measures_itself():
    cut = reading(
        utilisation_percent=None,
        graphics_active_percent=42.4,
        mig_enabled=True,
        mig_instances=(MigInstance(uuid="MIG-1"), MigInstance(uuid="MIG-2")),
    )
    shown = line(view(reading=cut))
    assert "42 %" in shown
    assert "2 inst." in shown


def test_faults_and_quarantine_are_said_quarantine_first():
    faults = (Fault("throttled", "clocks are held down"), Fault("quarantine", "XID 48; to be done"))
    shown = line(view(reading=reading(state=State.QUARANTINED, faults=faults)))
    assert "quarantine: XID 48; to be done; clocks are held down" in shown
    assert "1 in quarantine" in text(table(views(view(reading=reading(faults=faults))), WIDE))


def test_what_the_quarantine_says_already_is_not_said_twice():
    faults = (Fault("recovery_action", "wants: reset"), Fault("quarantine", "wants: reset, since"))
    assert line(view(reading=reading(faults=faults))).count("wants: reset") == 1


def test_a_gpu_that_is_gone_has_no_number_since_another_may_have_it():
    gone, there = view(5, gone=True), view(5)
    assert line(gone).split()[0] == "-"
    assert choose("gpu:5", views(gone, there)) is there
    assert in_order((gone, there)) == (there, gone)


def test_a_gpu_that_cannot_be_read_shows_why_and_no_old_values():
    shown = line(view(problem="fallen off the bus"))
    assert "fallen off the bus" in shown
    assert "650" not in shown


def test_an_old_reading_says_its_age():
    old = reading(taken_at=AT - timedelta(minutes=5))
    assert "read 5 min ago" in line(view(reading=old))


def test_one_that_was_never_read_is_said_to_be():
    assert "not read yet" in line(view(reading=None))


def test_the_last_line_adds_up():
    idle = reading(utilisation_percent=0, power_w=70.0, power_limit_enforced_w=300.0)
    lost = view(7, problem="gone")
    words = summary(views(view(0), view(1, reading=idle), lost))
    assert words == (
        "3 GPUs, 0.72 of 1.00 kW, 1 busy, 1 not read, driver 580.65.06; told by the agent"
    )


def test_why_nobody_is_read_is_said_once():
    shown = text(table(views(view(), problem="stoker-gpu hung up"), WIDE))
    assert shown.count("not read: stoker-gpu hung up") == 1


def test_names_of_devices_are_neither_markup_nor_control_characters():
    model = Identity(id="gpu-x", kind=Kind.GPU, model="[red]H\x1b[31m")
    shown = line(view(identity=model))
    assert "[red]H" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("percent", "cells"), [(0, ""), (100, "██████"), (50, "███"), (101, "██████")]
)
def test_bars(percent, cells):
    assert bar(percent) == cells.ljust(6)


def test_gpus_stand_in_the_order_of_their_numbers():
    gone = view(9, facts=None)
    found = in_order((gone, view(10), view(2)))
    assert [each.index for each in found] == [2, 10, None]


# --- the sheet -------------------------------------------------------------------------------

ELSEWHERE = {"device_id", "kind", "missing", "uptime_s"}
LISTS = {"faults", "processes", "fans", "nvlinks", "mig_instances"}


def test_every_field_of_a_reading_has_its_place():
    fields = set(GpuReading.__struct_fields__) - ELSEWHERE - LISTS
    assert not [name for name in fields if group_of(name) is None]


def test_the_sheet_shows_every_field_with_a_value_or_a_reason():
    bare = reading(missing=("ecc_corrected",))
    shown = text(sheet(view(reading=bare, facts=None), beside=False)).splitlines()
    for name in set(GpuReading.__struct_fields__) - ELSEWHERE - LISTS:
        (found,) = [row for row in shown if row.split()[:1] == [name] and row.strip() != name]
        value = found.removeprefix(name).strip()
        if getattr(bare, name) is None:
            assert value == (NOT_READ if name == "ecc_corrected" else NOT_SUPPORTED), name
        else:
            assert value, name


def test_the_sheet_says_why_a_fact_is_missing():
    known = GpuFacts(uuid="GPU-x", absent={"fans": "not_supported", "numa_node": "old_driver"})
    shown = text(sheet(view(facts=known), beside=False))
    assert "fans                   not supported" in shown
    assert "numa_node              needs a newer driver" in shown


def test_the_sheet_lists_parts():
    process = GpuProcess(pid=4711, kind="compute", memory_bytes=GIB)
    shown = text(sheet(view(reading=reading(processes=(process,))), beside=True))
    assert "4711" in shown


def test_values_have_their_units():
    values = {
        "energy_j": 7_200_000.0,
        "throttled_power_cap_ns": 2_500_000_000,
        "pcie_tx_bytes_s": 12e6,
        "persistence": True,
        "throttle_bits": 0x84,
    }
    shown = text(sheet(view(reading=reading(**values)), beside=False))
    for word in ("2.000 kWh", "2.5 s", "12.0 MB/s", "yes", "0x84", "60.00 GiB", "1,980 MHz"):
        assert word in shown


def test_a_view_passes_the_socket_as_it_is():
    found = views(view(), view(1, reading=None, facts=None, slot="PCIE1"))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(found)), GpuViews) == found


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["gpu:3", "GPU:3", "gpu:13:00", "gpu:0000:13:00.0", "gpu:0000:13:00", "gpu:13:00.0",
             f"gpu-{uuid(3)}", f"GPU-{uuid(3)}"]
)  # fmt: skip
def test_what_a_gpu_is_called(name):
    assert names_a_gpu(name)
    assert choose(name, views(*(view(number) for number in range(8)))).index == 3


@pytest.mark.parametrize(
    "name", ["gpu-07", "gpu", "gpu:", "gpu:x", "10.0.0.1", "gpu-07:4028", "gpu-07.example"]
)
def test_what_is_no_gpu_of_this_host(name):
    assert not names_a_gpu(name)


def test_a_number_that_there_is_not_names_those_there_are():
    with pytest.raises(AgentError, match="gpu:9: there is no such GPU; there are gpu:0, gpu:1"):
        choose("gpu:9", views(view(0), view(1)))
    with pytest.raises(AgentError, match="no GPUs are known"):
        choose("gpu:9", views())
