"""cgminer's protocol on the server's side, without sockets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim import Site, protocol
from drivers.sim.protocol import parse_request
from drivers.sim.server import respond_live

TYPES = {
    "stock": "Antminer S19 Pro",
    "s9": "Antminer S9",
    "cgminer": "CoinTerra TerraMiner",
    "bfgminer": "BitForce SC",
    "sgminer": "Radeon R9 290",
}
NOW = 1_790_000_000.25


def machine(kind: str):
    site = Site(1, "127.61.0.0/16", 1, mix={TYPES[kind]: 1}, clock=lambda: NOW)
    return site.at("127.61.0.1")


def ask(kind: str, request: bytes | str | dict) -> bytes:
    if isinstance(request, dict):
        request = json.dumps(request)
    data = request if isinstance(request, bytes) else request.encode()
    return respond_live(machine(kind), data, NOW).body


def call(kind: str, command: str, **more: object) -> dict:
    body = ask(kind, {"command": command, **more})
    assert body.endswith(b"\0")
    return json.loads(body[:-1])


def code(answer: dict) -> tuple[int, str]:
    return answer["STATUS"][0]["Code"], answer["STATUS"][0]["Msg"]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request(data: bytes) -> None:
    parse_request(data)


@given(st.binary(max_size=200).map(lambda tail: b'{"command":' + tail))
def test_any_broken_json_is_a_request(data: bytes) -> None:
    parse_request(data)


@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=200))
def test_any_bytes_are_answered(kind: str, data: bytes) -> None:
    assert ask(kind, data).endswith(b"\0")


@given(
    st.sampled_from(sorted(TYPES)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
)
def test_any_parameter_is_answered(kind: str, parameter: object) -> None:
    for command in ("asc", "check", "summary", "gpu+pools"):
        assert b"STATUS" in ask(kind, {"command": command, "parameter": parameter})


def test_deep_json_is_invalid() -> None:
    assert parse_request(b'{"command":' + b"[" * 4000).error == 23


@pytest.mark.parametrize(
    ("given_value", "read"),
    [("abc", "abc"), (3, "3"), (1.5, "1.500000"), (True, None), (None, None), ([1], None)],
)
def test_parameters(given_value: object, read: str | None) -> None:
    request = json.dumps({"command": "x", "parameter": given_value}).encode()
    assert parse_request(request).parameter == read


def test_text_requests() -> None:
    request = parse_request(b"check|pools|x\0more")
    assert (request.json, request.command, request.parameter) == (False, "check", "pools|x")


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b'{"command":"summary"', (23, "Invalid JSON")),
        (b'{"command":"summary"} x', (23, "Invalid JSON")),
        (b'{"parameter":"1"}', (24, "Missing JSON 'command'")),
        (b'{"command":5}', (14, "Invalid command")),
        (b'{"command":"nonsense"}', (14, "Invalid command")),
    ],
)
@pytest.mark.parametrize("kind", sorted(TYPES))
def test_bad_requests(kind: str, request_bytes: bytes, expected: tuple[int, str]) -> None:
    answer = json.loads(ask(kind, request_bytes)[:-1])
    assert code(answer) == expected
    assert answer["STATUS"][0]["STATUS"] == "E"
    assert answer["id"] == 1


@pytest.mark.parametrize(
    ("command", "section", "expected"),
    [
        ("version", "VERSION", (22, "CGMiner versions")),
        ("config", "CONFIG", (33, "CGMiner config")),
        ("summary", "SUMMARY", (11, "Summary")),
        ("pools", "POOLS", (7, "3 Pool(s)")),
        ("devs", "DEVS", (9, "2 ASC(s)")),
        ("edevs", "DEVS", (9, "2 ASC(s)")),
        ("devdetails", "DEVDETAILS", (69, "Device Details")),
        ("stats", "STATS", (70, "CGMiner stats")),
        ("estats", "STATS", (70, "CGMiner stats")),
        ("coin", "COIN", (78, "CGMiner coin")),
        ("notify", "NOTIFY", (60, "Notify")),
        ("asccount", "ASCS", (104, "ASC count")),
        ("pgacount", "PGAS", (59, "PGA count")),
        ("gpucount", "GPUS", (20, "GPU count")),
    ],
)
def test_classic_reads(command: str, section: str, expected: tuple[int, str]) -> None:
    answer = call("cgminer", command)
    assert code(answer) == expected
    assert list(answer) == ["STATUS", section, "id"]
    assert answer[section]
    assert answer["STATUS"][0]["Description"] == "cgminer 4.11.1"


def test_a_single_device() -> None:
    assert code(call("cgminer", "asc", parameter="1")) == (106, "ASC1")
    assert call("cgminer", "asc", parameter=1)["ASC"][0]["ID"] == 1
    assert code(call("cgminer", "asc", parameter="2")) == (107, "Invalid ASC id 2 - range is 0 - 1")
    assert code(call("cgminer", "asc")) == (15, "Missing device id parameter")
    assert code(call("sgminer", "gpu", parameter="3")) == (17, "GPU3")
    assert code(call("bfgminer", "pga", parameter="9")) == (58, "Invalid PGA id 9 - range is 0 - 3")


def test_check() -> None:
    assert call("cgminer", "check", parameter="summary")["CHECK"] == [
        {"Exists": "Y", "Access": "Y"}
    ]
    assert call("cgminer", "check", parameter="addpool")["CHECK"] == [
        {"Exists": "Y", "Access": "N"}
    ]
    assert call("cgminer", "check", parameter="fly")["CHECK"] == [{"Exists": "N", "Access": "N"}]
    assert code(call("cgminer", "check")) == (71, "Missing check cmd")
    assert b"CHECK,Exists=Y,Access=Y|" in ask("cgminer", "check|pools")


@pytest.mark.parametrize("kind", sorted(TYPES))
@pytest.mark.parametrize("command", ["privileged", "addpool", "quit", "restart", "ascset"])
def test_nobody_may_write(kind: str, command: str) -> None:
    assert code(call(kind, command)) == (45, f"Access denied to '{command}' command")


def test_cgminer_hides_its_name_from_probes() -> None:
    assert "Description" not in call("cgminer", "nonsense")["STATUS"][0]
    assert "Description" in call("sgminer", "nonsense")["STATUS"][0]


def test_joined() -> None:
    answer = call("cgminer", "summary+devs+summary+nonsense+check+quit", parameter="x")
    assert list(answer) == ["summary", "devs", "nonsense", "check", "quit", "id"]
    assert answer["id"] == 1
    (summary,) = answer["summary"]
    assert list(summary) == ["STATUS", "SUMMARY", "id"]
    assert code(answer["nonsense"][0])[0] == 14
    assert code(answer["check"][0]) == (45, "Access denied to 'check' command")
    assert code(answer["quit"][0])[0] == 45


def test_one_surviving_name_keeps_the_nested_form() -> None:
    assert list(call("cgminer", "+summary+summary")) == ["summary", "id"]


def test_joined_text() -> None:
    text = ask("bfgminer", "version+summary").decode()
    assert text.startswith("CMD=version|STATUS=S,When=1790000000,Code=22,Msg=BFGMiner versions,")
    assert "|CMD=summary|STATUS=S," in text
    assert text.endswith("|\0")


def test_text_form() -> None:
    text = ask("cgminer", "summary").decode()
    start = (
        "STATUS=S,When=1790000000,Code=11,Msg=Summary,Description=cgminer 4.11.1|SUMMARY,Elapsed="
    )
    assert text.startswith(start)
    assert ask("cgminer", "pools").decode().count("|POOL=") == 3
    assert b"|ASC=0,Name=CTA," in ask("cgminer", "devs")


def test_text_escapes_its_separators() -> None:
    section = protocol.Section({"STATUS": "S"}, "X", ({"a": "b|c,d=e\\f", "t": True, "n": 1.0},))
    assert protocol.encode_text(section) == rb"STATUS=S|X,a=b\|c\,d\=e\\f,t=true,n=1.00|" + b"\0"


def test_scrypt_speaks_of_kilohashes() -> None:
    (summary,) = call("sgminer", "summary")["SUMMARY"]
    assert summary["KHS 5s"] == pytest.approx(summary["MHS 5s"] * 1000, abs=0.1)
    assert len(call("sgminer", "devs")["DEVS"]) == 6
    assert code(call("sgminer", "devs")) == (9, "6 GPU(s)")


def test_stock_knows_no_joined_commands() -> None:
    answer = call("stock", "summary+pools")
    assert code(answer) == (14, "Invalid command")
    assert "summary" not in answer


def test_stock_version_and_stats() -> None:
    (version,) = call("stock", "version")["VERSION"]
    assert version["Type"] == "Antminer S19 Pro"
    head, body = call("stock", "stats")["STATS"]
    assert list(head) == ["BMMiner", "Miner", "CompileTime", "Type"]
    assert [body[f"chain_acn{n}"] for n in range(1, 5)] == [114, 114, 114, 0]
    rates = [body[f"chain_rate{n}"] for n in range(1, 5)]
    assert rates[3] == ""
    assert sum(float(rate) for rate in rates[:3]) == pytest.approx(body["GHS 5s"], rel=1e-4)
    assert len(body["temp_chip1"].split("-")) == 4
    assert {"fan1", "fan4", "temp1", "temp2_3", "rate_30m", "total_rateideal"} <= set(body)
    assert not any("watt" in key.lower() or "power" in key.lower() for key in body)


def test_stock_group_reads_five_commands() -> None:
    for command in ("config", "devdetails", "coin", "check", "asc", "notify"):
        assert code(call("stock", command))[0] == 45
    assert call("stock", "devs")["DEVS"][0]["MHS 5s"] == 0.0
    assert "Tenperature" in call("stock", "devs")["DEVS"][0]
    assert "Pool Stale%%" in call("stock", "pools")["POOLS"][0]


@pytest.mark.parametrize("command", ["summary", "stats"])
def test_stock_new_api(command: str) -> None:
    answer = call("stock", command, new_api=True)
    assert answer["STATUS"]["STATUS"] == "S"
    assert answer[command.upper()][0]["rate_unit"] == "GH/s"
    assert call("stock", "pools", new_api=True)["POOLS"][0]["status"] == "Alive"
    nested = call("stock", command, parameter={"new_api": True})
    assert isinstance(nested["STATUS"], list)


def test_s9_joins_and_forgets_a_comma() -> None:
    body = ask("s9", {"command": "stats"})
    assert b'"Type":"Antminer S9"}{"STATS":0' in body
    answer = json.loads(body[:-1].replace(b"}{", b"},{"))
    assert answer["STATS"][1]["chain_acn6"] == 63
    assert isinstance(answer["STATS"][1]["GHS 5s"], str)
    joined = call("s9", "summary+pools")
    assert list(joined) == ["summary", "pools", "id"]
    assert respond_live(machine("s9"), b'{"command":"stats"}', NOW).malformed


def test_the_log_knows_the_rate_in_the_answer() -> None:
    for kind, key, scale in (("stock", "GHS 5s", 1), ("cgminer", "MHS 5s", 1000)):
        reply = respond_live(machine(kind), b'{"command":"summary"}', NOW)
        row = json.loads(reply.body[:-1])["SUMMARY"][0]
        assert row[key] == pytest.approx(reply.ghs * scale, abs=1e-6)
        assert row["Elapsed"] == reply.elapsed
    refused = respond_live(machine("stock"), b'{"command":"quit"}', NOW)
    assert (refused.ghs, refused.elapsed) == (None, None)
