"""Fake GPUs for tests: the real Python binding on the fake library, here or in other processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.build import FLAGS, NEWEST, Built, build, compiler
from drivers.sim.nvml.control import FakeGpus

ROOT = Path(__file__).parents[1]


def built(driver: str = NEWEST, flags: Sequence[str] = FLAGS) -> Built:
    """The fake library, compiled once for all tests; skips where nothing can compile it."""
    if compiler() is None:
        pytest.skip("no C compiler for the fake NVML")
    return build(ROOT / "build/fake-nvml", driver=driver, flags=flags)


def binding() -> Any:
    """The module `pynvml`; skips where it is not installed."""
    return pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")


@contextlib.contextmanager
def loaded(library: Path, **environment: str) -> Iterator[Any]:
    """The binding in this process, on this library, not yet initialised."""
    pynvml = binding()
    before = dict(os.environ)
    os.environ.pop("STOKER_FAKE_NVML", None)
    os.environ.update(environment)
    pynvml._nvmlGetFunctionPointer_cache.clear()
    pynvml.nvmlLib = ctypes.CDLL(str(library))
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            while True:
                pynvml.nvmlShutdown()
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def site(
    directory: Path, gpus: str = "h100-sxm*2", *, driver: str = NEWEST
) -> Iterator[tuple[FakeGpus, Any]]:
    """GPUs whose clock stands still, and the binding initialised on them; everybody may write."""
    fake = FakeGpus.create(directory / "gpus", gpus, built=built(driver))
    fake.freeze()
    fake.let_write("all")
    try:
        with loaded(fake.built.library, STOKER_FAKE_NVML=str(fake.path)) as pynvml:
            pynvml.nvmlInit()
            yield fake, pynvml
    finally:
        fake.close()


def handles(pynvml: Any) -> list[Any]:
    """A handle of every GPU, in the order of their indices."""
    return [
        pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
    ]


def client(fake: FakeGpus, script: str, **environment: str) -> subprocess.Popen[str]:
    """Another process that runs this script after `nvmlInit`; it writes to a pipe."""
    binding()
    lines = f"import pynvml as n\nn.nvmlInit()\n{textwrap.dedent(script)}"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", lines],
        env={**os.environ, **fake.environment(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(fake: FakeGpus, script: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The same, killed at the end if it still runs."""
    with client(fake, script, **environment) as process:
        try:
            yield process
        finally:
            process.kill()
