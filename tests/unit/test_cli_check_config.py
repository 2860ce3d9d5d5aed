"""`stoker check-config` as a shell sees it."""

import argparse
from pathlib import Path

import pytest

from agent.cli import check_config
from agent.errors import EXIT_CONFIG
from tests.unit.test_config_commands import key
from tests.unit.test_config_load import SITE, write

NODE = '[node]\nname = "edge-1"\n'


def check(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    check_config.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["check-config", *arguments])
    code = args.run(args)
    assert isinstance(code, int)
    return code


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "places.csv").write_text("address,rack\n10.1.0.1,B7\n")
    text = (
        f'{SITE}{NODE}[locations]\nfile = "places.csv"\n[[range]]\naddresses = "10.1.0.0/24"\n'
        '[[range]]\naddresses = "10.2.0.9"'
    )
    assert check("--config", str(write(tmp_path, text))) == 0
    shown = capsys.readouterr()
    assert shown.out == "ok: 255 addresses in 2 ranges, 1 location; site north, node edge-1\n"
    assert shown.err == ""


def test_warnings_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--config", str(write(tmp_path, SITE + NODE))) == 0
    shown = capsys.readouterr()
    assert shown.out == "ok: 0 addresses in 0 ranges; site north, node edge-1\n"
    assert shown.err.startswith("warning: range: none is given")


def test_keys_are_counted_and_advice_on_them_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SITE + NODE + '[[range]]\naddresses = "10.1.0.0/24"\n' + key(verbs='"*"')
    assert check("--config", str(write(tmp_path, text))) == 0
    shown = capsys.readouterr()
    assert shown.out == "ok: 254 addresses in 1 range, 1 key; site north, node edge-1\n"
    assert shown.err.startswith("warning: commands.key[0].max_targets: missing")


def test_a_fault_is_one_line_and_exit_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, f"{SITE}[mqtt]\nport = 0\n")
    assert check("--config", str(file)) == EXIT_CONFIG == 78
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"{file}: mqtt.port: expected a whole number from 1 to 65535, found the number 0\n"
    )


def test_the_locations_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "places.csv").write_text("address,rack\nnowhere,B7\n")
    file = write(tmp_path, SITE + '[locations]\nfile = "places.csv"')
    assert check("--config", str(file)) == 78
    expected = f"{tmp_path}/places.csv: line 2, address: 'nowhere' is not an IPv4 address\n"
    assert capsys.readouterr().err == expected


def test_no_file_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--config", str(tmp_path / "none.toml")) == 78
    assert capsys.readouterr().err == f"{tmp_path}/none.toml: no such file\n"
