"""Signed commands from far away: simulated miners, the agent, mosquitto, and a sender."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.commands import ROOT, Sender, Signer, claims
from tests.harness import Node, simulated, wait_until

NETWORK = "127.31.0.0/16"
COUNT = 12
FIRST, LAST = "127.31.0.1", "127.31.0.12"
RACKS = "range,rack\n127.31.0.1-127.31.0.6,B7\n127.31.0.7-127.31.0.12,B8\n"
FAST = """
[control]
starts_per_minute = 6000
starts_per_group_per_minute = 6000
[[control.allow]]
verbs = ["mining.pause", "mining.resume", "pools.set", "locate", "power.limit"]
[locations]
file = "{racks}"
[commands]
clock = "trusted"
two_person = ["pools.set"]
"""
OPS, SECOND, RACK, OLD = Signer("ops"), Signer("second"), Signer("rack"), Signer("old")
KEYS = (
    OPS.table('owner = "ann"', 'approves = ["pools.set"]', "per_minute = 10000"),
    SECOND.table('owner = "bob"', 'approves = ["*"]', verbs='"command.approve"'),
    RACK.table('tags = { rack = "B7" }', "max_targets = 3", verbs='"mining.*"'),
    OLD.table(),
    '[[commands.revoked]]\nid = "old"\nat = 2026-01-01T00:00:00Z\nreason = "lost laptop"\n',
)
B7 = {"tags": {"rack": "B7"}}


@contextmanager
def site(
    directory: Path, broker: Broker, *, more: str = "", keys: Any = KEYS, scale: str = "0.02"
) -> Iterator[Node]:
    """Twelve machines in two racks, found and read."""
    racks = directory / "racks.csv"
    racks.write_text(RACKS)
    sizes = ("--network", NETWORK, "--count", str(COUNT), "--mix", "Antminer S21=1")
    log = ("--log", str(directory / "sim.log"), "--delay-scale", scale)
    with (
        simulated(directory, *sizes, *log) as (_, _, sim),
        Node(
            directory,
            broker_port=broker.port,
            addresses=f"{FIRST}-{LAST}",
            more=FAST.format(racks=racks) + more + "".join(keys),
            **sim.ports,
        ) as node,
    ):
        node.await_devices(COUNT)
        wait_until(lambda: node.status()["totals"]["by_state"].get("mining") == COUNT, 20)
        yield node


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    from tests.broker import running

    with running(tmp_path_factory.mktemp("broker"), "max_queued_messages 0") as broker:
        yield broker


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, module_broker: Broker) -> Iterator[Node]:
    with site(tmp_path_factory.mktemp("commands"), module_broker) as node:
        yield node


@pytest.fixture
def sender(node: Node, module_broker: Broker) -> Iterator[Sender]:
    sender = Sender(module_broker.port)
    yield sender
    sender.close()


def ids_of(node: Node) -> list[str]:
    results = node.act("all", "locate", on=False)
    return [result["device_id"] for result in results]


def test_a_rack_is_put_to_sleep_and_proved(sender: Sender) -> None:
    command = sender.order(OPS, "mining.pause", B7)
    state = sender.state(command)
    assert state["state"] == "succeeded", state
    assert (state["targets"], state["done"], state["verdicts"]) == (6, 6, {"verified": 6})
    assert (state["verb"], state["key"]) == ("mining.pause", "ops")
    results = sender.results(command)
    assert len({each["device_id"] for each in results}) == 6
    assert all(each["after"]["state"] == "sleeping" for each in results)
    names = [each["state"] for each in sender.states[command]]
    assert names[0] == "accepted"
    assert "executing" in names
    seqs = [each["seq"] for each in sender.states[command]]
    assert seqs == sorted(seqs)
    woken = sender.order(OPS, "mining.resume", B7)
    assert sender.state(woken, timeout_s=60)["state"] == "succeeded"


def _sent(sender: Sender, token: bytes, command_id: str, **how: Any) -> dict[str, Any]:
    sender.send(token, command_id, **how)
    return sender.state(command_id, "rejected")


def _tampered(token: bytes) -> bytes:
    head, body, signature = token.split(b".")
    said = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    said["target"] = {"all": True}
    return b".".join(
        (head, base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"="), signature)
    )


REJECTED: dict[str, tuple[Callable[[int], dict[str, Any]], Signer]] = {
    "expired": (lambda now: claims("mining.pause", B7, iat=now - 500, exp=now - 200), OPS),
    "not_yet_valid": (lambda now: claims("mining.pause", B7, iat=now + 5000, exp=now + 5300), OPS),
    "too_long_lived": (lambda now: claims("mining.pause", B7, exp=now + 200_000), OPS),
    "replayed": (lambda now: claims("mining.pause", B7, iat=now - 50_000, exp=now + 5000), OPS),
    "revoked_key": (lambda _now: claims("mining.pause", B7), OLD),
    "unknown_key": (lambda _now: claims("mining.pause", B7), Signer("nobody")),
    "bad_signature": (lambda _now: claims("mining.pause", B7), Signer("ops")),
    "wrong_audience": (lambda now: claims("mining.pause", B7, aud="elsewhere"), OPS),
    "unknown_verb": (lambda now: claims("mining.explode", B7), OPS),
    "bad_params": (lambda now: claims("power.limit", B7, params={"watts": "many"}), OPS),
    "bad_target": (lambda now: claims("mining.pause", {"all": True, "kind": "asic"}), OPS),
    "no_target": (lambda now: claims("mining.pause", {"tags": {"rack": "Z9"}}), OPS),
    "not_permitted": (lambda now: claims("mining.pause", {"all": True}), RACK),
    "too_many_targets": (lambda _now: claims("mining.pause", B7), RACK),
    "not_allowed": (lambda now: claims("device.reboot", B7), OPS),
    "malformed": (lambda now: claims("mining.pause", B7, iat="yesterday"), OPS),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_each_fault_is_rejected_with_its_own_reason(sender: Sender, reason: str) -> None:
    make, signer = REJECTED[reason]
    said = make(int(time.time()))
    state = _sent(sender, signer.sign(said), said["jti"])
    assert state["reason"] == reason, state
    assert state["words"]


def test_a_retained_command_is_rejected_now_and_for_who_comes_later(sender: Sender) -> None:
    said = claims("mining.pause", B7)
    state = _sent(sender, OPS.sign(said), said["jti"], retain=True)
    sender.send(b"", said["jti"], retain=True)
    assert state["reason"] == "retained"


def test_other_forms_are_rejected(sender: Sender) -> None:
    said = claims("mining.pause", B7)
    forms = {
        "unsigned": json.dumps(said).encode(),
        "bad_signature": _tampered(OPS.sign(said)),
        "malformed": b"\xff\x00 no command",
        "too_large": b"x" * 10_000_000,
        "id_mismatch": OPS.sign(claims("mining.pause", B7)),
    }
    for reason, token in forms.items():
        state = _sent(sender, token, f"form-{reason}")
        assert state["reason"] == reason, state
    names = {
        each["details"]["reason"] for each in sender.events if each["name"] == "command.refused"
    }
    wait_until(lambda: names or sender.events, 10)


def test_a_command_for_another_node_is_rejected(sender: Sender) -> None:
    said = claims("mining.pause", B7, aud="test/n2")
    state = _sent(sender, OPS.sign(said), said["jti"], node="n1")
    assert state["reason"] == "wrong_audience"


def test_a_known_id_with_other_bytes_is_rejected_and_its_state_stays(sender: Sender) -> None:
    command = sender.order(OPS, "locate", B7, params={"on": True})
    done = sender.state(command)
    other = OPS.sign(claims("mining.pause", B7, jti=command))
    sender.send(other, command)
    state = sender.state(command, "rejected")
    assert state["reason"] == "id_reused"
    assert state["digest"] != done["digest"]
    assert not state["retained"]


def test_a_locked_rack_is_rejected(sender: Sender) -> None:
    locked = sender.order(
        OPS, "lock.set", params={"scope": "rack=B8", "reason": "fan tray is open"}
    )
    assert sender.state(locked)["state"] == "succeeded"
    command = sender.order(OPS, "mining.resume", {"tags": {"rack": "B8"}})
    state = sender.state(command)
    assert (state["state"], state["reason"]) == ("rejected", "locked")
    assert "fan tray" in state["words"]
    cleared = sender.order(OPS, "lock.clear", params={"scope": "rack=B8"})
    assert sender.state(cleared)["state"] == "succeeded"


def test_a_hundred_copies_are_one_execution(sender: Sender, node: Node) -> None:
    device = ids_of(node)[0]
    said = claims("mining.pause", {"ids": [device]})
    token = OPS.sign(said)
    before = len(_writes(node, "127.31."))
    for _ in range(100):
        sender.send(token, said["jti"])
    state = sender.state(said["jti"])
    assert state["state"] == "succeeded"
    done = len(_writes(node, "127.31."))
    time.sleep(1.1)  # the log reaches its file within a second
    done = len(_writes(node, "127.31."))
    assert done - before == 1
    told = len(sender.states[said["jti"]])
    sender.send(token, said["jti"])
    wait_until(lambda: len(sender.states[said["jti"]]) > told, 5, "the last state again")
    last = sender.states[said["jti"]][-1]
    assert (last["state"], last["digest"]) == ("succeeded", state["digest"])
    sender.state(sender.order(OPS, "mining.resume", {"ids": [device]}), timeout_s=60)


def _writes(node: Node, prefix: str) -> list[str]:
    """What was written to machines, from the simulator's own log."""
    log = node.directory / "sim.log"
    return [line for line in log.read_text().splitlines() if "set_miner_conf" in line]


