"""Digest authentication as its RFCs have it."""

from __future__ import annotations

import re

import pytest

from drivers.api import Credential
from drivers.errors import BadReply
from drivers.wire.digest import DigestLogin


def answered(challenge: str, user: str, password: str, nonce: str, target: str) -> dict[str, str]:
    login = DigestLogin(Credential(user, password), lambda: nonce)
    assert login.authorization("GET", target) is None
    assert login.take_challenge(challenge)
    header = login.authorization("GET", target)
    assert header is not None
    assert password not in header
    return dict(re.findall(r'(\w+)="?([^",]*)"?', header.removeprefix("Digest ")))


def test_the_example_of_rfc_2617() -> None:
    fields = answered(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
        "Mufasa",
        "Circle Of Life",
        "0a4f113b",
        "/dir/index.html",
    )
    assert fields["response"] == "6629fae49393a05397450978507c4ef1"
    assert fields["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"
    assert (fields["nc"], fields["qop"]) == ("00000001", "auth")


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    fields = answered(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
        "Mufasa",
        "Circle of Life",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "/dir/index.html",
    )
    assert fields["response"] == response


def test_the_count_goes_up_until_there_is_another_challenge() -> None:
    login = DigestLogin(Credential("root", "root"))
    login.take_challenge('Digest realm="antMiner", nonce="a", qop="auth"')
    counts = [re.findall(r"nc=(\w+)", str(login.authorization("GET", "/"))) for _ in range(2)]
    login.take_challenge('Digest realm="antMiner", nonce="b", qop="auth", stale=true')
    counts.append(re.findall(r"nc=(\w+)", str(login.authorization("GET", "/"))))
    assert counts == [["00000001"], ["00000002"], ["00000001"]]


@pytest.mark.parametrize("header", [None, "", "Basic realm=x", "Bearer", "Negotiate\nBasic x"])
def test_what_is_no_digest_is_left_alone(header: str | None) -> None:
    login = DigestLogin(Credential("root", "root"))
    assert not login.take_challenge(header)
    assert login.authorization("GET", "/") is None


def test_of_several_challenges_the_digest_is_taken() -> None:
    login = DigestLogin(Credential("root", "root"))
    assert login.take_challenge('Basic realm="x"\nDigest realm="x", nonce="n"')
    assert "qop" not in str(login.authorization("GET", "/"))  # RFC 2069: the server knows none


@pytest.mark.parametrize(
    "rest", ['realm="x"', 'nonce="n", qop="auth-int"', 'nonce="n", algorithm=Q', "]"]
)
def test_a_challenge_that_nobody_can_answer(rest: str) -> None:
    with pytest.raises(BadReply):
        DigestLogin(Credential("root", "root")).take_challenge(f"Digest {rest}")
