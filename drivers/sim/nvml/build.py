"""Compiles the fake NVML, for tests and the demo, with nothing but a C compiler.

    python -m drivers.sim.nvml.build DIRECTORY [DRIVER]

Each driver version gets a directory with a `libnvidia-ml.so.1` of its own, since what an old
driver lacks has to be missing from the library itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import msgspec

from drivers.sim.nvml.tables import driver_in_c, exports, load_drivers, load_models, models_in_c

LIBRARY = "libnvidia-ml.so.1"
NEWEST = "580"
FLAGS = (
    "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
SANITIZED = (*FLAGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")

_TIMEOUT_S = 300
_FUNCTION = re.compile(r"\bnvml_result (nvml\w+)\(|\b(nvmlErrorString)\(")
_MADE_BY_MACRO = re.compile(r"^[A-Z_]+\((nvml\w+),", re.MULTILINE)


class BuildError(Exception):
    """The fake cannot be compiled here; says why."""


class Built(msgspec.Struct, frozen=True):
    """Where the parts of the fake are."""

    directory: Path
    """Holds LIBRARY: what LD_LIBRARY_PATH has to name."""
    control: Path
    """The library of the steering side."""

    @property
    def library(self) -> Path:
        """The fake itself."""
        return self.directory / LIBRARY


def compiler() -> str | None:
    """The C compiler of this host, if it has one."""
    return shutil.which(os.environ.get("CC", "cc"))


def functions() -> list[str]:
    """Every NVML function that the fake has."""
    found: set[str] = set()
    for source in _sources().values():
        found.update(name or other for name, other in _FUNCTION.findall(source))
        found.update(_MADE_BY_MACRO.findall(source))
    return sorted(found)


def build(directory: Path, *, driver: str = NEWEST, flags: Sequence[str] = FLAGS) -> Built:
    """Compiles what is not there yet, and says where it is.

    Several processes may ask at once for the same directory: one compiles, the others wait.
    Raises BuildError where there is no compiler or it objects.
    """
    digest = _digest(flags)
    place = directory / digest[:16]
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        objects = place / "objects"
        if not (place / "compiled").exists():
            _compile(objects, flags)
            (place / "compiled").touch()
        built = Built(place / driver, place / "libfakenvml-control.so")
        if not built.control.exists():
            _link_control(built.control, objects, flags)
        if not built.library.exists():
            _link(built.library, objects, driver, flags)
    return built


def _sources() -> dict[str, str]:
    folder = resources.files(__package__).joinpath("src")
    return {each.name: each.read_text() for each in sorted(folder.iterdir(), key=str)}


def _digest(flags: Sequence[str]) -> str:
    drivers = [driver_in_c(each) + str(each.lacks) for each in load_drivers().values()]
    parts = [*_sources().values(), models_in_c(load_models()), *drivers, *flags, compiler() or ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(objects: Path, flags: Sequence[str]) -> None:
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir()
    for name, text in _sources().items():
        (objects / name).write_text(text)
    (objects / "models.c").write_text(models_in_c(load_models()))
    names = sorted(each.name for each in objects.glob("*.c"))
    _run([*flags, "-c", *names], objects)


def _link(library: Path, objects: Path, driver: str, flags: Sequence[str]) -> None:
    drivers = load_drivers()
    if driver not in drivers:
        raise BuildError(f"no driver {driver!r}; there are {', '.join(drivers)}")
    library.parent.mkdir(exist_ok=True)
    about = library.with_name("driver.c")
    about.write_text(driver_in_c(drivers[driver]))
    script = library.with_name("exports")
    script.write_text(exports([*functions(), "fake_size_of"], drivers[driver].lacks))
    parts = [str(each) for each in sorted(objects.glob("*.o")) if each.name != "control.o"]
    wanted = [f"-Wl,-soname,{LIBRARY}", f"-Wl,--version-script,{script}", f"-I{objects}"]
    _share(library, [*flags, *wanted, str(about), *parts])


def _link_control(library: Path, objects: Path, flags: Sequence[str]) -> None:
    names = ("control", "faults", "models", "physics", "posting", "seats", "shared")
    _share(library, [*flags, *(str(objects / f"{name}.o") for name in names)])


def _share(library: Path, arguments: Sequence[str]) -> None:
    draft = library.with_suffix(".draft")
    _run(["-shared", *arguments, "-o", str(draft), "-lm", "-lpthread"], library.parent)
    draft.rename(library)


def _run(arguments: Sequence[str], where: Path) -> None:
    program = compiler()
    if program is None:
        raise BuildError("no C compiler: install gcc, or name one in CC")
    command = [program, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, cwd=where, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{program}: {error}") from error
    if done.returncode:
        raise BuildError(f"{program}: {done.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    built = build(Path(sys.argv[1]).absolute(), driver=(sys.argv[2:] or [NEWEST])[0])
    print(built.directory)  # noqa: T201 - the answer
