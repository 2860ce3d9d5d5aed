"""Columns and deadbands against the model."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest

from agent.telemetry.columns import (
    DEADBANDS,
    PARTS_LIMIT,
    WHOLE,
    Layouts,
    deadband,
    parts_of,
    shape_of,
    sound,
)
from drivers.model import Board, Fan, HostReading, Kind, MinerReading, Pool, Reading, State
from drivers.model_gpu import GpuReading, NvLink
from tests.unit.test_compact import AT, miner

EXACT = frozenset({"index"})


def numbers_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of a type and its parts that can be floats."""
    hints = typing.get_type_hints(kind)
    found = {name: hint for name, hint in hints.items() if float in (hint, *typing.get_args(hint))}
    for name, part in parts_of(kind).items():
        found |= {f"{name}.{field}": hint for field, hint in numbers_of(part).items()}
    return found


def kinds(root: type[Reading] = Reading) -> list[type[Reading]]:
    return [kind for each in root.__subclasses__() for kind in (each, *kinds(each))]


@pytest.mark.parametrize("kind", [k for k in kinds() if k.__module__.startswith("drivers.model")])
def test_every_measured_field_has_a_row_or_a_rule(kind: type[Reading]) -> None:
    without = [
        name
        for name in numbers_of(kind)
        if not any(
            row == name.rpartition(".")[2] or (row.startswith("_") and name.endswith(row))
            for row in DEADBANDS
        )
    ]
    assert not without


def test_counters_have_none() -> None:
    for name in ("shares_accepted", "hw_errors", "accepted", "rejected", "stale", "received_bytes"):
        assert deadband(name) is None


def test_units_have_theirs_in_every_name() -> None:
    assert deadband("temp_c") == deadband("some_new_temp_c") != None  # noqa: E711
    assert deadband("power_limit_w") is None
    assert deadband("power_w") is not None


def test_columns_are_those_of_the_struct() -> None:
    layout = Layouts().of(miner())
    assert layout.names[:3] == ["taken_at", "kind", "state"]
    assert "boards.1.chip_temp_c" in layout.names
    assert layout.counts == {"boards": 2, "fans": 1, "pools": 1}
    assert len(layout.values(miner())) == len(layout.names)


def test_a_shape_is_the_order_of_the_json() -> None:
    for kind in (MinerReading, HostReading, GpuReading):
        names = [field[0] if isinstance(field, list) else field for field in shape_of(kind)]
        assert names == list(kind.__struct_fields__)
        assert all([name] in shape_of(kind) for name in WHOLE)


def gpu(**fields: Any) -> GpuReading:
    return GpuReading(
        **{"device_id": "gpu-a", "kind": Kind.GPU, "taken_at": AT, "state": State.OK} | fields
    )


def test_a_list_that_is_not_there_is_not_an_empty_one() -> None:
    layouts = Layouts()
    none, empty, one = (layouts.of(gpu(fans=fans)) for fans in (None, (), (Fan(0),)))
    assert "fans" in none.shape
    assert ["fans", list(Fan.__struct_fields__)] in empty.shape
    assert empty.shape == one.shape
    assert len(one.names) == len(none.names) + len(Fan.__struct_fields__)


def test_parts_that_may_be_missing_have_columns_of_their_own() -> None:
    layout = Layouts().of(gpu(nvlinks=(NvLink(index=0), NvLink(index=1))))
    assert "nvlinks.1.crc_errors" in layout.names
    assert len(layout.values(gpu(nvlinks=(NvLink(index=0), NvLink(index=1))))) == len(layout.names)


def test_layouts_are_shared() -> None:
    layouts = Layouts()
    assert layouts.of(miner()) is layouts.of(miner(hashrate_ths=1.0))
    assert layouts.of(miner()) is not layouts.of(miner(boards=()))


def test_sound_readings_stay_as_they_are() -> None:
    assert sound(miner()) == miner()


def test_what_is_set_right_is_named() -> None:
    boards = tuple(Board(index=at) for at in range(PARTS_LIMIT + 5))
    fixed = sound(miner(boards=boards, pools=(Pool(url="\udcff", accepted=-(2**300)),)))
    assert isinstance(fixed, MinerReading)
    assert len(fixed.boards) == PARTS_LIMIT
    assert fixed.pools == (Pool(url="\\udcff"),)
    assert fixed.missing == ("boards", "pools.0.url", "pools.0.accepted")
