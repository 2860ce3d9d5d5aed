"""The steering library: what control.c does for the Python side, with its types."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_double, c_int, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from drivers.sim.nvml.layout import State

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "size": (c_uint, ()),
    "make": (c_int, (c_char_p, c_char_p, c_uint64)),
    "open": (c_void_p, (c_char_p,)),
    "close": (None, (c_void_p,)),
    "begin": (None, (c_void_p,)),
    "end": (None, (c_void_p,)),
    "now": (c_double, (c_void_p,)),
    "freeze": (None, (c_void_p,)),
    "post": (None, (c_void_p, c_uint, c_uint64, c_uint64, c_uint, c_uint)),
    "wake": (None, (c_void_p,)),
    "arm": (c_int, (c_void_p, c_char_p, c_uint, c_uint, c_uint, c_uint, c_uint)),
    "lift": (None, (c_void_p, c_uint)),
    "strikes": (c_uint, (c_void_p, c_uint, c_uint, c_uint)),
    "delay": (None, (c_void_p, c_char_p, c_uint)),
    "reset": (None, (c_void_p, c_uint)),
    "reload": (None, (c_void_p,)),
}


def load_steering(library: Path) -> dict[str, Any]:
    """The functions of the library by their short names.

    Raises RuntimeError where the library has another idea of the shared state than we have.
    """
    loaded = ctypes.CDLL(str(library))
    functions: dict[str, Any] = {}
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, f"fake_control_{name}")
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    size = functions["size"]()
    if size != ctypes.sizeof(State):
        raise RuntimeError(f"the state has {ctypes.sizeof(State)} bytes, in {library} {size}")
    return functions
