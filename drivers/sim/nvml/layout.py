"""The shared state of the fake GPUs as ctypes structures, read from the C header of that state."""

from __future__ import annotations

import ctypes
import re
from importlib import resources
from typing import Any

SOURCES = resources.files(__package__).joinpath("src")

_DEFINE = re.compile(r"^#define (\w+) (0x[0-9a-f]+|\d+)$", re.MULTILINE)
_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"^(?:struct )?(\w+) (\w+)((?:\[\w+\])*);$")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_PLAIN: dict[str, Any] = {
    "char": ctypes.c_char,
    "double": ctypes.c_double,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
}

Layout = dict[str, Any]
"""ctypes.Structure subclasses by their name in C."""


def read_layout(header: str) -> tuple[Layout, dict[str, int]]:
    """The structs and the numbers that a header defines. Pure.

    Raises ValueError for a member that is none of the few kinds that `state.h` keeps to.
    """
    bare = _COMMENT.sub("", header)
    numbers = {name: int(value, 0) for name, value in _DEFINE.findall(header)}
    structs: Layout = {}
    for name, body in _STRUCT.findall(bare):
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        members = [_member(line, structs, numbers) for line in lines]
        structs[name] = type(name, (ctypes.Structure,), {"_fields_": members})
    return structs, numbers


def _member(line: str, structs: Layout, numbers: dict[str, int]) -> tuple[str, Any]:
    found = _MEMBER.match(line)
    kinds = {**_PLAIN, **structs}
    if not found or found[1] not in kinds:
        raise ValueError(f"state.h: {line!r} is no member that can be read")
    kind = kinds[found[1]]
    for extent in reversed(re.findall(r"\w+", found[3])):
        kind *= int(extent) if extent.isdigit() else numbers[extent]
    return found[2], kind


STRUCTS, NUMBERS = read_layout(SOURCES.joinpath("state.h").read_text())
State = STRUCTS["fake_state"]
ANY = NUMBERS["ANY"]
