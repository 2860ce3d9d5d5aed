"""The agent is killed at every step of a change, and started again: no machine loses its pools."""

from __future__ import annotations

from importlib import import_module

import pytest

from drivers.registry import DRIVERS, Spec
from tests.e2e.steps import Change, Seen
from tests.e2e.walk import walk

pytestmark = pytest.mark.timeout(240)  # the walk is made once, before the first test

_CONF = r"^POST /\S*set_miner_conf"
_AXEOS = "^(PATCH /api/system|POST /api/system/restart)"
_VNISH = "^POST /api/v1/(settings|mining)"
_MARA = "^POST /kaonsu/v1/miner_config"
ONE_BY_ONE = (
    Change("CoinTerra TerraMiner (open API)", "addpool|switchpool|removepool", 6),
    Change("Antminer S21 (LuxOS)", "addpool|removepool", 5),
    Change("Goldshell KD6", "^PUT /mcb/(newpool|delpool|pools)", 5),
    Change("Avalon 1566", "setpool|reboot", 4),
    Change("Bitaxe Gamma", _AXEOS, 2),
    Change("NerdQAxe++", _AXEOS, 2),
    Change("Antminer S19j Pro (Braiins OS 24.09)", "updateGroups|restart", 2),
)
"""Several writes: half way there is a list that nobody wanted."""
WHOLE = (
    Change("Antminer S21", _CONF, 1),
    Change("Antminer S19 (Hiveon)", _CONF, 1),
    Change("Antminer S21 Pro", _MARA, 1),
    Change("Antminer S19 (MSKMiner)", "^POST /api/miner_settings", 1),
    Change("DG1+", _CONF, 1),
    Change("VolcMiner D1", _CONF, 1),
    Change("IceRiver KS5L", "pool1address=", 1),
    Change("Innosilicon T3-43T", "^POST /api/(updatePools|restartCgMiner)", 1),
    Change("SealMiner A2", "^POST /.*set_miner_poolconf", 1),
    Change("Teraflux AT1500", "^POST /updatepools", 1, noted=False),
    Change("Antminer S21 (Braiins OS 26.01)", "^PUT /api/v1/pools/batch", 1, noted=False),
    Change("Antminer S19j Pro (Vnish 1.2.6)", _VNISH, 1),
    Change("Whatsminer M30S+ VE40", '"enc"', 1, noted=False),
    Change("Whatsminer M60S VK40", r"set\.miner\.pools", 1, noted=False),
)
"""One write, noted where the list could be lost with it."""
SETTINGS = (
    Change("Antminer S21", _CONF, 1, noted=False, verb="mining.pause"),
    Change("Antminer S21 Pro", _MARA, 1, verb="mining.pause"),
    Change("Antminer S19j Pro (Vnish 1.2.6)", _VNISH, 2, verb="power.limit"),
)
"""Writes of the configuration, most with the pools in it, that mean something else."""
CHANGES = (*ONE_BY_ONE, *WHOLE, *SETTINGS)
each_change = pytest.mark.parametrize("change", CHANGES, ids=str)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """Every step of every change, walked at once."""
    return walk(tmp_path_factory.mktemp("killed"), CHANGES)


def seen_in(walked: list[Seen], change: Change) -> list[Seen]:
    return [each for each in walked if each.step.change is change]


def killed_in(walked: list[Seen], change: Change) -> list[Seen]:
    return [each for each in seen_in(walked, change) if each.step.number is not None]


def _class_of(spec: Spec) -> object:
    module, _, name = spec.path.partition(":")
    return getattr(import_module(module), name)


@each_change
def test_no_step_is_left_out(walked: list[Seen], change: Change) -> None:
    spare = next(each for each in seen_in(walked, change) if each.step.number is None)
    assert spare.verdict == "verified", spare.words
    assert spare.writes == change.steps


def test_no_driver_is_left_out(walked: list[Seen]) -> None:
    found = {each.driver for each in walked if each.step.change.noted}
    assert found == {name for name, spec in DRIVERS.items() if hasattr(_class_of(spec), "recover")}


@each_change
def test_old_pools_or_new_ones_and_it_works(walked: list[Seen], change: Change) -> None:
    for each in killed_in(walked, change):
        assert each.pools_before
        assert each.is_whole, str(each)


@each_change
def test_what_is_unfinished_is_reported_and_put_right(walked: list[Seen], change: Change) -> None:
    told = ["action.unfinished", "action.recovered"] if change.noted else []
    for each in killed_in(walked, change):
        events = [name for name in each.events if name.startswith("action.")]
        assert events == told, str(each)
