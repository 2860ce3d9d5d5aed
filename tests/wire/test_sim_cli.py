"""`stoker sim` as a process."""

import argparse
import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest

from agent.cli import sim
from drivers.sim import Site, parse_fault
from drivers.sim.faults import EVENTS, FAULTS, FaultPlan

RUN = """
import argparse, sys
from agent.cli import sim
parser = argparse.ArgumentParser()
sim.add_parser(parser.add_subparsers(required=True))
args = parser.parse_args(["sim", *sys.argv[1:]])
sys.exit(args.run(args))
"""
PORTS = ("--rpc-port", "0", "--web-port", "0", "--network", "127.64.0.0/16", "--count", "5")


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ready(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    ports = r"rpc port (\d+), web port \d+, side port \d+, framed port \d+"
    pattern = rf"sim: 5 miners on 127\.64\.0\.0/16, {ports}, seed 9\n"
    match = re.fullmatch(pattern, line)
    assert match, line
    return int(match[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    process = await start(*PORTS, "--seed", "9", "--delay-scale", "0", "--log", str(log))
    port = await ready(process)
    reader, writer = await asyncio.open_connection("127.64.0.5", port)
    writer.write(b'{"command":"version"}')
    assert json.loads((await reader.read())[:-1])["VERSION"]
    writer.close()
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    assert json.loads(log.read_text())["command"] == "version"


async def test_it_ends_by_itself() -> None:
    process = await start(*PORTS, "--seed", "9", "--seconds", "0.1", "--replay")
    await ready(process)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--network", "nonsense"], "nonsense"),
        (["--count", "0"], "count"),
        (["--fault", "earthquake=1"], "unknown fault 'earthquake'"),
        (["--fault", "drip"], "say a rate"),
        (["--mix", "Abacus=1"], "unknown model 'Abacus'"),
        (["--mix", "Antminer S9=x"], "--mix"),
        (["--fault", "swap=1@127.99.0.1"], "127.99.0.1"),
        (["--log", "/nonexistent/file"], "/nonexistent/file"),
    ],
)
def test_wrong_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    parser = argparse.ArgumentParser()
    sim.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["sim", "--rpc-port", "0", "--web-port", "0", *arguments])
    assert args.run(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("stoker sim: ")
    assert err.count("\n") == 1
    assert problem in err


def test_wrong_port() -> None:
    parser = argparse.ArgumentParser()
    sim.add_parser(parser.add_subparsers(required=True))
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["sim", "--rpc-port", "70000"])


@pytest.mark.parametrize(
    ("text", "number", "address"),
    [
        ("drip=0.5", 0.5, None),
        ("drip@127.64.0.2", None, "127.64.0.2"),
        ("drip=0.5@127.64.0.2", 0.5, "127.64.0.2"),
        ("swap=30", 30.0, None),
        ("swap", None, None),
    ],
)
def test_fault_descriptions(text: str, number: float | None, address: str | None) -> None:
    spec = parse_fault(text)
    assert (spec.number, spec.address) == (number, address)


@pytest.mark.parametrize("text", ["drip=2", "drip=x", "drip@x", "swap=-1", "", "=1", "drip=nan"])
def test_wrong_fault_descriptions(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each wrong in its own words
        parse_fault(text)


def test_an_event_waits_for_its_time() -> None:
    now = [1e9]
    site = Site(1, "127.64.0.0/16", 1, clock=lambda: now[0])
    plan = FaultPlan(site)
    plan.add(parse_fault("swap=10@127.64.0.1"))
    before = site.at("127.64.0.1")
    now[0] += 11
    assert site.at("127.64.0.1") is not before
    assert plan.idle


def test_the_manual_names_every_fault() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    assert all(f"`{name}`" in manual for name in [*FAULTS, *EVENTS])
