"""What is taken for a signed command, what is not, and what is said of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.remote import envelope
from agent.remote.claims import Claims
from agent.remote.envelope import COMMAND_LIMIT_BYTES, Envelope, digest_of, parse, read_claims
from agent.remote.reasons import Reason, Rejected

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CLAIMS: dict[str, Any] = {"jti": "c-1", "aud": "north", "iat": 1_800_000_000, "verb": "locate"}
HEADER = {"alg": "EdDSA", "kid": "ops", "typ": "JWT"}


def b64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def token(header: Any = HEADER, claims: Any = CLAIMS, signature: bytes | None = None) -> bytes:
    """A token put together by hand; bytes stand as they are."""
    parts = [
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims)
    ]
    signing_input = b".".join(map(b64, parts))
    return signing_input + b"." + b64(KEY.sign(signing_input) if signature is None else signature)


def rejection(payload: bytes | Envelope) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_claims(parse(payload) if isinstance(payload, bytes) else payload)
    assert len(caught.value.words) < 300
    assert caught.value.words.isprintable()
    assert caught.value.words.isascii()
    return caught.value


def malformed(payload: bytes) -> str:
    found = rejection(payload)
    assert found.reason is Reason.MALFORMED
    return found.words


def test_what_was_signed_is_read_back() -> None:
    payload = envelope.sign({**CLAIMS, "target": {"ids": ["asic-1"]}}, KEY, "ops")
    found = parse(payload)
    assert found.key_id == "ops"
    assert found.digest == digest_of(payload) == hashlib.sha256(payload).hexdigest()
    KEY.public_key().verify(found.signature, found.signing_input)
    claims = read_claims(found)
    assert (claims.jti, claims.verb, claims.target and claims.target.ids) == (
        *("c-1", "locate"),
        ("asic-1",),
    )


def test_any_jwt_library_reads_what_we_sign() -> None:
    payload = envelope.sign(CLAIMS, KEY, "ops")
    options = {"verify_aud": False, "verify_iat": False}
    found = jwt.decode(payload, KEY.public_key(), algorithms=["EdDSA"], options=options)
    assert found == CLAIMS
    assert jwt.get_unverified_header(payload) == HEADER


def test_what_openssl_signs_is_taken(tmp_path: Path) -> None:
    key, message, signature = (tmp_path / name for name in ("k.pem", "m", "s"))
    signing_input = b64(json.dumps(HEADER).encode()) + b"." + b64(json.dumps(CLAIMS).encode())
    message.write_bytes(signing_input)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", message]
    subprocess.run([*sign, "-out", signature], check=True)
    found = parse(signing_input + b"." + b64(signature.read_bytes()))
    assert read_claims(found).jti == "c-1"
    assert (found.signing_input, found.signature) == (signing_input, signature.read_bytes())


def test_a_plain_object_is_unsigned() -> None:
    payload = json.dumps(CLAIMS).encode()
    found = parse(payload)
    assert found == Envelope(None, payload, b"", b"", digest_of(payload))
    assert read_claims(found) == read_claims(parse(token()))


@pytest.mark.parametrize(
    "payload",
    [
        token({"alg": "none"}, signature=b""),
        token({"alg": "NONE", "kid": "ops"}),
        token({"alg": "none", "kid": "ops"}),
        token(signature=b""),
        token({"alg": "EdDSA"}, signature=b""),
    ],
)
def test_a_token_without_a_signature_is_unsigned(payload: bytes) -> None:
    assert rejection(payload).reason is Reason.UNSIGNED


def test_the_limit_is_on_the_whole_payload() -> None:
    room = COMMAND_LIMIT_BYTES - len(json.dumps({**CLAIMS, "params": {"x": ""}}))
    whole = json.dumps({**CLAIMS, "params": {"x": "x" * room}}).encode()
    assert len(whole) == COMMAND_LIMIT_BYTES
    read_claims(parse(whole))
    found = rejection(whole + b" ")
    assert (found.reason, found.words) == (Reason.TOO_LARGE, "524,289 bytes, more than 524,288")
    assert rejection(b"." * 10_000_000).reason is Reason.TOO_LARGE


HEADERS: dict[str, tuple[Any, str]] = {
    "another algorithm": ({**HEADER, "alg": "RS256"}, "expected EdDSA, found RS256 - at `$.alg`"),
    "a shared secret": ({**HEADER, "alg": "HS256"}, "expected EdDSA, found HS256 - at `$.alg`"),
    "in other letters": ({**HEADER, "alg": "eddsa"}, "expected EdDSA, found eddsa - at `$.alg`"),
    "no algorithm": ({"kid": "ops"}, "required field `alg`"),
    "no algorithm at all": ({**HEADER, "alg": None}, "Expected `str`, got `null` - at `$.alg`"),
    "a list of algorithms": ({**HEADER, "alg": ["EdDSA"]}, "got `array` - at `$.alg`"),
    "no key": ({"alg": "EdDSA"}, "missing, it names the key - at `$.kid`"),
    "a number for a key": ({**HEADER, "kid": 7}, "got `int` - at `$.kid`"),
    "a path for a key": ({**HEADER, "kid": "../../etc/passwd"}, "at `$.kid`"),
    "a key with a newline": ({**HEADER, "kid": "ops\n"}, "at `$.kid`"),
    "a token for something else": (
        {**HEADER, "typ": "at+jwt"},
        "expected JWT, found at+jwt - at `$.typ`",
    ),
    "extensions": ({**HEADER, "crit": ["exp"]}, "`crit` is not supported"),
    "no extensions": ({**HEADER, "crit": []}, "`crit` is not supported"),
    "bare claims": ({**HEADER, "b64": False, "crit": ["b64"]}, "`crit` is not supported"),
    "bare claims, not critical": ({**HEADER, "b64": False}, "`b64` is not supported"),
    "the usual, said": ({**HEADER, "b64": True}, "`b64` is not supported"),
    "said twice": (b'{"alg":"none","alg":"EdDSA","kid":"ops"}', "field `alg` more than once"),
    "an array": ([HEADER], "Expected `object`, got `array`"),
    "not JSON": (b"EdDSA", "JSON is malformed"),
    "not UTF-8": (b'{"alg":"EdDSA","kid":"\xff"}', "can't decode byte 0xff"),
    "nothing": (b"", "truncated"),
    "endless": (b"[" * 1500, "header: "),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_bad_header_is_named(name: str) -> None:
    header, words = HEADERS[name]
    found = malformed(token(header))
    assert found.startswith("header: ")
    assert words in found


def test_a_long_header_is_not_read() -> None:
    words = malformed(token({**HEADER, "x5c": ["A" * 2000]}))
    assert words.startswith("header: ")
    assert words.endswith("more than 2,048")


@pytest.mark.parametrize("header", [{"alg": "EdDSA", "kid": "ops"}, {**HEADER, "typ": "jwt"}])
def test_the_type_may_be_left_out(header: dict[str, str]) -> None:
    assert parse(token(header)).key_id == "ops"


def test_members_that_mean_nothing_here_are_left_alone() -> None:
    own = {"jwk": {"kty": "OKP"}, "jku": "https://example.org", "cty": "x"}
    assert parse(token({**HEADER, **own})).key_id == "ops"  # RFC 7515, 4


GOOD = token()
FORMS = {
    b"": "three parts",
    b"nonsense": "three parts",
    b"a.b": "three parts",
    GOOD + b".more": "three parts",
    GOOD + b"\n": r"signature: byte 86 is b'\n', not base64url",
    b" " + GOOD: "header: byte 0 is b' ', not base64url",
    GOOD.replace(b".", b"=.", 1): "header: byte 59 is b'=', not base64url",
    GOOD + b"==": "signature: byte 86 is b'=', not base64url",
    GOOD + b"A": "signature: expected 64 bytes (Ed25519), found 65",
    GOOD + b"AAA": "signature: cut off: no base64url has 89 characters",
    GOOD[:-1] + bytes([GOOD[-1] + 1]): "signature: its last character has bits that mean nothing",
    "\N{FULLWIDTH LATIN SMALL LETTER E}".encode() + GOOD: "header: byte 0 is b'\\xef'",
    b"\0" + GOOD: r"header: byte 0 is b'\x00'",
    GOOD[:-41]: "signature: cut off",
    GOOD[:-2]: "signature: expected 64 bytes (Ed25519), found 63",
    token(signature=bytes(114)): "signature: expected 64 bytes (Ed25519), found 114",
    b'"' + GOOD + b'"': """header: byte 0 is b'"'""",
    b"[1]": "three parts",
}


@pytest.mark.parametrize(("payload", "words"), FORMS.items())
def test_a_bad_form_is_named(payload: bytes, words: str) -> None:
    assert words in malformed(payload)


def test_ed448_is_not_meant_though_it_is_called_eddsa() -> None:
    payload = jwt.encode(CLAIMS, Ed448PrivateKey.generate(), "EdDSA", {"kid": "ops"}).encode()
    assert malformed(payload) == "signature: expected 64 bytes (Ed25519), found 114"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a text for a time": ({"exp": "soon"}, "Expected `float | null`, got `str` - at `$.exp`"),
    "a truth for a time": ({"iat": True}, "got `bool` - at `$.iat`"),
    "a time before all times": ({"iat": -1}, "Expected `float` >= 0.0 - at `$.iat`"),
    "an id for a topic": ({"jti": "a/b"}, "at `$.jti`"),
    "a list of audiences": ({"aud": ["north"]}, "got `array` - at `$.aud`"),
    "a number among the ids": ({"target": {"ids": ["a", 5]}}, "at `$.target.ids[1]`"),
    "a word for a truth": ({"target": {"all": "yes"}}, "got `str` - at `$.target.all`"),
    "nothing for many": ({"target": {"max_targets": 0}}, "at `$.target.max_targets`"),
    "no wave": ({"rollout": {}}, "required field `wave` - at `$.rollout`"),
    "an unknown claim": ({"verbs": []}, "unknown field `verbs`"),
    "a long unknown claim": ({"x" * 9999: []}, "unknown field `xxx"),
    "an odd unknown claim": ({"\n\u202e\u0000": []}, "unknown field `?\\u202e?`"),
    "another case": ({"EXP": 1}, "unknown field `EXP`"),
    "a list of parameters": ({"params": []}, "got `array` - at `$.params`"),
    "deep parameters": ({"params": {"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}, "deeper than 16"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("signed", [True, False])
def test_a_wrong_claim_is_named_and_its_type(name: str, signed: bool) -> None:
    changed, words = WRONG[name]
    claims = {**CLAIMS, **changed}
    found = malformed(token(claims=claims) if signed else json.dumps(claims).encode())
    assert found.startswith("claims: ")
    assert words in found


RAW = {
    b"{}": "required field `jti`",
    b'{"jti":"a","jti":"b","aud":"n","iat":1,"verb":"x"}': "field `jti` more than once",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x","params":{"p":{"k":1,"k":2}}}': "`k` more than once",
    b'{"jti":"a","aud":"n","iat":NaN,"verb":"x"}': "JSON is malformed",
    b'{"jti":"a","aud":"n","iat":Infinity,"verb":"x"}': "JSON is malformed",
    b'{"jti":"a","aud":"n","iat":1e999,"verb":"x"}': "out of range - at `$.iat`",
    b'{"jti":"a","aud":"n","iat":' + b"9" * 5000 + b',"verb":"x"}': "out of range - at `$.iat`",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x","params":{"k":' + b"9" * 5000 + b"}}": "out of range",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x","params":{"k":"\\ud800"}}': "claims: ",
    b'{"jti":"a","aud":"n","iat":1,"verb":"\xed\xa0\x80"}': "claims: ",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x","params":{"k":' + b"[" * 200_000: "too deeply",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x"} {}': "JSON is malformed",
    b'{"jti":"a","aud":"n","iat":1,"verb":"x",}': "JSON is malformed",
    b"{'jti':'a'}": "JSON is malformed",
}


@pytest.mark.parametrize(("raw", "words"), RAW.items(), ids=range(len(RAW)))
def test_bad_json_is_named(raw: bytes, words: str) -> None:
    assert words in malformed(raw)
    assert words in malformed(token(claims=raw))


def test_detached_claims_are_missing_ones() -> None:
    head, _, signature = GOOD.split(b".")
    assert malformed(b".".join([head, b"", signature])).startswith("claims: ")


def test_no_secret_is_told() -> None:
    """Whatever is wrong with a command for pools: their passwords stand in no reason."""
    pools = {"pools": [{"url": "a", "user": "b", "password": "hunter2"}]}
    for changed in (
        {"params": "hunter2"},
        {"params": pools, "exp": "hunter2"},
        {"jti": "hunter2/"},
    ):
        assert "hunter2" not in malformed(token(claims={**CLAIMS, **changed}))
    found = parse(token(claims={**CLAIMS, "params": pools}))
    assert "hunter2" not in repr(found)


def test_many_names_are_looked_at_in_little_time() -> None:
    """The last of 40,000 names is the double one: found in one pass, not in 800 million looks."""
    names = b",".join(b'"a%d":0' % at for at in range(40_000))
    raw = b'{"jti":"a","aud":"n","iat":1,"verb":"x","params":{' + names + b',"z":0,"z":0}}'
    assert "`z` more than once" in malformed(raw)


def test_every_byte_counts() -> None:
    """A change of any one byte is malformed, another signing input or another signature."""
    whole = parse(GOOD)
    for at in range(len(GOOD)):
        changed = bytearray(GOOD)
        changed[at] ^= 1
        try:
            found = parse(bytes(changed))
        except Rejected:
            continue
        assert found.digest != whole.digest
        assert (found.signing_input, found.signature) != (whole.signing_input, whole.signature)


def test_claims_have_one_meaning_signed_or_not() -> None:
    assert isinstance(read_claims(parse(GOOD)), Claims)
