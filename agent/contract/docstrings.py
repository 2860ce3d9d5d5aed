"""What the source says of a class and of its fields: the string that stands below each of them."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from functools import cache
from itertools import pairwise
from typing import NamedTuple

_FOREIGN = sys.stdlib_module_names | {"msgspec"}
"""What these say of their classes is no word of ours."""


class Docs(NamedTuple):
    """Of a class."""

    summary: str
    """Of the class itself; empty where nothing is said."""
    fields: dict[str, str]
    """By name, those of which something is said. Members of an enum are fields too."""


def docs_of(cls: type) -> Docs:
    """What is said of a class, and of the fields that it inherits, by whoever said it last.

    A class that is made in the likeness of another, with its name and module, is taken for it.
    """
    named: type = getattr(sys.modules[cls.__module__], cls.__name__)
    fields: dict[str, str] = {}
    for each in reversed(named.__mro__):
        found = _classes(each.__module__).get(each.__name__)
        if found is not None:
            fields |= _fields(found)
    own = _classes(named.__module__)[named.__name__]
    return Docs(_paragraphs(ast.get_docstring(own) or ""), fields)


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module."""
    if module.partition(".")[0] in _FOREIGN:
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}


def _fields(found: ast.ClassDef) -> dict[str, str]:
    return {
        name: _paragraphs(text)
        for statement, after in pairwise(found.body)
        if (name := _name(statement)) and (text := _text(after))
    }


def _name(statement: ast.stmt) -> str | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None


def _text(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return None


def _paragraphs(text: str) -> str:
    """Without the indentation and the line breaks of the source, which mean nothing."""
    found = [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
    return found[0] if len(found) == 1 else "\n\n".join(textwrap.fill(each, 92) for each in found)
