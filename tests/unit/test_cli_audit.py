"""`stoker audit`: what a technician and an auditor read of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.store.audit import AuditLog
from agent.store.audit_files import paths
from tests.fakes import FakeClock

ME = "local:ana"
RECORDS: list[tuple[str, str, dict[str, Any]]] = [
    ("key:ops-1", "command.accepted", {"command": "c1", "verb": "mining.pause", "reason": None}),
    (
        "key:ops-1",
        "order.begun",
        {"order": "c1", "verb": "mining.pause", "target": "all", "params": {}, "targets": 3},
    ),
    (
        "key:ops-1",
        "order.results",
        {
            "order": "c1",
            "verb": "mining.pause",
            "devices": {"asic-1": "verified", "asic-2": "refused", "asic-3": "verified"},
            "words": {"asic-2": "it is locked"},
        },
    ),
    (
        "key:ops-1",
        "order.ended",
        {"order": "c1", "verb": "mining.pause", "verdicts": {"refused": 1, "verified": 2}},
    ),
    (
        ME,
        "order.result",
        {
            "order": "c2",
            "verb": "power.limit",
            "result": {"device_id": "asic-11", "verdict": "failed", "words": "Unreachable"},
        },
    ),
    (ME, "lock.set", {"scope": "rack=b7", "who": ME, "reason": "fans"}),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An audit with a record of each kind, in several files."""
    write(tmp_path / "audit", RECORDS)
    return tmp_path / "audit"


def write(directory: Path, records: list[tuple[str, str, dict[str, Any]]]) -> None:
    async def noted() -> None:
        async with AuditLog(directory, FakeClock(), file_bytes=700) as audit:
            for each in records:
                audit.note(*each)

    asyncio.run(noted())


class Shell:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self.capsys = directory, capsys
        self.err = ""

    def run(self, *words: str, code: int = 0) -> str:
        assert main(["audit", *words, "--dir", str(self.directory)]) == code
        out, self.err = self.capsys.readouterr()
        return out


