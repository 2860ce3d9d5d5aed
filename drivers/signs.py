"""What a device shows of itself at an address, and by which of it a firmware is known. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Source(StrEnum):
    """Where something was seen."""

    RPC = "rpc"
    """The answers of port 4028, in capitals."""
    PAGE = "page"
    """The body of a web page."""
    REALM = "realm"
    """What the web server asks a password for."""
    LOCATION = "location"
    """Where the front page sends a browser."""
    RPC_HTTP = "rpc-http"
    """The body of a page that the RPC port serves: it speaks HTTP."""
    FRAMED = "framed"
    """The answer of the framed port."""


class Sign(msgspec.Struct, frozen=True):
    """A word in what a device shows, from which its firmware is known."""

    source: Source
    word: str
    path: str = "/"
    """Which page, for `PAGE` and `RPC_HTTP`."""


class Observation(msgspec.Struct, frozen=True):
    """Something that was seen: where, and its text."""

    source: Source
    where: str
    """The command or the path."""
    text: str


def says(word: str) -> Sign:
    """The RPC's answers hold this word; it is given in capitals."""
    return Sign(Source.RPC, word)


def page(word: str, path: str = "/") -> Sign:
    """A web page holds this word. Other pages than the front are fetched only for this."""
    return Sign(Source.PAGE, word, path)


def realm(word: str) -> Sign:
    """The web server asks for a password of this realm."""
    return Sign(Source.REALM, word)


def sends_to(word: str) -> Sign:
    """The front page sends a browser to an address with this word."""
    return Sign(Source.LOCATION, word)


def dialogue(word: str, path: str) -> Sign:
    """The RPC port speaks HTTP, and this page there holds this word."""
    return Sign(Source.RPC_HTTP, word, path)


def frames(word: str) -> Sign:
    """The framed port's answer to `get.device.info` holds this word."""
    return Sign(Source.FRAMED, word)


def shows(observation: Observation, sign: Sign) -> bool:
    """True where the observation holds the sign."""
    if observation.source is not sign.source or sign.word not in observation.text:
        return False
    paged = sign.source in (Source.PAGE, Source.RPC_HTTP)
    return not paged or observation.where == sign.path
