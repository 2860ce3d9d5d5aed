"""The private key that commands are signed with, from its file."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from agent.config.terms import Name
from agent.errors import AgentError

_MOST_BYTES = 16_384
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file; raises `AgentError` saying what is wrong with it."""
    content = _content(path)
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        found = load(content, password=None)
    except TypeError:
        raise _bad(path, "it has a passphrase; give a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _bad(path, "expected a private key as PEM (Ed25519)") from None
    if not isinstance(found, Ed25519PrivateKey):
        kind = type(found).__name__.strip("_").removesuffix("PrivateKey")
        raise _bad(path, f"expected an Ed25519 key, found one for {kind}")
    return found


def key_id(path: Path) -> str:
    """What the nodes call the key, where nobody says: the name of its file without the ending."""
    try:
        return msgspec.convert(path.stem, Name)
    except msgspec.ValidationError:
        raise AgentError(f"--key-id: {path.name!a} is no id of a key; say which it is") from None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    if b"PUBLIC KEY" in content or content.startswith(b"ssh-"):
        raise _bad(path, "it holds a public key; sign with the private one")
    if mode & _OTHERS:
        raise _bad(path, f"others may use it (mode {mode:04o}): chmod 600 {path}")
    return content


def _bad(path: Path, problem: str) -> AgentError:
    return AgentError(f"key file {path}: {problem}")
