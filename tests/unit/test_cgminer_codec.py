"""Requests, answers and status words of the cgminer API."""

import json
from typing import Any

import pytest

from drivers.errors import AccessDenied, BadReply, Refused, Unsupported, WrongProtocol
from drivers.wire import cgminer
from drivers.wire.cgminer import Answer, checked, decode, request, rows, status_of
from drivers.wire.repair import REPAIR_LIMIT_CHARS, patched

# --- requests ------------------------------------------------------------------------------


def test_requests() -> None:
    assert request("summary") == b'{"command":"summary"}'
    assert json.loads(request("ascset", '0,led"1')) == {"command": "ascset", "parameter": '0,led"1'}
    assert json.loads(request("asc", 0)) == {"command": "asc", "parameter": 0}
    assert json.loads(request("asc", "")) == {"command": "asc", "parameter": ""}


def test_a_request_that_no_firmware_receives_whole() -> None:
    frame = len(request("x", ""))
    assert len(request("x", "y" * (4095 - frame))) == 4095
    with pytest.raises(ValueError, match="4096"):
        request("x", "y" * (4096 - frame))


# --- answers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'{"a":1}\0', {"a": 1}),
        (b'{"a":1}\0{"b":2}', {"a": 1}),
        (b'{"a":1}\n', {"a": 1}),
        # a comma too many
        (b'{"a":1,}', {"a": 1}),
        (b'{"a":[{"b":1,},],}', {"a": [{"b": 1}]}),
        (b'{"STATS":[,{"a":1}]}', {"STATS": [{"a": 1}]}),
        (b'{,"a":1}', {"a": 1}),
        (b'{"a":1,,"b":2}', {"a": 1, "b": 2}),
        # a comma too few
        (b'{"STATS":[{"a":1}{"b":2}]}', {"STATS": [{"a": 1}, {"b": 2}]}),
        (b'{"STATS":[{"a":1} \n {"b":2}]}', {"STATS": [{"a": 1}, {"b": 2}]}),
        (b'{"a":"x""temp0":61,"temp1":62}', {"a": "x", "temp0": 61, "temp1": 62}),
        (b'{"a":1 "b":2}', {"a": 1, "b": 2}),
        # it begins in the middle
        (b',"id":1}', {"id": 1}),
        (b',{"id":1}', {"id": 1}),
        (b'"STATUS":"S","id":1}', {"STATUS": "S", "id": 1}),
        # no numbers
        (b'{"a":nan,"b":-inf,"c":Infinity,"d":NaN}', {"a": None, "b": None, "c": None, "d": None}),
        (b'{"a":"inf","b":"nan"}', {"a": "inf", "b": "nan"}),
        (b'{"a":nan,"pool":"poolbinance"}', {"a": None, "pool": "poolbinance"}),
        (b'{"a":nan,"pool":"x nan }{ ,} inf"}', {"a": None, "pool": "x nan }{ ,} inf"}),
        # a list written like a dict
        (
            b'{"error_code":["329":"2023-01-01","410":"2023-01-02"]}',
            {"error_code": [{"329": "2023-01-01"}, {"410": "2023-01-02"}]},
        ),
        # inside strings
        (b'{"a":"one\ntwo\ttabs"}', {"a": "one\ntwo\ttabs"}),
        (b'{"a":"back\\slash","b":1}', {"a": "back\\slash", "b": 1}),
        (b'{"a":"\xff\xfeok"}', {"a": "\ufffd\ufffdok"}),
        (b'{"a":"\\ud800","b":1}', {"a": "?", "b": 1}),
        # nothing behind a key
        (b'{"a":,"b":2}', {"a": None, "b": 2}),
        # unclosed inside: the next closing bracket ends both
        (b'{"a":[{"b":1],"c":2}', {"a": [{"b": 1}], "c": 2}),
    ],
)
def test_malformations_from_the_field(raw: bytes, expected: dict[str, Any]) -> None:
    answer = decode(raw)
    assert answer.reply == expected
    assert not answer.cut


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":1,"b":[{"c":2},{"d":"xy', {"a": 1, "b": [{"c": 2}, {}]}),
        (b'{"a":1,"b":12', {"a": 1}),
        (b'{"a":1,"b":"user\\', {"a": 1}),
        (b'{"a":1,"b":', {"a": 1}),
        (b'{"a":1,"b"', {"a": 1}),
        (b'{"a":1,', {"a": 1}),
        (b'{"a":{"b":1}', {"a": {"b": 1}}),
        (b'{"a":1,"b":"gr\xc3', {"a": 1}),
    ],
)
def test_a_cut_answer_says_so_and_keeps_no_half_value(raw: bytes, expected: dict[str, Any]) -> None:
    answer = decode(raw)
    assert answer.cut
    assert answer.reply == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"{",
        b"[]",
        b"[1]",
        b"null",
        b'"text"',
        b"12",
        b"Socket connect failed: Connection refused\n",
        b'{"a":1.2.3,"b":2}',
        bytes(range(1, 200)),
        b'{"a":' * 40 + b"[1 2]" + b"}" * 40,
    ],
)
def test_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(BadReply) as caught:
        decode(raw)
    assert not isinstance(caught.value, WrongProtocol)
    assert caught.value.transient
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"<html></html>"])
def test_a_web_server_is_another_protocol(raw: bytes) -> None:
    with pytest.raises(WrongProtocol, match="HTTP server") as caught:
        decode(raw)
    assert not caught.value.transient


