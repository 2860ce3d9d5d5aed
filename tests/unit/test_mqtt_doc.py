"""docs/mqtt.md says of commands what the code does: every claim, verb, state and reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.command.effects import Verdict
from agent.command.verbs import VERBS
from agent.remote.admission import MOST_UNDER_WAY, READ_EXPIRY_S
from agent.remote.claims import Claims, Rollout, Target
from agent.remote.envelope import COMMAND_LIMIT_BYTES
from agent.remote.messages import CommandState, DeviceResult, State
from agent.remote.node_verbs import NODE_VERBS, READ_NOW
from agent.remote.reasons import Reason

GUIDE = (Path(__file__).parents[2] / "docs/mqtt.md").read_text()
CHAPTER = GUIDE[GUIDE.index("\n## Commands\n") : GUIDE.index("\n## Alarms\n")]


def section(title: str) -> str:
    return CHAPTER.split(f"\n### {title}\n")[1].split("\n### ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of all tables of a section, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(title: str) -> list[str]:
    return [name for row in rows(title) for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_claim_and_member_of_a_target_is_explained() -> None:
    assert set(names("Claims")) == set(Claims.__struct_fields__)
    assert set(names("Targets")) == set(Target.__struct_fields__)
    assert all(f'"{name}":' in section("Waves") for name in Rollout.__struct_fields__)


def test_every_verb_stands_with_its_parameters_and_its_time() -> None:
    table = {re.findall(r"`([^`]+)`", row[0])[0]: row for row in rows("Verbs")}
    assert set(table) == {*VERBS, READ_NOW, *NODE_VERBS}
    for name, row in table.items():
        verb = VERBS.get(name) or NODE_VERBS.get(name)
        expiry_s = verb.expiry_s if verb else READ_EXPIRY_S
        assert row[-1] == f"{expiry_s:g} s", name
        params = verb.params.__struct_fields__ if verb else ()
        assert all(f"`{param}`" in row[1] for param in params), name
        assert bool(row[1]) == bool(params), name


@pytest.mark.parametrize("name", VERBS)
def test_what_is_said_of_a_verb_holds(name: str) -> None:
    (row,) = [row for row in rows("Verbs") if row[0].startswith(f"`{name}`")]
    verb = VERBS[name]
    assert ("past locks" in row[2]) == verb.past_locks
    assert ("dangerous" in row[2]) == verb.dangerous
    assert row[0].endswith("*") == (not verb.repeatable)


def test_every_state_and_every_field_of_it_is_explained() -> None:
    explained = names("Lifecycle")
    assert explained[-len(State) :] == [str(state) for state in State]
    assert set(explained[: -len(State)]) == set(CommandState.__struct_fields__)
    for state in State:
        (row,) = [row for row in rows("Lifecycle") if row[0] == f"`{state}`"]
        assert row[1].startswith("final:") == state.final


def test_every_reason_is_explained_once() -> None:
    assert sorted(names("Reasons")) == sorted(str(reason) for reason in Reason)


def test_every_verdict_and_member_of_a_result_is_explained() -> None:
    for name in (*DeviceResult.__struct_fields__, *map(str, Verdict)):
        assert f"`{name}`" in GUIDE, name


def test_the_figures_are_those_of_the_code() -> None:
    assert f"({COMMAND_LIMIT_BYTES:,} bytes)" in section("The envelope")
    assert f"| {MOST_UNDER_WAY:,} commands are under way" in section("Reasons")
