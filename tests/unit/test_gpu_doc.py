"""What docs/gpu.md says of GPUs is so."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from agent.cli.deeds import DEEDS, wanted
from agent.command.verbs import VERBS
from agent.config.schema import Gpu
from drivers.gpu.__main__ import _parser
from drivers.gpu.bounds import Bounds
from drivers.gpu.nvml.metrics import fields_of
from drivers.gpu.protocol import Tier
from drivers.gpu.xid import load_table
from drivers.model_gpu import GpuFacts, GpuReading

DOC = (Path(__file__).parents[2] / "docs/gpu.md").read_text()

# default-counters.csv of dcgm-exporter at d5e5f51: the rows that are not commented out
DCGM = frozenset(
    {
        *("DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_MEMORY_TEMP"),
        *("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE"),
        *("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER"),
        *("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_ENC_UTIL"),
        *("DCGM_FI_DEV_DEC_UTIL", "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_FB_FREE"),
        *("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_RESERVED"),
        *("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "DCGM_FI_DEV_VGPU_LICENSE_STATUS"),
        *("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"),
        *("DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DRIVER_VERSION"),
        *("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"),
        *("DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_PCIE_TX_BYTES"),
        "DCGM_FI_PROF_PCIE_RX_BYTES",
    }
)
BEFORE_HOPPER = frozenset(name for name in DCGM if name.startswith("DCGM_FI_PROF_"))
LACKED = (
    *("power_limit_w", "power_limit_enforced_w", "throttle_reasons", "throttled_power_cap_ns"),
    *("ecc_corrected", "ecc_uncorrected", "nvlinks", "processes", "mig_enabled", "mig_instances"),
    *("recovery_action", "persistence", "fabric_state", "sm_occupancy_percent"),
)
"""What dcgm-exporter has not among its defaults."""


def rows(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    after = DOC.split(f"\n| {heading} |", 1)[1].splitlines()[2:]
    lines = after[: next(n for n, line in enumerate(after) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# --- dcgm-exporter ---------------------------------------------------------------------------


def test_every_default_of_dcgm_exporter_has_its_row():
    named = [code(name)[0] for name, _ in rows("dcgm-exporter")]
    assert len(named) == len(DCGM) == 26
    assert set(named) == DCGM


def test_what_the_rows_name_is_read_without_being_asked_for():
    read = fields_of((Tier.FAST, Tier.MEDIUM, Tier.SLOW))
    for name, here in rows("dcgm-exporter"):
        if "event" in here or "inventory" in here:
            continue
        for field in code(here):
            assert field in GpuReading.__struct_fields__, name
            assert field in read, name


def test_the_two_that_are_no_field_are_an_event_and_a_fact():
    table = {code(name)[0]: here for name, here in rows("dcgm-exporter")}
    assert code(table["DCGM_FI_DEV_XID_ERRORS"]) == ["gpu.fault"]
    contract = (Path(__file__).parents[2] / "docs/mqtt.md").read_text()
    assert "| `gpu.fault` |" in contract
    (fact,) = code(table["DCGM_FI_DRIVER_VERSION"])
    assert fact in GpuFacts.__struct_fields__


def test_what_nvml_cannot_give_is_said():
    marked = {code(name)[0] for name, here in rows("dcgm-exporter") if "NVML cannot" in here}
    assert marked == BEFORE_HOPPER


def test_what_dcgm_exporter_lacks_is_read():
    assert set(LACKED) <= fields_of((Tier.FAST, Tier.MEDIUM, Tier.SLOW))


# --- XIDs ------------------------------------------------------------------------------------


def codes(text: str) -> list[int]:
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def test_the_table_of_xids_is_the_one_that_is_used():
    table = load_table()
    listed: list[int] = []
    for numbers, action, quarantine, _ in rows("codes"):
        meanings = [table.of(number) for number in codes(numbers)] or [table.default]
        listed += codes(numbers)
        for meaning in meanings:
            assert code(action) == [meaning.action.value], numbers
            assert quarantine == ("yes" if meaning.quarantine else "no"), numbers
    assert sorted(listed) == sorted(table.meanings)


# --- set-up, paces, deeds --------------------------------------------------------------------


def test_every_option_of_the_service_is_told():
    known = {word for action in _parser()._actions for word in action.option_strings}
    told = {option for cell, *_ in rows("option") for option in re.findall(r"--[a-z-]+", cell)}
    assert told == known - {"-h", "--help"}


def test_paces_are_the_defaults():
    for pace, key, _ in rows("pace"):
        if pace == "never":
            continue
        (name,) = code(key)
        assert f"{getattr(Gpu(), name):g} s" in key


def test_what_is_said_of_hanging_is_what_is_done():
    bounds = Bounds()
    for value, name in re.findall(r"(\d+) s(?: more)? \(`(\w+)`\)", DOC):
        assert float(value) == getattr(bounds, name), name
    for name in re.findall(r"`(\w+_s)`", DOC.split("## A GPU that hangs")[1].split("##")[0]):
        assert name in Bounds.__struct_fields__


def test_deeds_are_what_they_are_said_to_be():
    told = set()
    for deeds, verbs, _ in rows("deed"):
        for typed in code(deeds):
            word, *arguments = typed.split()
            verb, params = wanted(word, arguments)
            msgspec.convert(params, VERBS[verb].params)
            assert verb in code(verbs), typed
            assert VERBS[verb].dangerous == ("*" in deeds), typed
            told.add(verb)
    assert told == {verb for verb in VERBS if verb.startswith("gpu.")} | {"power.limit"}
    assert "power-limit" in DEEDS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+_[a-z]+)`", DOC))))
def test_names_of_fields_exist(name):
    known = {
        *GpuReading.__struct_fields__,
        *GpuFacts.__struct_fields__,
        *Gpu.__struct_fields__,
        *Bounds.__struct_fields__,
        *("gpu_missing", "version_mismatch"),
        *(meaning.action.value for meaning in load_table().meanings.values()),
    }
    assert name in known