def test_malformed_and_too_large_is_refused() -> None:
    filler = "x" * REPAIR_LIMIT_CHARS
    assert decode(f'{{"a":"{filler}"}}'.encode()).reply["a"] == filler
    for flaw in (",", ',"b":[1 2]', ',"b":nan'):
        with pytest.raises(BadReply, match="malformed and over"):
            decode(f'{{"a":"{filler}"{flaw}}}'.encode())


# --- status --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "letter", "code", "message"),
    [
        ({"STATUS": [{"STATUS": "S", "Code": 11, "Msg": "Summary"}]}, "S", 11, "Summary"),
        ({"STATUS": {"STATUS": "S", "when": 1, "Msg": "summary"}}, "S", None, "summary"),
        ({"STATUS": "S", "When": 1, "Code": 131, "Msg": "OK"}, "S", 131, "OK"),
        ({"STATUS": "RESTART"}, "S", None, "RESTART"),
        ({"STATUS": "BYE"}, "S", None, "BYE"),
        ({"STATUS": "E", "Code": 132, "Msg": "no"}, "E", 132, "no"),
        ({"STATUS": [{"STATUS": "I", "Code": 118, "Msg": "softoff"}]}, "I", 118, "softoff"),
        ({"STATUS": [{"STATUS": "E", "Code": "14", "Msg": "x"}]}, "E", 14, "x"),
        ({"STATUS": [{"STATUS": "F", "Code": 1.5}]}, "F", None, ""),
    ],
)  # fmt: skip
def test_status_in_all_its_shapes(
    reply: dict[str, Any], letter: str, code: int | None, message: str
) -> None:
    status = status_of(reply)
    assert (status.letter, status.code, status.message) == (letter, code, message)
    assert status.good is (letter in {"S", "I", "W"})


@pytest.mark.parametrize("reply", [{}, {"STATUS": []}, {"STATUS": None}, {"STATUS": [1]}, {"a": 1}])
def test_no_status_is_a_bad_reply(reply: dict[str, Any]) -> None:
    with pytest.raises(BadReply, match="no STATUS"):
        status_of(reply)


