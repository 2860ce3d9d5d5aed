"""GPU models and driver versions, from data to C."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import msgspec

from drivers.sim.nvml.layout import NUMBERS, STRUCTS


class Driver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A driver version that the library can be built as; see `drivers.toml`."""

    version: str
    nvml: str
    cuda: int
    fields: int
    events: int
    lacks: list[str]


def load_drivers() -> dict[str, Driver]:
    """All driver versions by their branch, the newest first."""
    table = resources.files(__package__).joinpath("drivers.toml").read_bytes()
    return msgspec.toml.decode(table, type=dict[str, Driver])


def load_models() -> dict[str, dict[str, Any]]:
    """The tables of all GPU models by name, as they stand in `models/`."""
    folder = resources.files(__package__).joinpath("models")
    files = sorted(folder.iterdir(), key=lambda each: each.name)
    return {
        name: table
        for each in files
        if each.name.endswith(".toml")
        for name, table in tomllib.loads(each.read_text()).items()
    }


def models_in_c(models: Mapping[str, Mapping[str, Any]]) -> str:
    """A C file that defines `fake_models`.

    Raises ValueError where a table has a key too many or too few: C would take a zero for it.
    """
    rows = ",\n".join(_model(name, table) for name, table in models.items())
    return (
        '#include "fake.h"\n'
        f"const struct fake_model fake_models[] = {{\n{rows}\n}};\n"
        "const unsigned fake_model_count = sizeof fake_models / sizeof *fake_models;\n"
    )


def _model(name: str, table: Mapping[str, Any]) -> str:
    able = {f"has_{each}" for each in table.get("has", [])}
    members = [member for member, _ in STRUCTS["fake_model"]._fields_]
    profiles = table.get("mig", [])
    if len(profiles) > NUMBERS["MAX_MIG_PROFILES"]:
        raise ValueError(f"model {name}: too many MIG profiles")
    flags = {member: int(member in able) for member in members if member.startswith("has_")}
    figures = {key: value for key, value in table.items() if key not in ("has", "mig")}
    given = {"key": name, "mig_profile_count": len(profiles), **figures, **flags}
    _check(f"model {name}", {*given, *able}, set(members) - {"mig_profiles"})
    wanted = {member for member, _ in STRUCTS["fake_mig_profile"]._fields_}
    for profile in profiles:
        _check(f"model {name}, MIG {profile.get('name')}", set(profile), wanted)
    inner = ", ".join("{" + _members(profile) + "}" for profile in profiles)
    nested = f", .mig_profiles = {{{inner}}}" if profiles else ""
    return "{" + _members(given) + nested + "}"


def _check(where: str, given: set[str], wanted: set[str]) -> None:
    if given != wanted:
        wrong = [*(f"no {each}" for each in sorted(wanted - given)), *sorted(given - wanted)]
        raise ValueError(f"{where}: {', '.join(wrong)}")


def _members(values: Mapping[str, Any]) -> str:
    return ", ".join(f".{name} = {_literal(value)}" for name, value in values.items())


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def driver_in_c(driver: Driver) -> str:
    """A C file that defines what the library says of the driver."""
    branch = driver.version.split(".")[0]
    return (
        '#include "fake.h"\n'
        f"const char fake_driver_version[] = {_literal(driver.version)};\n"
        f'const char fake_driver_branch[] = "r{branch}_00";\n'
        f"const char fake_nvml_version[] = {_literal(driver.nvml)};\n"
        f"const int fake_cuda_version = {driver.cuda};\n"
        f"const unsigned fake_field_limit = {driver.fields};\n"
        f"const uint64_t fake_event_types = {driver.events};\n"
    )


def exports(functions: Iterable[str], lacks: Iterable[str]) -> str:
    """A linker's version script: these functions are seen from outside, and no others."""
    seen = sorted(set(functions) - set(lacks))
    return "{ global: " + " ".join(f"{each};" for each in seen) + " local: *; };\n"
