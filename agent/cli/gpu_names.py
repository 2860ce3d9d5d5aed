"""What a person calls a GPU, made into its id: `gpu:3`, `gpu:1b:00`, or the id itself."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.local import client
from agent.local.gpu_views import GpuView, GpuViews

_NUMBERED = re.compile(r"gpu:(\d{1,3})", re.ASCII)
_PLACED = re.compile(r"gpu:((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.\d)?)", re.ASCII)
_ID = re.compile(r"gpu-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def names_a_gpu(text: str) -> bool:
    """Whether this can be nothing else."""
    return any(form.fullmatch(text.lower()) for form in (_NUMBERED, _PLACED, _ID))


def resolve(text: str, socket: Path) -> str:
    """The id of a GPU that the running agent knows; any other text as it is.

    Numbers are the driver's, as other tools show them now: they change when a GPU is gone. Raises
    `AgentError` where there is no such GPU.
    """
    if not names_a_gpu(text):
        return text
    if _ID.fullmatch(text.lower()):
        return text.lower()
    views = msgspec.convert(client.ask(socket, op="gpus"), GpuViews)
    return choose(text, views).identity.id


def choose(text: str, views: GpuViews) -> GpuView:
    """The GPU that is meant; raises `AgentError` naming those there are."""
    wanted = text.lower()
    found = [view for view in views.gpus if _is(view, wanted)]
    if len(found) == 1:
        return found[0]
    if not views.gpus:
        raise AgentError(f"{text}: no GPUs are known on this host")
    known = ", ".join(f"gpu:{view.index}" for view in views.gpus if view.index is not None)
    raise AgentError(f"{text}: there is no such GPU; there are {known or 'some without a number'}")


def _is(view: GpuView, wanted: str) -> bool:
    if numbered := _NUMBERED.fullmatch(wanted):
        return view.index == int(numbered[1])
    if placed := _PLACED.fullmatch(wanted):
        place = view.address.removeprefix("pci:")
        return placed[1] in (place, place.removesuffix(".0"), place.removeprefix("0000:"),
                             place.removeprefix("0000:").removesuffix(".0"))  # fmt: skip
    return view.identity.id == wanted