@pytest.mark.parametrize("reply", [{"STATUS": [{}]}, {"STATUS": ""}, {"STATUS": {"STATUS": None}}])
def test_a_status_without_a_letter_is_no_success(reply: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        checked(reply)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(14, Unsupported), ("14", Unsupported), (45, AccessDenied), (23, Refused), (None, Refused)],
)
def test_refusals(code: int | str | None, kind: type[Refused]) -> None:
    with pytest.raises(Refused) as caught:
        checked({"STATUS": [{"STATUS": "E", "Code": code, "Msg": "Not so"}]})
    assert type(caught.value) is kind
    assert caught.value.message == "Not so"
    assert caught.value.code == (None if code is None else int(code))


@pytest.mark.parametrize("letter", ["S", "I", "W"])
def test_successes(letter: str) -> None:
    reply = {"STATUS": [{"STATUS": letter, "Code": 45}]}
    assert checked(reply) is reply


# --- sections and joined answers -----------------------------------------------------------


def test_rows() -> None:
    reply = {"A": [{"x": 1}, 2, None, {"y": 2}], "B": {"z": 3}, "C": "text", "D": None}
    assert rows(reply, "A") == [{"x": 1}, {"y": 2}]
    assert rows(reply, "B") == [{"z": 3}]
    assert rows(reply, "C") == rows(reply, "D") == rows(reply, "E") == []


def good(name: str) -> list[dict[str, Any]]:
    return [{"STATUS": [{"STATUS": "S", "Code": 1}], name.upper(): [{"n": name}]}]


def refused(code: int) -> list[dict[str, Any]]:
    return [{"STATUS": [{"STATUS": "E", "Code": code, "Msg": "no"}]}]


def test_a_joined_answer_is_split() -> None:
    reply = {"summary": good("summary"), "pools": good("pools"), "id": 1}
    report = cgminer._split(Answer(reply), ("summary", "pools"))
    assert report is not None
    assert report.replies["pools"]["POOLS"] == [{"n": "pools"}]
    assert (list(report.replies), report.errors, report.cut) == (["summary", "pools"], {}, ())


def test_one_refused_section_does_not_cost_the_others() -> None:
    reply = {"summary": good("summary"), "devs": refused(45), "edevs": refused(14), "id": 1}
    report = cgminer._split(Answer(reply), ("summary", "devs", "edevs", "pools"))
    assert report is not None
    assert list(report.replies) == ["summary"]
    kinds = {name: type(error) for name, error in report.errors.items()}
    assert kinds == {"devs": AccessDenied, "edevs": Unsupported, "pools": BadReply}


def test_a_section_that_was_cut_is_named() -> None:
    reply = {"summary": good("summary"), "pools": good("pools")}
    report = cgminer._split(Answer(reply, cut=True), ("summary", "pools", "stats"))
    assert report is not None
    assert report.cut == ("pools",)
    assert list(report.errors) == ["stats"]


@pytest.mark.parametrize(
    "reply",
    [
        {"STATUS": [{"STATUS": "E", "Code": 14}], "id": 1},
        {"STATUS": [{"STATUS": "S"}], "SUMMARY": [{}]},
        {"summary": refused(45), "pools": refused(45)},
        {"id": 1},
        {},
    ],
)
def test_the_flat_form_is_no_joined_answer(reply: dict[str, Any]) -> None:
    assert cgminer._split(Answer(reply), ("summary", "pools")) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":[{"x":"}{"}{"y":2}]}', {"a": [{"x": "}{"}, {"y": 2}]}),
        (b'{"a":1,"b":[1,2,],}', {"a": 1, "b": [1, 2]}),
        (b'{"a":"x""b":",}"}', {"a": "x", "b": ",}"}),
        (b'{"a":""temp0":1}', None),
        (b'{"a":1', None),
        (b'{"a":nan}', None),
        (b"{" + b'"a":1,,' * 9 + b"}", None),
    ],
)
def test_single_commas_are_patched_where_the_decoder_stumbles(raw: bytes, expected: Any) -> None:
    assert patched(raw) == expected
