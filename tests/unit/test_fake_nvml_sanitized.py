"""The fake NVML under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.sim.nvml.build import SANITIZED, BuildError, compiler
from tests.fake_nvml import ROOT, built

FILES = ("test_fake_nvml_events", "test_fake_nvml_health", "test_fake_nvml_jobs")
_RUN = """
import ctypes, sys
import pytest
from tests import fake_nvml
usual = fake_nvml.built
def sanitized(driver="580", flags=()):
    where = usual(driver)
    import drivers.sim.nvml.build as build
    other = usual(driver, build.SANITIZED)
    return build.Built(other.directory, where.control)
fake_nvml.built = sanitized
sys.exit(pytest.main(sys.argv[1:]))
"""


def runtime() -> str:
    """The sanitizer's library, which has to be there before Python's own code."""
    program = compiler()
    if program is None:
        pytest.skip("no C compiler for the fake NVML")
    found = subprocess.run(
        [program, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("this compiler has no address sanitizer")
    return found


@pytest.mark.timeout(240)
def test_the_sanitizers_find_nothing() -> None:
    preload = runtime()
    try:
        built(flags=SANITIZED)
    except BuildError as error:
        pytest.skip(f"no sanitized build: {error}")
    files = [str(ROOT / "tests/unit" / f"{name}.py") for name in FILES]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "-q", "-x", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "LD_PRELOAD": preload,
            # Python's own allocations live until it ends.
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