def test_two_persons(sender: Sender) -> None:
    pools = [{"url": "stratum+tcp://new.example.com:3333", "user": "a.b"}]
    command = sender.order(OPS, "pools.set", {"tags": {"rack": "B8"}}, params={"pools": pools})
    waiting = sender.state(command, "scheduled")
    assert waiting["waiting_for"] == "approval"
    approval = {"command": command, "digest": waiting["digest"]}
    own = sender.order(OPS, "command.approve", params=approval)
    assert sender.state(own)["reason"] == "not_permitted"
    wrong = sender.order(SECOND, "command.approve", params={"command": command, "digest": "0" * 64})
    assert sender.state(wrong)["state"] == "failed"
    right = sender.order(SECOND, "command.approve", params=approval)
    assert sender.state(right)["state"] == "succeeded"
    assert sender.state(command, timeout_s=60)["state"] == "succeeded"


def test_a_command_waits_for_its_time_and_is_cancelled(sender: Sender) -> None:
    now = time.time()
    soon = sender.order(OPS, "locate", B7, params={"on": True}, nbf=now + 2)
    late = sender.order(OPS, "mining.pause", B7, nbf=now + 200)
    assert sender.state(soon, "scheduled")["waiting_for"] == "not_before"
    assert sender.state(late, "scheduled")["waiting_for"] == "not_before"
    sender.order(OPS, "command.cancel", params={"command": late})
    cancelled = sender.state(late)
    assert (cancelled["state"], cancelled["cancelled_by"]) == ("cancelled", "key:ops")
    assert sender.state(soon)["done"] == 6
    assert time.time() >= now + 2
    third = sender.order(OPS, "mining.pause", B7, nbf=now + 300)
    sender.state(third, "scheduled")
    last = sender.order(OPS, "locate", B7, params={"on": False}, supersedes=[third])
    assert sender.state(third)["state"] == "cancelled"
    sender.state(last, timeout_s=60)  # what follows on a device waits for its end


