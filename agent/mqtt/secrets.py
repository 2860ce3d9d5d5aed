"""Passwords and TLS keys, read anew for every connection so that rotation just works."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from agent.config.schema import Mqtt, Tls
from agent.mqtt.failure import Cause, LinkLost

SECRET_LIMIT = 65_535  # what the length field of a CONNECT can say


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one connection attempt proves itself with."""

    password: bytes | None
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return "<Secrets>"


def load(mqtt: Mqtt) -> Secrets:
    """Read the files; blocks. Raises `LinkLost` where one is missing or wrong."""
    return Secrets(_password(mqtt), None if mqtt.tls is None else _tls_context(mqtt.tls))


def _password(mqtt: Mqtt) -> bytes | None:
    path = _password_path(mqtt)
    if path is None:
        return None
    try:
        secret = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise LinkLost(Cause.CREDENTIALS, f"password file {path}: {error.strerror}") from error
    if not 0 < len(secret) <= SECRET_LIMIT:
        raise LinkLost(Cause.CREDENTIALS, f"password file {path} is empty or too long")
    return secret


def _password_path(mqtt: Mqtt) -> Path | None:
    if mqtt.password_file is not None:
        return Path(mqtt.password_file)
    if mqtt.password_credential is None:
        return None
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        wanted = mqtt.password_credential
        raise LinkLost(Cause.CREDENTIALS, f"credential {wanted}: no $CREDENTIALS_DIRECTORY")
    return Path(directory, mqtt.password_credential)


def _tls_context(tls: Tls) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name; nothing switches that off."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            # Without a callable, a key with a passphrase would ask on the terminal and block.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
    except OSError as error:  # ssl.SSLError is one
        wrong = error.filename or f"{tls.ca_file or 'system CAs'}, {tls.cert_file}"
        raise LinkLost(Cause.CREDENTIALS, f"TLS files ({wrong}): {error}") from error
    return context


def _no_passphrase() -> str:
    raise LinkLost(Cause.CREDENTIALS, "the TLS key has a passphrase, which nobody can enter here")