@pytest.fixture
def shell(directory: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(directory, capsys)


# --- verify ---------------------------------------------------------------------------------


def test_an_audit_that_nobody_touched_is_intact(shell: Shell) -> None:
    said = shell.run("verify")
    assert "intact: records 1 to 6 in 3 files" in said
    assert "--against" in said
    head = shell.run("head").strip()
    assert f"head: {head}" in said
    assert head.startswith("6:")
    assert "--against" not in shell.run("verify", "--against", head)


def test_it_is_found_by_the_configuration_too(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "stoker.toml"
    config.write_text('site.name = "north"\nnode.name = "n1"\nnode.state_dir = "."\n')
    assert main(["audit", "verify", "--config", str(config)]) == 0


def test_tampering_is_named_and_has_an_exit_code_of_its_own(shell: Shell) -> None:
    path = paths(shell.directory)[0]
    path.write_bytes(path.read_bytes().replace(b'"c1"', b'"c9"', 1))
    said = shell.run("verify", code=4)
    assert "TAMPERED: record 1 was altered" in said
    assert "audit-000000000001.log, line 1" in said


def test_a_tail_that_was_cut_is_found_against_a_head(shell: Shell) -> None:
    head = shell.run("head").strip()
    path = paths(shell.directory)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert "intact" in shell.run("verify")
    assert "the end was cut off: record 6" in shell.run("verify", "--against", head, code=4)
    for each in paths(shell.directory):
        each.unlink()
    assert "nothing is recorded" in shell.run("verify")
    assert "the end was cut off: record 1" in shell.run("verify", "--against", head, code=4)


def test_a_torn_record_is_no_tampering(shell: Shell) -> None:
    with paths(shell.directory)[-1].open("ab") as stream:
        stream.write(b'{"seq":7')
    said = shell.run("verify")
    assert "intact: records 1 to 6" in said
    assert "8 bytes of a record that is not finished" in said
    assert "no tampering" in said


def test_files_that_were_archived_are_said_to_be_missing(shell: Shell) -> None:
    paths(shell.directory)[0].unlink()
    said = shell.run("verify")
    assert "not judged: records 1 to 2" in said


def test_it_can_be_verified_while_the_agent_writes(shell: Shell) -> None:
    async def check() -> None:
        async with AuditLog(shell.directory, FakeClock()) as audit:
            audit.note(ME, "a", {})
            await audit.write()
            assert "records 1 to 7" in await asyncio.to_thread(shell.run, "verify")

    asyncio.run(check())


@pytest.mark.parametrize("against", ["7", "x:y", "7:" + "g" * 64, "7:abcd"])
def test_what_is_no_head_is_refused(shell: Shell, against: str) -> None:
    with pytest.raises(SystemExit):
        shell.run("verify", "--against", against)
    assert "is no head" in shell.capsys.readouterr().err


@pytest.mark.parametrize("what", ["verify", "show", "head"])
def test_a_directory_that_is_not_there_is_an_error(shell: Shell, what: str) -> None:
    shell.directory /= "nowhere"
    shell.run(what, code=1)
    assert "nowhere: No such file or directory" in shell.err


def test_the_guide_s_own_check_needs_nothing_of_ours(directory: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/operating.md").read_text()
    script = next(part for part in guide.split("```") if "sha256sum" in part)

    def checked() -> str:
        done = subprocess.run(
            ["bash", "-c", script], cwd=directory, capture_output=True, check=True, text=True
        )
        assert done.stderr == ""
        return done.stdout

    assert checked() == ""
    path = paths(directory)[1]
    path.write_bytes(path.read_bytes().replace(b'"asic-2"', b'"asic-4"', 1))
    assert checked().startswith('wrong: {"seq":3')


# --- show ------------------------------------------------------------------------------------


def test_records_are_shown_as_sentences(shell: Shell) -> None:
    assert shell.run("show").splitlines() == [
        "2027-01-15 08:16:40Z  key:ops-1  command.accepted: command c1, verb mining.pause",
        "2027-01-15 08:16:40Z  key:ops-1  order.begun: mining.pause on all, 3 devices [c1]",
        "2027-01-15 08:16:40Z  key:ops-1  order.results: mining.pause: 2 verified, 1 refused [c1]",
        "2027-01-15 08:16:40Z  key:ops-1  order.ended: mining.pause: 2 verified, 1 refused [c1]",
        "2027-01-15 08:16:40Z  local:ana  order.result: power.limit on asic-11: failed: "
        "Unreachable [c2]",
        "2027-01-15 08:16:40Z  local:ana  lock.set: rack=b7, for local:ana: fans",
    ]


def test_the_last_ones_are_shown_oldest_first(shell: Shell) -> None:
    assert [line[33:44] for line in shell.run("show", "-n", "2").splitlines()] == [
        "order.resul",
        "lock.set: r",
    ]


def test_json_is_what_stands_in_the_files(shell: Shell) -> None:
    lines = b"".join(path.read_bytes() for path in paths(shell.directory))
    assert shell.run("show", "--json").encode() == lines


def test_those_of_a_command_can_be_chosen(shell: Shell) -> None:
    shown = [
        json.loads(line) for line in shell.run("show", "--json", "--command", "c1").splitlines()
    ]
    assert [record["seq"] for record in shown] == [1, 2, 3, 4]
    assert shell.run("show", "--command", "c") == ""


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("asic-1", "mining.pause on asic-1: verified [c1]"),
        ("asic-2", "mining.pause on asic-2: refused: it is locked [c1]"),
        ("asic-11", "power.limit on asic-11: failed: Unreachable [c2]"),
    ],
)
def test_what_came_of_a_device_can_be_chosen(shell: Shell, device: str, words: str) -> None:
    (line,) = shell.run("show", "--device", device).splitlines()
    assert line.endswith(words)
    assert shell.run("show", "--device", device, "--command", "c3") == ""


def test_the_last_ones_wanted_are_looked_for_in_all_files(shell: Shell) -> None:
    (line,) = shell.run("show", "-n", "1", "--command", "c1").splitlines()
    assert "order.ended" in line


@pytest.mark.parametrize("what", ["order.begun", "order.results", "lock.set", "audit.lost", "new"])
def test_what_another_version_wrote_is_shown_as_it_is(shell: Shell, what: str) -> None:
    write(shell.directory, [(ME, what, {"omitted_bytes": 7, "list": ["x" * 500]})])
    line = shell.run("show", "-n", "1")
    assert "omitted_bytes" in line
    assert len(line) < 300


def test_the_audit_s_own_words(shell: Shell) -> None:
    with paths(shell.directory)[-1].open("ab") as stream:
        stream.write(b"{")
    lost = {"records": 9, "first_at": "2026-11-24T22:00:01Z", "last_at": "2026-11-24T22:00:09Z"}
    write(shell.directory, [("stoker", "audit.lost", lost)])
    torn, gone = shell.run("show", "-n", "2").splitlines()
    assert "1 bytes of an unfinished record were cut off audit-" in torn
    assert "9 records from 2026-11-24T22:00:01Z to" in gone


def test_lines_that_are_no_records_are_counted(shell: Shell) -> None:
    with paths(shell.directory)[-1].open("ab") as stream:
        stream.write(b"who was here\n\x1b[31mred\n")
    assert len(shell.run("show").splitlines()) == 6
    assert "2 lines are no records" in shell.err


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_a_number_of_records_is_a_number(shell: Shell, count: str) -> None:
    with pytest.raises(SystemExit):
        shell.run("show", "-n", count)