def test_a_dry_run_says_what_would_be_done(sender: Sender, node: Node) -> None:
    before = len(_writes(node, ""))
    command = sender.order(OPS, "mining.pause", {"all": True}, dry_run=True)
    state = sender.state(command)
    assert (state["state"], state["dry_run"], state["targets"]) == ("succeeded", True, COUNT)
    results = sender.results(command)
    assert {each["verdict"] for each in results} == {"would"}
    assert state["watts"]["unknown"] == COUNT  # a stock Antminer reports no watts
    assert len(_writes(node, "")) == before


def test_a_rollout_goes_wave_by_wave(sender: Sender) -> None:
    command = sender.order(OPS, "mining.pause", B7, rollout={"wave": 2, "pause_s": 0.1})
    assert sender.state(command, timeout_s=60)["state"] == "succeeded"
    waves = [each["done"] for each in sender.states[command] if each["waiting_for"] == "pause"]
    assert waves == [2, 4]
    sender.state(sender.order(OPS, "mining.resume", B7), timeout_s=50)


def test_the_answer_comes_to_the_response_topic_too(sender: Sender) -> None:
    said = claims("locate", B7, params={"on": True})
    token = OPS.sign(said)
    sender.send(token, said["jti"], response_topic=f"{ROOT}/reply/desk", correlation=b"number 7")
    sender.state(said["jti"])
    wait_until(
        lambda: any(each["state"] not in ("accepted", "executing") for each, _ in sender.replies), 5
    )
    assert {correlation for _, correlation in sender.replies} == {b"number 7"}
    stray = claims("locate", B7, params={"on": False})
    sender.send(OPS.sign(stray), stray["jti"], response_topic=f"{ROOT}/event/n1")
    sender.state(stray["jti"])
    assert not [each for each in sender.events if each.get("id") == stray["jti"]]


@pytest.mark.parametrize(
    "verb", ["discovery.scan", "config.reload", "telemetry.keyframe", "inventory.publish"]
)
def test_what_a_node_is_told(sender: Sender, verb: str) -> None:
    state = sender.state(sender.order(OPS, verb))
    assert state["state"] == "succeeded", state


def test_devices_are_read_now(sender: Sender) -> None:
    command = sender.order(OPS, "read.now", B7)
    assert sender.state(command)["verdicts"] == {"verified": 6}
    assert all(each["after"]["hashrate_ths"] for each in sender.results(command))
