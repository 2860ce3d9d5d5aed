"""`stoker send` against a real mosquitto, with nodes that answer as the test tells them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.__main__ import main
from agent.cli import send
from agent.cli.sending import Line
from agent.command.effects import Verdict
from agent.remote.envelope import digest_of
from agent.remote.messages import DeviceResult, State, Watts
from agent.remote.reasons import Reason
from tests.broker import Broker, free_port, running
from tests.orders_by_mqtt import SITE, Received, StandIn, key_file, nodes


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return key_file(tmp_path / "ana.pem")


def words(broker: Broker, directory: Path, *more: str) -> list[str]:
    where = ["--broker", f"127.0.0.1:{broker.port}", "--site", SITE]
    return ["send", *more, "--key", str(directory / "ana.pem"), *where]


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def result(number: int, verdict: Verdict, said: str = "no") -> DeviceResult:
    address = f"10.0.0.{number}"
    return DeviceResult(device_id=f"asic-{number}", address=address, verdict=verdict, words=said)


def does_all(devices: int) -> Any:
    def answer(node: StandIn, command: Received) -> None:
        good = {"verified": devices}
        node.tell(command, State.ACCEPTED, 1, targets=devices)
        node.tell(command, State.EXECUTING, 2, targets=devices, done=1, verdicts={"verified": 1})
        node.show(command, 0, *(result(each, Verdict.VERIFIED) for each in range(devices)))
        end = {"targets": devices, "done": devices, "verdicts": good, "pages": 1}
        node.tell(command, State.SUCCEEDED, 3, **end)

    return answer


def rejects(reason: Reason, said: str = "no") -> Any:
    def answer(node: StandIn, command: Received) -> None:
        node.tell(command, State.REJECTED, 1, reason=reason, words=said)

    return answer


def says_nothing(_node: StandIn, _command: Received) -> None:
    pass


# --- what goes out -------------------------------------------------------------------------------


def test_a_command_goes_out_signed_once_and_never_retained(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = threading.Event()
    with nodes(broker.port, key, {"n1": lambda *_: heard.set()}) as there:
        more = ["--target", "rack=B7", "--param", "watts=3000", "--expires", "90", "--json"]
        assert main(words(broker, tmp_path, "power.limit", *more)) == 0
        assert heard.wait(10)
        (command,) = there["n1"].received
    (sent,) = lines(capsys.readouterr().out)
    assert sent["sent"]["digest"] == digest_of(command.payload)
    assert sent["sent"]["topic"] == command.topic == f"stoker/v1/north/cmd/{command.claims.jti}"
    assert (command.retain, command.qos) == (False, 1)
    assert command.key_id == "ana"
    assert command.expiry_s is not None
    assert 80 <= command.expiry_s <= 90
    assert command.claims.aud == "north"
    assert command.claims.exp == pytest.approx(command.claims.iat + 90)
    assert command.claims.params == {"watts": 3000.0}


def test_a_command_for_one_node_reaches_no_other(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    with nodes(broker.port, key, {"n1": does_all(1), "n2": does_all(1)}) as there:
        more = ["--target", "all", "--node", "n1", "--key-id", "desk", "--id", "c1", "--wait"]
        assert main(words(broker, tmp_path, "mining.pause", *more)) == 0
        assert not there["n2"].received
        (command,) = there["n1"].received
    assert command.topic == "stoker/v1/north/node/n1/cmd/c1"
    assert command.claims.aud == "north/n1"
    assert command.key_id == "desk"
    assert "succeeded: 1 verified" in capsys.readouterr().out


def test_a_broker_that_speaks_only_3_1_1_gets_it_too(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    config = tmp_path / "sender.toml"
    with running(tmp_path) as broker:
        config.write_text(
            f'[site]\nname = "north"\n[mqtt]\nport = {broker.port}\nversion = "3.1.1"\n'
        )
        with nodes(broker.port, key, {"n1": does_all(1)}) as there:
            argv = ["send", "mining.pause", "--target", "all", "--wait", "--config", str(config)]
            assert main([*argv, "--key", str(tmp_path / "ana.pem")]) == 0
            assert there["n1"].received[0].expiry_s is None


# --- what comes back -----------------------------------------------------------------------------


def test_a_site_is_followed_to_the_end_of_every_node(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"n1": does_all(84), "n2": does_all(3), "n3": rejects(Reason.NO_TARGET)}
    with nodes(broker.port, key, answers):
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 0
    out = capsys.readouterr().out
    assert "n1: succeeded 84/84" in out
    assert "n2: succeeded 3/3" in out
    assert "n3: rejected (no_target)" in out
    assert out.endswith("succeeded: 87 verified\n")


def test_failures_are_named_device_by_device(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(node: StandIn, command: Received) -> None:
        bad = [result(each, Verdict.NOT_VERIFIED, "[red]still mining\x1b") for each in range(30)]
        node.show(command, 0, result(99, Verdict.VERIFIED), *bad)
        counts = {"verified": 1, "not_verified": 30}
        end = {"targets": 31, "done": 31, "verdicts": counts, "pages": 1}
        node.tell(command, State.ACCEPTED, 1)
        node.show(command, 0, result(99, Verdict.VERIFIED), *bad)
        node.tell(command, State.PARTIAL, 2, **end)

    with nodes(broker.port, key, {"n1": answer}):
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 3
    out = capsys.readouterr().out
    assert "  asic-0 10.0.0.0 at n1: not_verified: [red]still mining?" in out
    assert "  and 10 more" in out
    assert "asic-99" not in out
    assert "not all of it succeeded: 30 not_verified, 1 verified" in out


def test_a_rejection_is_told_with_its_reason(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = rejects(Reason.UNKNOWN_KEY, "no key of the id ana")
    with nodes(broker.port, key, {"n1": refusal, "n2": rejects(Reason.NO_TARGET)}):
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 1
    out = capsys.readouterr().out
    assert "n1: rejected (unknown_key): no key of the id ana" in out
    assert "rejected: " in out


def test_a_dry_run_says_what_would_come_of_it(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(node: StandIn, command: Received) -> None:
        assert command.claims.dry_run
        watts = Watts(drawn_w=260_000.0, change_w=-257_500.0, unknown=2)
        end = {"targets": 80, "done": 80, "verdicts": {"would": 80}, "dry_run": True}
        node.tell(command, State.SUCCEEDED, 1, watts=watts, **end)

    with nodes(broker.port, key, {"n1": answer}):
        more = ["--target", "all", "--wait", "--dry-run"]
        assert main(words(broker, tmp_path, "mining.pause", *more)) == 0
    assert "-257.5 kW of 260.0 kW, 2 devices unknown" in capsys.readouterr().out


def test_a_command_that_waits_for_a_second_person_says_how_to_approve_it(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(node: StandIn, command: Received) -> None:
        node.tell(command, State.SCHEDULED, 1, waiting_for="approval")
        node.tell(command, State.SUCCEEDED, 2)

    with nodes(broker.port, key, {"n1": answer}) as there:
        more = ["--target", "all", "--wait"]
        assert main(words(broker, tmp_path, "device.factory_reset", *more)) == 0
        (command,) = there["n1"].received
    approve = f"--param command={command.claims.jti} --param digest={command.digest}"
    assert approve in " ".join(capsys.readouterr().out.split())


def test_all_that_was_heard_is_there_for_programs(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    with nodes(broker.port, key, {"n1": does_all(2)}):
        more = ["--target", "all", "--wait", "--json"]
        assert main(words(broker, tmp_path, "mining.pause", *more)) == 0
    found = lines(capsys.readouterr().out)
    states = [line["state"]["state"] for line in found if "state" in line]
    assert states == ["accepted", "executing", "succeeded"]
    (page,) = [line["results"] for line in found if "results" in line]
    assert [each["device_id"] for each in page["results"]] == ["asic-0", "asic-1"]
    assert found[-1]["ended"]["exit_code"] == 0
    assert found[-1]["ended"]["nodes"] == {"n1": "succeeded"}
    assert found[-1]["ended"]["verdicts"] == {"verified": 2}


# --- what goes wrong -----------------------------------------------------------------------------


def test_lost_answers_are_asked_for_with_the_same_bytes(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.patience.REPEAT_S", 0.2)
    calls: list[Received] = []

    def answer(node: StandIn, command: Received) -> None:
        calls.append(command)
        if len(calls) >= 3:
            node.tell(command, State.SUCCEEDED, 1)

    with nodes(broker.port, key, {"n1": answer}):
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 0
    assert len(calls) == 3
    assert len({command.payload for command in calls}) == 1
    assert not any(command.retain for command in calls)


def test_a_broker_that_dies_in_the_middle_is_come_back_to(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.patience.REPEAT_S", 0.5)
    first = threading.Event()

    def answer(node: StandIn, command: Received) -> None:
        if not first.is_set():
            first.set()
            return
        node.tell(command, State.SUCCEEDED, 1)

    def kill() -> None:
        assert first.wait(10)
        broker.kill()
        broker.start()

    killer = threading.Thread(target=kill)
    with nodes(broker.port, key, {"n1": answer}):
        killer.start()
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 0
        killer.join()


def test_no_answer_in_time_is_no_success(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    with nodes(broker.port, key, {"n1": does_all(1), "n2": says_nothing}):
        more = ["--target", "all", "--wait", "--timeout", "2"]
        assert main(words(broker, tmp_path, "mining.pause", *more)) == 1
    assert "no answer in time from n2" in capsys.readouterr().out


def test_who_stops_to_watch_is_told_that_the_command_goes_on(
    broker: Broker,
    tmp_path: Path,
    key: Ed25519PrivateKey,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_line: Line, _timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Line, "hear", interrupted)
    more = ["--target", "all", "--wait", "--id", "c1"]
    assert main(words(broker, tmp_path, "mining.pause", *more)) == 130
    assert "command.cancel with command=c1" in capsys.readouterr().out


def test_a_site_where_nobody_is_online_is_named_at_once(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(broker.port, "n1", key, says_nothing) as node:
        node.status("offline")
        assert main(words(broker, tmp_path, "mining.pause", "--target", "all", "--wait")) == 1
    assert "no node is online" in capsys.readouterr().out


def test_without_a_broker_it_says_so(
    tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    argv = ["send", "config.reload", "--key", str(tmp_path / "ana.pem"), "--site", SITE]
    assert main([*argv, "--broker", f"127.0.0.1:{port}"]) == 1
    assert f"broker 127.0.0.1:{port}: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["--site", SITE], "name the broker"),
        (["--broker", "127.0.0.1:1"], "name the site"),
        (["--site", "no/rth", "--broker", "127.0.0.1:1"], "--site 'no/rth'"),
        (["--site", SITE, "--node", "#", "--broker", "127.0.0.1:1"], "--node '#'"),
        (["--site", SITE, "--broker", "127.0.0.1:x"], "--broker '127.0.0.1:x'"),
        (["--site", SITE, "--broker", "127.0.0.1:1", "--key-id", "a b"], "--key-id 'a b'"),
        (["--site", SITE, "--broker", "127.0.0.1:1", "--timeout", "-1"], "--timeout"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path,
    key: Ed25519PrivateKey,
    missing: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["send", "config.reload", "--key", str(tmp_path / "ana.pem"), *missing]) == 1
    assert said in capsys.readouterr().err


def test_a_command_that_is_too_large_for_any_node_is_not_sent(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [word for each in range(4_000) for word in ("--target", f"asic-{each:0120}")]
    assert main(words(broker, tmp_path, "mining.pause", *many)) == 1
    assert "more than 524,288" in capsys.readouterr().err


def test_parameters_that_may_be_secret_are_not_shown(
    broker: Broker, tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    pools = 'pools=[{"url":"stratum+tcp://p:1","user":"u","password":"hush"}]'
    for more in ([], ["--json"]):
        argv = words(broker, tmp_path, "pools.set", "--target", "all", "--param", pools, *more)
        assert main(argv) == 0
    shown = capsys.readouterr()
    assert "hush" not in shown.out + shown.err


# --- rights --------------------------------------------------------------------------------------


def test_a_user_without_the_right_to_command_is_told(
    tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read stoker/v1/#\n")
    with running(tmp_path, f"acl_file {acl}") as broker:
        assert main(words(broker, tmp_path, "config.reload")) == 1
    assert "not authorized" in capsys.readouterr().err


def test_a_wrong_password_is_told(
    tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, anonymous=False) as broker:
        assert main(words(broker, tmp_path, "config.reload")) == 1
    assert "refused: Not authorized" in capsys.readouterr().err


def test_a_frozen_broker_is_given_up(
    broker: Broker,
    tmp_path: Path,
    key: Ed25519PrivateKey,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "sender.toml"
    config.write_text(
        f'[site]\nname = "north"\n[mqtt]\nport = {broker.port}\nconnect_timeout_s = 0.5\n'
    )
    broker.freeze()
    argv = ["send", "config.reload", "--key", str(tmp_path / "ana.pem"), "--config", str(config)]
    assert main(argv) == 1
    assert "no answer within 0.5 s" in capsys.readouterr().err
    broker.thaw()
    monkeypatch.setattr(send, "DELIVERY_S", 0.0)
    assert main(argv) == 1
    assert "is not known" in capsys.readouterr().err
