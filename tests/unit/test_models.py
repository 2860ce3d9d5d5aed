"""The table of models: facts on the machines' make."""

import pytest

from drivers.asic import models
from drivers.sim.models import load_models


@pytest.mark.parametrize(
    ("name", "boards", "chips", "fans"),
    [
        ("Antminer S9", 3, 63, 2),
        ("Antminer S19", 3, 76, 4),
        ("Antminer S19 Pro", 3, 114, 4),
        ("antminer s19 PRO", 3, 114, 4),
        ("Antminer S19 XP", 3, 110, 4),
        ("Antminer S21", 3, 108, 4),
    ],
)
def test_known_models(name: str, boards: int, chips: int, fans: int) -> None:
    model = models.known(name)
    assert model is not None
    assert (model.boards, model.chips, model.fans) == (boards, chips, fans)


@pytest.mark.parametrize("name", [None, "", "Antminer", "Antminer S19 Pro (Vnish 1.2.7)", "S19"])
def test_an_unknown_model_is_not_guessed(name: str | None) -> None:
    assert models.known(name) is None


def test_every_row_is_sound() -> None:
    rows = models._by_name()
    assert len(rows) > 100
    for model in rows.values():
        for figure in (model.boards, model.chips, model.fans):
            assert figure is None or 0 <= figure < 1000, model


def test_table_and_simulator_agree() -> None:
    for simulated in load_models().values():
        model = models.known(simulated.name)
        if simulated.dialect.startswith("stock"):
            assert model is not None, simulated.name
            assert (model.boards, model.chips) == (simulated.boards, simulated.chips)
