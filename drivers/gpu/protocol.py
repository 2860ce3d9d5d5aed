"""What is said on the socket of `stoker-gpu`: typed messages in msgpack, each in a frame.

A client says `Hello` first and is answered `Welcome`, or `Failed` where the versions do not fit.
Then it asks, each request under an id of its own, and gets one answer with that id; answers come
as they are ready, not in the order of the requests. After `Follow` come `Event`s by themselves.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from drivers.gpu.answers import ServerMessage
from drivers.gpu.wants import Setting

VERSION = 1

Id = Annotated[int, Meta(ge=0, le=2**53)]
Uuid = Annotated[str, Meta(min_length=1, max_length=96)]
Seconds = Annotated[float, Meta(gt=0, le=120)]
GPUS_MAX = 64


class Tier(StrEnum):
    """How dear a value is to read. What is asked of the driver delays whoever uses the GPU."""

    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    COSTLY = "costly"
    """Takes the driver tens of milliseconds for each value; only when somebody asks."""


class _Asks(Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    id: Id


class Hello(Struct, frozen=True, tag_field="op", tag="hello"):
    """Opens a connection; a later version may add fields."""

    version: int
    client: Annotated[str, Meta(max_length=64)] = ""


class Inventory(_Asks, frozen=True, kw_only=True, tag="inventory"):
    """Which GPUs there are and what each is; forgets what was found to be unsupported."""

    within_s: Seconds = 30.0


class Scan(_Asks, frozen=True, kw_only=True, tag="scan"):
    """Read values; of all GPUs where none is named."""

    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=4)]
    uuids: Annotated[tuple[Uuid, ...], Meta(max_length=GPUS_MAX)] | None = None
    within_s: Seconds = 15.0


class Set(_Asks, frozen=True, kw_only=True, tag="set"):
    """Set one thing on one GPU, and read it back."""

    uuid: Uuid
    setting: Setting
    within_s: Seconds = 15.0


class Reset(_Asks, frozen=True, kw_only=True, tag="reset"):
    """Reset one GPU: all of them are let go meanwhile."""

    uuid: Uuid
    within_s: Seconds = 90.0


class Release(_Asks, frozen=True, kw_only=True, tag="release"):
    """Let go of all GPUs until `resume`, but no longer than `for_s`."""

    for_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    reason: Annotated[str, Meta(max_length=200)] = ""


class Resume(_Asks, frozen=True, kw_only=True, tag="resume"):
    """Take the GPUs up again; also ends a waiting time after a failure."""


class Status(_Asks, frozen=True, kw_only=True, tag="status"):
    """How `stoker-gpu` fares. Answered also while the driver hangs."""


class Follow(_Asks, frozen=True, kw_only=True, tag="follow"):
    """Be told events, those after number `after` of the same epoch first."""

    epoch: Annotated[str, Meta(max_length=64)] = ""
    after: Annotated[int, Meta(ge=0)] = 0


Request = Inventory | Scan | Set | Reset | Release | Resume | Status | Follow
ClientMessage = Hello | Request

_encode = msgspec.msgpack.Encoder().encode
_client: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_server: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)


class BadMessage(ValueError):
    """A frame that holds no message of this protocol; `id` where one could be seen."""

    def __init__(self, problem: str, id: int | None = None) -> None:
        super().__init__(problem)
        self.id = id


def encode(message: Struct) -> bytes:
    """A message as msgpack."""
    return _encode(message)


def decode_client_message(payload: bytes) -> ClientMessage:
    """What a client sent; raises `BadMessage`."""
    try:
        return _client.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a request: {error}", _id_of(payload)) from None


def decode_server_message(payload: bytes) -> ServerMessage:
    """What `stoker-gpu` sent; raises `BadMessage`."""
    try:
        return _server.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not an answer of stoker-gpu: {error}") from None


class _Numbered(Struct):
    id: Id


_numbered = msgspec.msgpack.Decoder(_Numbered)


def _id_of(payload: bytes) -> int | None:
    try:
        return _numbered.decode(payload).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
