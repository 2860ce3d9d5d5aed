"""HTTP digest authentication on the client's side (RFC 7616, and 2069 where a server knows no qop).

The challenge is kept, so that later requests pass at once; a count of its uses goes with each.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from urllib.request import parse_http_list, parse_keqv_list

from drivers.api import Credential
from drivers.errors import BadReply

_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}


class DigestLogin:
    """The login of one device; keep it as long as the device."""

    __slots__ = ("_algorithm", "_challenge", "_count", "_credential", "_first", "_new_nonce")

    def __init__(
        self, credential: Credential, new_nonce: Callable[[], str] = lambda: os.urandom(8).hex()
    ) -> None:
        self._credential = credential
        self._new_nonce = new_nonce
        self._challenge: dict[str, str] | None = None
        self._count = 0
        self._first = ""
        self._algorithm = ""

    def authorization(self, method: str, target: str) -> str | None:
        """The header for a request; None before the first challenge."""
        challenge = self._challenge
        if challenge is None:
            return None
        self._count += 1
        digest = _HASHES[self._algorithm.removesuffix("-SESS")]
        nonce, user = challenge["nonce"], self._credential.user
        count, client_nonce = f"{self._count:08x}", self._new_nonce()
        first = self._first
        if self._algorithm.endswith("-SESS"):
            first = digest(f"{first}:{nonce}:{client_nonce}".encode())
        second = digest(f"{method}:{target}".encode())
        with_qop = "qop" in challenge
        middle = f"{nonce}:{count}:{client_nonce}:auth" if with_qop else nonce
        fields = {
            "username": user,
            "realm": challenge.get("realm", ""),
            "nonce": nonce,
            "uri": target,
            "response": digest(f"{first}:{middle}:{second}".encode()),
        }
        if "opaque" in challenge:
            fields["opaque"] = challenge["opaque"]
        text = ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items())
        if "algorithm" in challenge:
            text += f", algorithm={challenge['algorithm']}"
        if with_qop:
            text += f', qop=auth, nc={count}, cnonce="{client_nonce}"'
        return f"Digest {text}"

    def take_challenge(self, headers: str | None) -> bool:
        """Take over what a server asks for; False where it asks for no digest.

        Raises `BadReply` for a challenge that cannot be answered.
        """
        for header in (headers or "").split("\n"):
            scheme, _, rest = header.strip().partition(" ")
            if scheme.lower() == "digest":
                self._keep(_parsed(rest), header)
                return True
        return False

    def _keep(self, challenge: dict[str, str], header: str) -> None:
        algorithm = challenge.get("algorithm", "MD5").upper()
        qops = {word.strip().lower() for word in challenge.get("qop", "auth").split(",")}
        known = algorithm.removesuffix("-SESS") in _HASHES
        if "nonce" not in challenge or not known or "auth" not in qops:
            raise BadReply(
                "a challenge that nobody can answer", header.encode("latin-1", "replace")
            )
        self._challenge, self._count, self._algorithm = challenge, 0, algorithm
        user, password = self._credential.user, self._credential.password
        secret = f"{user}:{challenge.get('realm', '')}:{password}"
        self._first = _HASHES[algorithm.removesuffix("-SESS")](secret.encode())


def _parsed(text: str) -> dict[str, str]:
    try:
        found = parse_keqv_list(parse_http_list(text))
    except (ValueError, IndexError):
        return {}
    return {name.lower(): value for name, value in found.items()}


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
