"""Public keys in configurations: what is taken, what is not, and that nothing of it is told."""

from __future__ import annotations

import subprocess
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from agent.config.public_keys import BadPublicKey, decode, encode, fingerprint, read

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW = PRIVATE.public_key().public_bytes_raw()
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SSH = PRIVATE.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
P = 2**255 - 19


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def text_complaint(text: str) -> str:
    with pytest.raises(BadPublicKey) as caught:
        decode(text)
    assert text not in str(caught.value)
    return str(caught.value)


def file_complaint(content: bytes) -> str:
    with pytest.raises(BadPublicKey) as caught:
        read(content)
    return str(caught.value)


@pytest.mark.parametrize(
    "text", [b64(RAW), b64(RAW).rstrip("="), urlsafe_b64encode(RAW).decode(), encode(RAW)]
)
def test_both_ways_to_write_base64(text: str) -> None:
    assert decode(text) == RAW


def test_the_odd_characters_of_both() -> None:
    raw = next(raw for raw in keys() if {"-", "_"} <= set(encode(raw)))
    assert decode(b64(raw)) == decode(encode(raw)) == raw


def keys() -> list[bytes]:
    return [
        Ed25519PrivateKey.from_private_bytes(bytes([at]) * 32).public_key().public_bytes_raw()
        for at in range(64)
    ]


def test_every_key_that_is_one_is_taken() -> None:
    assert [decode(encode(raw)) for raw in keys()] == keys()


@pytest.mark.parametrize(
    "content",
    [PEM, PEM.replace(b"\n", b"\r\n"), b"\n" + PEM + b"\n\n", SSH, SSH + b" ana@desk\n"],
)
def test_files(content: bytes) -> None:
    assert read(content) == RAW


def test_what_openssl_writes(tmp_path: Path) -> None:
    private, public, der = (tmp_path / name for name in ("k", "p", "d"))
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    to_der = ["-pubout", "-outform", "DER", "-out", der]
    subprocess.run(["openssl", "pkey", "-in", private, *to_der], check=True)
    assert read(public.read_bytes()) == der.read_bytes()[-32:]
    assert "private key" in file_complaint(private.read_bytes())


def test_a_fingerprint_is_short_and_of_the_bytes() -> None:
    assert fingerprint(RAW) == "56475aa75463474c"


@pytest.mark.parametrize(
    "text",
    [
        b64(bytes(range(32)) + RAW),
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        b64(PRIVATE.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
    ],
)
def test_a_private_key_is_known_as_one(text: str) -> None:
    assert text_complaint(text).startswith("is a private key")
    if "PRIVATE" in text:
        assert file_complaint(text.encode()).startswith("is a private key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "in base64"),
        ("no key", "in base64"),
        ("ä" * 43, "in base64"),
        (" " + encode(RAW), "in base64"),
        (encode(RAW)[:-1] + "h", "in base64"),
        (encode(RAW)[:-1], "in base64"),
        (encode(RAW[:31]), "found 31"),
        (b64(bytes(64)), "found 64"),
        (b64(bytes.fromhex("302a300506032b6570032100") + RAW), "public_key_file"),
    ],
)
def test_what_is_no_key(text: str, words: str) -> None:
    with pytest.raises(BadPublicKey, match=words):
        decode(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a PEM public key"),
        (encode(RAW).encode(), "expected a PEM public key"),
        (SSH + b"\n" + SSH, "expected a PEM public key"),
        (PEM[:60], "is damaged"),
        (SSH[:-9], "is damaged"),
        (b"ssh-nothing AAAA", "is damaged"),
        (bytes(range(256)), "expected a PEM public key"),
        (
            ed448.Ed448PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "of another algorithm",
        ),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "of another algorithm",
        ),
    ],
)
def test_what_is_no_file_of_a_key(content: bytes, words: str) -> None:
    assert words in file_complaint(content)


# --- points, worked out here by the formulas of RFC 8032 ------------------------------------

WEAK = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
D = -121665 * pow(121666, -1, P) % P


def root(square: int) -> int | None:
    found = pow(square, (P + 3) // 8, P)
    for candidate in (found, found * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square % P:
            return candidate
    return None


def x_of(y: int) -> int | None:
    return root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    bend = D * x * x * y * y % P
    return 2 * x * y * pow(1 + bend, -1, P) % P, (y * y + x * x) * pow(1 - bend, -1, P) % P


def small_order() -> list[int]:
    """The heights of the points that three doublings bring to the neutral one."""
    heights = [0, 1, P - 1, int.from_bytes(WEAK, "little"), P - int.from_bytes(WEAK, "little")]
    for y in heights:
        x = x_of(y)
        assert x is not None
        point = (x, y)
        for _ in range(3):
            point = doubled(point)
        assert point == (0, 1)
    return heights


@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_points_of_small_order_are_weak(sign: int) -> None:
    for y in small_order():
        assert "weak" in text_complaint(encode((y | sign).to_bytes(32, "little")))


def test_such_a_point_would_take_a_signature_that_nobody_made() -> None:
    """Why: under the neutral point one signature holds for every message."""
    neutral = (1).to_bytes(32, "little")
    key = Ed25519PublicKey.from_public_bytes(neutral)
    try:
        for message in (b"pause", b"resume"):
            key.verify(neutral + bytes(32), message)
    except InvalidSignature:  # a library that looks itself
        pytest.skip("this library refuses it")
    assert "weak" in text_complaint(encode(neutral))


@pytest.mark.parametrize("y", [P, P + 1, P + 2, 2**255 - 1])
def test_heights_have_one_way_to_be_written(y: int) -> None:
    assert "no point" in text_complaint(encode(y.to_bytes(32, "little")))


def test_heights_where_the_curve_is_not() -> None:
    off = [y for y in range(2, 40) if x_of(y) is None]
    assert 10 < len(off) < 30
    for y in range(2, 40):
        text = encode(y.to_bytes(32, "little"))
        if y in off:
            assert "no point" in text_complaint(text)
        else:
            assert decode(text)
