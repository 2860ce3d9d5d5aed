"""What a SealMiner's pages say to an order, and the form of its pools."""

import pytest

from drivers.api import WebReply
from drivers.asic.sealminer.orders import words_of
from drivers.asic.sealminer.pools import form_of, stored_in
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, Refused, Unsupported


def reply(body: str, status: int = 200) -> WebReply:
    return WebReply(status, {}, body.encode())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"status":0,"result":0}', '{"result":0}'),
        (
            '{"result":true,"api":true,"fileWrite":true,"msg":"ok"}',
            'ok {"result":true,"api":true,"fileWrite":true}',
        ),
        ("{}", "{}"),
        ("<html>rebooting</html>", "HTTP 200, 22 bytes"),
        ("", "HTTP 200, 0 bytes"),
    ],
)
def test_what_does_not_say_no_is_a_yes(body: str, words: str) -> None:
    assert words_of(reply(body), "/x.php") == words


@pytest.mark.parametrize(
    "body",
    [
        '{"result":1}',
        '{"result":"1","msg":"busy"}',
        '{"result":false,"api":true,"fileWrite":true}',
        '{"result":true,"api":true,"fileWrite":false,"msg":"disk"}',
    ],
)
def test_a_no_is_a_refusal(body: str) -> None:
    with pytest.raises(Refused):
        words_of(reply(body), "/x.php")


def test_pages_that_are_closed_missing_or_broken() -> None:
    for status, body, error in (
        (403, "", AccessDenied),
        (404, "", Unsupported),
        (500, "{}", Refused),
        (200, "{nothing", BadReply),
    ):
        with pytest.raises(error):
            words_of(reply(body, status), "/x.php")


def test_the_form_has_every_place() -> None:
    form = form_of([PoolSetting("stratum+tcp://a:1", "w", "p")])
    assert form["poolurl1"] == "stratum+tcp://a:1"
    assert (form["pooluser1"], form["poolpwd1"]) == ("w", "p")
    assert len(form) == 9
    assert {form[f"pool{part}{at}"] for part in ("url", "user", "pwd") for at in (2, 3)} == {""}


def test_the_stored_list_keeps_its_passwords_and_leaves_out_empty_places() -> None:
    rows = [{"url": "a:1", "user": "w", "pass": "p"}, {"url": ""}, {"url": 7}, "x", {"user": "w"}]
    assert stored_in({"pools": rows})[0] == PoolSetting("a:1", "w", "p")
    assert stored_in({"pools": "none"}) == ()
