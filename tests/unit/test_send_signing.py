"""The key that `stoker send` signs with: what is taken, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from agent.cli.signing import key_id, private_key
from agent.errors import AgentError

OURS = ed25519.Ed25519PrivateKey.generate()


def pem(
    key: ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def written(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    path = directory / "ana.pem"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(AgentError) as caught:
        private_key(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.OpenSSH])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_an_ed25519_key_is_taken(tmp_path: Path, form: PrivateFormat, mode: int) -> None:
    found = private_key(written(tmp_path, pem(OURS, form=form), mode))
    assert found.public_key() == OURS.public_key()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pem(rsa.generate_private_key(65537, 2048)), "expected an Ed25519 key, found one for RSA"),
        (pem(ed448.Ed448PrivateKey.generate()), "found one for Ed448"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "found one for EC"),
        (pem(OURS, BestAvailableEncryption(b"secret")), "has a passphrase"),
        (
            OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "holds a public key",
        ),
        (
            OURS.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            "holds a public key",
        ),
        (b"", "expected a private key as PEM"),
        (b"\xff" * 99, "expected a private key as PEM"),
        (pem(OURS)[:-40], "expected a private key as PEM"),
        (pem(OURS, form=PrivateFormat.OpenSSH)[:-40], "expected a private key as PEM"),
    ],
    ids=("rsa", "ed448", "ec", "locked", "pem", "openssh", "empty", "bytes", "cut", "cut-openssh"),
)
def test_any_other_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in complaint(written(tmp_path, content))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    assert "others may use it" in complaint(written(tmp_path, pem(OURS), mode))


def test_a_missing_key_and_a_directory_are_named(tmp_path: Path) -> None:
    assert "No such file" in complaint(tmp_path / "ana.pem")
    assert "directory" in complaint(tmp_path)


def test_a_key_is_called_like_its_file(tmp_path: Path) -> None:
    assert key_id(tmp_path / "ana.pem") == "ana"
    assert key_id(tmp_path / "desk-2026") == "desk-2026"
    with pytest.raises(AgentError, match="--key-id"):
        key_id(tmp_path / "my key.pem")
