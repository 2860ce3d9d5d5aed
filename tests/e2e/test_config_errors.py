"""A wrong configuration ends the agent with exit code 78 and one clear line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness import STOKER

GOOD = '[site]\nname = "test"\n'
CASES = {
    "unknown key": (GOOD + "[polling]\nintervall_s = 3\n", "polling.intervall_s"),
    "bad type": (GOOD + '[polling]\ninterval_s = "often"\n', "polling.interval_s"),
    "out of range": (GOOD + "[polling]\ninterval_s = -1\n", "polling.interval_s"),
    "bad range": (GOOD + '[[range]]\naddresses = "10.0.0.0/40"\n', "range[0].addresses"),
    "overlap": (
        GOOD + '[[range]]\naddresses = "10.0.0.0/24"\n[[range]]\naddresses = "10.0.0.7"\n',
        "range[1].addresses",
    ),
    "missing key": ("[node]\nname = 'n'\n", "site"),
    "missing file": (GOOD + '[locations]\nfile = "nowhere.csv"\n', "locations.file"),
    "bad TOML": ("[site\n", "stoker.toml"),
}


@pytest.mark.parametrize("command", ["run", "check-config"])
@pytest.mark.parametrize("case", CASES)
def test_exit_78_and_one_line(tmp_path: Path, command: str, case: str) -> None:
    text, key = CASES[case]
    config = tmp_path / "stoker.toml"
    config.write_text(text)
    ended = _run(command, config)
    assert ended.returncode == 78
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, lines
    assert key in lines[0]
    assert "stoker.toml" in lines[0]


def test_no_such_file(tmp_path: Path) -> None:
    ended = _run("run", tmp_path / "none.toml")
    assert ended.returncode == 78
    assert "none.toml" in ended.stderr


def _run(command: str, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STOKER, command, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
