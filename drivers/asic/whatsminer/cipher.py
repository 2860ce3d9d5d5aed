"""What a Whatsminer's writing commands are signed and sealed with, in both of its APIs. Pure.

API 2 (MicroBT's manual 2.0.5): a key from password and salt, a signature from key, time and
`newsalt`; AES-256-ECB under the SHA-256 of the key, filled up with NUL bytes. API 3 (manual at
apidoc.whatsminer.com): a digest of command, password, salt and time, whose first characters are
the token, and which as a whole seals pools and passwords. MicroBT's manual says nothing of the
filling there; its sample program and the worker of its own organisation fill up as PKCS #7 does.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.asic.whatsminer.md5crypt import md5crypt
from drivers.errors import BadReply

BLOCK_BYTES = 16
TIME_CHARS = 4
TOKEN_CHARS = 8


def key_of(password: str, salt: str) -> str:
    """The key of a password at a machine with that salt (API 2). Slow: a thousand rounds."""
    return md5crypt(password, salt)


def sign_of(key: str, time: str, newsalt: str) -> str:
    """What a command of API 2 proves itself with: it goes in as `token`. As slow as the key."""
    return md5crypt(key + time[-TIME_CHARS:], newsalt)


def sealed(message: dict[str, Any], key: str) -> str:
    """A command of API 2 as it travels."""
    plain = msgspec.json.encode(message)
    return b64encode(_aes(plain + b"\0" * (-len(plain) % BLOCK_BYTES), _hashed(key))).decode()


def opened(data: str, key: str) -> bytes:
    """An answer of API 2; raises `BadReply` where that key did not seal it."""
    try:
        raw = b64decode(data)
        decryptor = _cipher(_hashed(key)).decryptor()
        plain = decryptor.update(raw) + decryptor.finalize()
    except ValueError:
        raise BadReply("an answer that was not sealed as agreed") from None
    return plain.rstrip(b"\0")


class Signature(NamedTuple):
    """What a command of API 3 proves itself with, and what seals its parameter."""

    token: str
    digest: bytes


def signature(command: str, password: str, salt: str, ts: int) -> Signature:
    """The signature of one command at one second, by the machine's salt."""
    digest = sha256(f"{command}{password}{salt}{ts}".encode()).digest()
    return Signature(b64encode(digest).decode()[:TOKEN_CHARS], digest)


def sealed_parameter(parameter: Any, digest: bytes) -> str:
    """A parameter of API 3 that must not be read on the way."""
    plain = msgspec.json.encode(parameter)
    short = BLOCK_BYTES - len(plain) % BLOCK_BYTES
    return b64encode(_aes(plain + bytes([short]) * short, digest)).decode()


def _hashed(key: str) -> bytes:
    return sha256(key.encode()).digest()


def _aes(plain: bytes, key: bytes) -> bytes:
    encryptor = _cipher(key).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  the firmware knows no other
