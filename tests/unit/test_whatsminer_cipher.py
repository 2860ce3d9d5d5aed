"""What Whatsminers' commands are signed and sealed with, against vectors made with OpenSSL."""

import pytest

from drivers.asic.whatsminer.cipher import (
    key_of,
    opened,
    sealed,
    sealed_parameter,
    sign_of,
    signature,
)
from drivers.asic.whatsminer.md5crypt import md5crypt
from drivers.errors import BadReply

LONG = "Tr0ub4dor&3 lang genug fuer mehr als sechzehn"


@pytest.mark.parametrize(
    ("password", "salt", "hashed"),  # openssl passwd -1 -salt SALT PASSWORD
    [
        ("admin", "BQ5hoXV9", "RxmaDUO33TS7O26yeMHZ81"),
        ("admin", "jbzkfQls", ".7avgGnCiCEyQm5583jqa1"),
        ("admin", "a.", "g4P01pFLTCGO6NG8LDjpH."),
        (LONG, "BQ5hoXV9", "Ir9JkgldI6oJ/9VFBiQxY1"),
        (LONG, "a.", "Jj9il1mfVq8mGgfQlqwsE0"),
        ("x", "jbzkfQls", "sarrFDeE0xezelFTVNT4L1"),
        ("", "BQ5hoXV9", "CYfwenQM4xmKGmSJJ/al11"),
        ("", "a.", "LnHYebYKiGlwdb5gjdbt.0"),
        ("pässwörd", "L7mYce6.", "DVrZdunudw13/Ue/sX31t1"),
        ("admin", "BQ5hoXV9tail that nobody reads", "RxmaDUO33TS7O26yeMHZ81"),
    ],
)
def test_md5crypt(password: str, salt: str, hashed: str) -> None:
    assert md5crypt(password, salt) == hashed


def test_a_token_of_api_2() -> None:
    key = key_of("admin", "BQ5hoXV9")
    assert sign_of(key, "5626", "jbzkfQls") == "w.BNbkCV6n1aNWgiBWLzT/"
    assert sign_of(key, "1790005626", "jbzkfQls") == "w.BNbkCV6n1aNWgiBWLzT/"


def test_a_sealed_command_of_api_2() -> None:
    """`openssl enc -aes-256-ecb -nopad` under the SHA-256 of the key, two NUL bytes at the end."""
    key = key_of("admin", "BQ5hoXV9")
    data = sealed({"token": "t", "cmd": "power_on"}, key)
    assert data == "tJvDGd06UI/idCsXkgxKQ0ofe89CfPxK+fL6qVa0O1o="
    assert opened(data, key) == b'{"token":"t","cmd":"power_on"}'


def test_what_no_key_sealed() -> None:
    key = key_of("admin", "BQ5hoXV9")
    for data in ("AAAA", "tJvDGd06UI/idCsXkgxKQ0ofe89CfPxK+fL6"):
        with pytest.raises(BadReply, match="not sealed as agreed"):
            opened(data, key)
    assert opened("", key) == b""


def test_a_signature_and_a_sealed_parameter_of_api_3() -> None:
    """`openssl dgst -sha256 -binary | base64`, and `openssl enc -aes-256-ecb` with its own filling.

    The text under the digest is `set.miner.pools` `secret` `QbVy1Ou3` `1790000000`.
    """
    signed = signature("set.miner.pools", "secret", "QbVy1Ou3", 1790000000)
    assert signed.token == "2cIxDaiP"
    pools = [{"pool": "a", "worker": "b", "passwd": "c"}]
    assert sealed_parameter(pools, signed.digest) == (
        "X8lkes9rbnsERc1lQWeSdAX//dl9fNiHvUg2vLjBYMrRV1rWW/g9tA2UVs9zie/k"
    )
