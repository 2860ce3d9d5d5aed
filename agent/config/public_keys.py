"""Public keys as they are written in configurations, read with plain words about what is wrong.

A text that is refused is never shown: it may be a private key that was pasted in its place.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

KEY_BYTES = 32
_FINGERPRINT_DIGITS = 16
_PRIVATE = "is a private key, which belongs to its owner alone: give the public one"
_PEM_BODY = bytes.fromhex("302a300506032b6570032100")
_PRIVATE_BODY = bytes.fromhex("302e020100300506032b6570")
"""How the DER of a public and of a private Ed25519 key begins (RFC 8410)."""


class BadPublicKey(ValueError):
    """No public key that signatures can be trusted to."""


def decode(text: str) -> bytes:
    """The 32 bytes of a key in base64 or base64url; raises `BadPublicKey`."""
    if "PRIVATE KEY" in text:
        raise BadPublicKey(_PRIVATE)
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        raw = urlsafe_b64decode((plain + "=" * (-len(plain) % 4)).encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if not raw or encode(raw) != plain:
        raise BadPublicKey(f"expected the {KEY_BYTES} bytes of an Ed25519 public key in base64")
    _check_length(raw)
    return _checked(raw)


def read(content: bytes) -> bytes:
    """The 32 bytes of a key from a file, PEM or OpenSSH's line; raises `BadPublicKey`."""
    if b"PRIVATE KEY" in content:
        raise BadPublicKey(_PRIVATE)
    content = content.strip()
    try:
        if content.startswith(b"-----BEGIN PUBLIC KEY-----"):
            key = load_pem_public_key(content)
        elif content.startswith(b"ssh-") and b"\n" not in content:
            key = load_ssh_public_key(content)
        else:
            raise BadPublicKey(
                "expected a PEM public key, or one line of OpenSSH (ssh-ed25519 ...)"
            )
    except (ValueError, UnsupportedAlgorithm) as error:
        if isinstance(error, BadPublicKey):
            raise
        raise BadPublicKey("is damaged, or no public key that is known here") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadPublicKey("is of another algorithm: expected Ed25519")
    return _checked(key.public_bytes_raw())


def encode(raw: bytes) -> str:
    """A key as configurations have it: base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def fingerprint(raw: bytes) -> str:
    """The beginning of the SHA-256 of a key's 32 bytes: for people to compare."""
    return hashlib.sha256(raw).hexdigest()[:_FINGERPRINT_DIGITS]


def _check_length(raw: bytes) -> None:
    if len(raw) == KEY_BYTES:
        return
    if raw.startswith(_PRIVATE_BODY) or _is_pair(raw):
        raise BadPublicKey(_PRIVATE)
    problem = f"expected the {KEY_BYTES} bytes of an Ed25519 public key, found {len(raw)}"
    if raw.startswith(_PEM_BODY):
        problem += " (the body of a PEM file: name the file in public_key_file)"
    raise BadPublicKey(problem)


def _is_pair(raw: bytes) -> bool:
    """Whether it is a secret and its public key behind it, as NaCl keeps them."""
    if len(raw) != 2 * KEY_BYTES:
        return False
    own = Ed25519PrivateKey.from_private_bytes(raw[:KEY_BYTES]).public_key()
    return own.public_bytes_raw() == raw[KEY_BYTES:]


# --- the point of the curve --------------------------------------------------------------

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
"""The curve of RFC 8032: x^2 and y^2 with y^2 - x^2 = 1 + d x^2 y^2 (mod p)."""
_EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_WEAK_Y = frozenset({0, 1, _P - 1, _EIGHTH, _P - _EIGHTH})
"""The heights of the eight points of small order."""


def _checked(raw: bytes) -> bytes:
    """OpenSSL takes any 32 bytes for a key, and signatures by some that nobody has made."""
    y = int.from_bytes(raw, "little") & ~(1 << 255)
    if y >= _P or not _on_curve(y):
        raise BadPublicKey("is no point of the curve: a slip in copying?")
    if y in _WEAK_Y:
        raise BadPublicKey("is a weak key: anybody could sign for it")
    return raw


def _on_curve(y: int) -> bool:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return square == 0 or pow(square, (_P - 1) // 2, _P) == 1
