"""`stoker demo`, as `make run` starts it: a site in one command, with GPUs or without."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from drivers.sim.nvml.build import compiler
from drivers.sim.nvml.story import SCENES, Story
from tests.gpu import fake_gpus
from tests.harness import STOKER, wait_until

SIZE = ("--count", "3", "--network", "127.45.0.0/16", "--interval", "3")


@contextmanager
def demo(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The demo with three miners, ended by Ctrl-C."""
    pytest.importorskip("iotcore", reason="the demo's broker is not installed")
    process = subprocess.Popen(
        [*STOKER, "demo", *SIZE, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(2)
            process.wait(30)
        assert process.stdout
        process.stdout.close()


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line that matches; the demo prints on."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern!r} not in:\n{''.join(lines)}")


def test_eight_fake_gpus_beside_the_miners_and_nothing_left_behind():
    if compiler() is None:
        pytest.skip("no C compiler for the fake NVML")
    with demo("--gpus", "h100-sxm*8") as process:
        until(process, r"^GPUs: 8 fake ones")
        socket = Path(until(process, r"stoker gpu --watch --socket (\S+)")[1])
        until(process, r"^\d+ devices: .*GPUs: 8, \d busy, [\d.]+ kW")
        done = subprocess.run(
            [*STOKER, "gpu", "--json", "--socket", str(socket)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert len(json.loads(done.stdout)["gpus"]) == 8
        children = psutil.Process(process.pid).children(recursive=True)
        names = {" ".join(child.cmdline()) for child in children}
        assert any("drivers.gpu --socket" in name for name in names)
        assert any("drivers.sim.nvml" in name for name in names)
    assert process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not socket.parent.exists()


def test_killed_outright_it_leaves_no_process_behind():
    with demo("--gpus", "h100-sxm*2") as process:
        until(process, r"^GPUs: ")
        directory = Path(until(process, r"stoker gpu --watch --socket (\S+)")[1]).parent
        until(process, r"^publishing to")
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(10)
        wait_until(lambda: not [child for child in children if child.is_running()], 20)
        shutil.rmtree(directory)


def test_without_a_compiler_it_says_what_is_missing_and_goes_on():
    with demo("--gpus", "h100-sxm*8", CC="no-such-compiler") as process:
        until(process, r"^GPUs: none: no C compiler: install gcc, or name one in CC$")
        until(process, r"^publishing to")


@pytest.mark.parametrize(
    ("wanted", "words"), [("none", "none"), ("v100*900", "none: no such GPUs: 'v100*900'")]
)
def test_without_gpus_it_goes_on(wanted, words):
    with demo("--gpus", wanted) as process:
        until(process, rf"^GPUs: {re.escape(words)}$")
        until(process, r"^publishing to")


def test_the_fake_gpus_have_a_life_of_their_own(tmp_path):
    """What the story tells, at the pace of its own clock."""
    with fake_gpus(tmp_path, "h100-sxm*8") as fake:
        fake.freeze()
        story = Story(fake, seed=1)
        busy = sum(gpu.raw.process_count > 0 for gpu in fake.gpus)
        assert 0 < busy <= 8
        pids = {gpu.raw.processes[0].pid for gpu in fake.gpus if gpu.raw.process_count}
        for second in range(1, 181):
            fake.advance(1)
            story.go_on(float(second))
        assert fake[5].raw.lost == 1
        assert fake[4].raw.recovery_action == 1
        assert pids != {gpu.raw.processes[0].pid for gpu in fake.gpus if gpu.raw.process_count}
        assert max(scene.at_s for scene in SCENES) <= 180
