"""The parameters of verbs: what may be said, and in which bounds. Types only, and their check."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from agent.errors import AgentError

_PATTERN = re.compile(r"`str` matching regex '.*'(?= - at|$)")


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a verb; this one takes none."""


P = TypeVar("P", bound=Params)


def checked(verb_name: str, params: dict[str, Any], kind: type[P]) -> P:
    """Parameters as somebody wrote them; raises `AgentError` saying what is wrong with them."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        # A pattern helps nobody, and what was sent may be a password.
        words = _PATTERN.sub("a plain word, without quotes, spaces or separators", str(error))
        raise AgentError(f"{verb_name}: {words}") from None


Percent = Annotated[float, Meta(gt=0, le=100)]
_PLAIN = r"[^\s\x00-\x1f\x7f\"'`|;,\\$()<>&]"
"""A character that ends no word of a firmware's, and means nothing to a shell behind its pages."""
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+:/%-]{0,63}\Z")]


class Limit(Params, frozen=True):
    """A power in watts, of one device."""

    watts: Annotated[float, Meta(gt=0, le=1_000_000)]


class Share(Params, frozen=True):
    """A share of full power; 100 ends it."""

    percent: Percent


class Preset(Params, frozen=True):
    """One of the machine's own presets."""

    preset: Word


class Mode(Params, frozen=True):
    """One of the firmware's power modes."""

    mode: Word


class Pool(Params, frozen=True):
    """A pool to work for."""

    url: Annotated[str, Meta(pattern=rf"^[a-z0-9+]{{3,20}}://{_PLAIN}{{1,200}}\Z")]
    user: Annotated[str, Meta(pattern=rf"^{_PLAIN}{{1,120}}\Z")]
    password: Annotated[str, Meta(pattern=rf"^{_PLAIN}{{0,64}}\Z")] = "x"  # noqa: S105

    def __repr__(self) -> str:
        return f"Pool(url={self.url!r}, user={self.user!r}, password=...)"


class Pools(Params, frozen=True):
    """All pools, the first one first."""

    pools: Annotated[tuple[Pool, ...], Meta(min_length=1, max_length=3)]


class Switch(Params, frozen=True):
    """On or off."""

    on: bool


class Fans(Params, frozen=True):
    """A fixed duty; without one the firmware decides."""

    percent: Percent | None = None


class Temperature(Params, frozen=True):
    """The temperature that the fan control keeps."""

    celsius: Annotated[float, Meta(ge=20, le=100)]


class Hostname(Params, frozen=True):
    """A name in the network."""

    hostname: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")]


Megahertz = Annotated[int, Meta(ge=1, le=100_000)]


class Clocks(Params, frozen=True):
    """Between which two values a clock is held; the same twice for one clock."""

    min_mhz: Megahertz
    max_mhz: Megahertz

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        if self.min_mhz > self.max_mhz:
            raise ValueError("`min_mhz` is above `max_mhz`")


class ComputeMode(Params, frozen=True):
    """Who may use a GPU: all, one process, nobody."""

    mode: Literal["default", "exclusive_process", "prohibited"]


Cut = Annotated[str, Meta(pattern=r"^[0-9]{1,2}g\.[0-9]{1,4}gb[A-Za-z0-9.+-]{0,24}\Z")]


class Layout(Params, frozen=True):
    """The instances that a GPU is cut into, by their profiles; none where it is to have none."""

    profiles: Annotated[tuple[Cut, ...], Meta(max_length=16)]
