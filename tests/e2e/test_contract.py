"""What a node publishes from start to stop is what docs/asyncapi.yaml says, message by message."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing

import jwt
import pytest

from agent.fleet import findings
from agent.local import client
from drivers.model import MinerReading
from drivers.sim.models import load_models
from tests.broker import running
from tests.commands import Sender, Signer, claims
from tests.e2e.contract import (
    CONTRACT,
    HEAD,
    SCHEMAS,
    Heard,
    Recorder,
    channel_of,
    numbers_by_stream,
    on_channel,
    problems,
    problems_of_message,
    readings_of,
    spoilt,
)
from tests.harness import Node, simulated

OPS = Signer("ops")
ALLOW = (
    "[control]\nstarts_per_minute = 6000\nstarts_per_group_per_minute = 6000\n[[control.allow]]\n"
    f'[commands]\nclock = "trusted"\n{OPS.table()}[commands.unsigned]\nverbs = ["locate"]\n'
)
TOLD = {"action.begun", "action.ended", "action.done", "lock.set", "lock.cleared"}
"""Events of orders that a run can be made to show; the others tell of interruptions."""
ELSEWHERE = {"telemetryHistory", "batchLive", "batchHistory"}
"""What other encodings say, or an outage brings about: see test_contract_late."""
SENT_AS_JSON = (
    *("nodeStatus", "inventoryManifest", "inventoryPage", "telemetry", "summary", "alarm"),
    *("commandState", "commandResults"),
)
UNHEARD = {"mark", "nodeCommand"}
"""What nobody says here."""


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[Heard]:
    """A small site of all types with faults; the agent killed, started again, and stopped."""
    directory = tmp_path_factory.mktemp("contract")
    site = ("--network", "127.75.0.0/16", "--count", "30", "--seed", "5", "--delay-scale", "0.2")
    types = ",".join(f"{name}={2 if model.share else 1}" for name, model in load_models().items())
    events = ("swap=5@127.75.0.4", "reboot=5@127.75.0.5", "remove=5@127.75.0.6")
    faults = [
        word for fault in (*events, "garbage=0.03", "glued=0.1") for word in ("--fault", fault)
    ]
    mix = ("--mix", types)
    with (
        running(directory, "max_queued_messages 0") as broker,
        simulated(directory, *site, *mix, *faults) as (_, _, sim),
    ):
        recorder = Recorder(broker.port)
        node = Node(
            directory,
            broker_port=broker.port,
            interval_s=0.5,
            deadline_s=0.4,
            addresses="127.75.0.1-127.75.0.40",
            more=ALLOW,
            **sim.ports,
        )
        try:
            with node:
                node.await_devices(30)
                wanted = {"device.replaced", "device.offline"}
                recorder.await_that(
                    str(wanted), lambda: wanted <= {event["name"] for event in recorder.on("event")}
                )
                give_orders(node, recorder)
                with closing(Sender(broker.port)) as sender:
                    send_commands(sender)
                time.sleep(2.5)  # one more summary, and the pages
                assert node.process
                node.process.kill()
                recorder.await_that("the Will", lambda: states(recorder)[-1:] == ["offline"])
                node.start()
                recorder.await_that("the next start", lambda: states(recorder)[-1] == "online")
                node.process.stop()
                recorder.await_that("the farewell", lambda: states(recorder)[-1] == "offline")
        finally:
            recorder.close()
    return recorder.heard


def give_orders(node: Node, recorder: Recorder) -> None:
    """One device sleeps, several show their lights, and one stays locked for a moment."""
    stock = [
        entry["identity"]["id"]
        for page in recorder.on("inventoryPage")
        for entry in page["devices"]
        if entry["driver"] == "antminer" and "pause" in entry.get("capabilities", {})
    ]
    node.act(stock[-1], "mining.pause")
    node.act("driver=antminer", "locate", on=True)
    client.ask(node.socket, op="lock", target=stock[-1], reason="a new fan")
    client.ask(node.socket, op="unlock", target=stock[-1])
    recorder.await_that(
        str(TOLD), lambda: {event["name"] for event in recorder.on("event")} >= TOLD
    )


def send_commands(sender: Sender) -> None:
    """One is carried out, one foretold, one rejected, and one is not signed."""
    s21 = {"make": "Bitmain", "model": "Antminer S21"}
    done = sender.order(OPS, "locate", s21, params={"on": True}, iss="the central side")
    rollout = {"wave": 2}
    foretold = sender.order(OPS, "mining.pause", {"all": True}, dry_run=True, rollout=rollout)
    rejected = sender.order(OPS, "mining.pause", {"ids": ["nobody"]})
    said = claims("locate", s21, params={"on": False})
    sender.send(json.dumps(said).encode(), said["jti"])
    assert sender.results(done)
    assert sender.results(foretold)
    assert sender.state(rejected)["state"] == "rejected"
    assert sender.results(said["jti"])


def states(recorder: Recorder) -> list[str]:
    return [said["state"] for said in recorder.on("nodeStatus")]


# --- what must hold ------------------------------------------------------------------------------


def test_every_message_is_as_documented(heard: list[Heard]) -> None:
    for message in heard:
        assert not problems_of_message(message), message.topic


def test_every_documented_channel_and_message_was_heard(heard: list[Heard]) -> None:
    said = {channel_of(message.topic).name for message in heard}
    assert said | ELSEWHERE == set(CONTRACT["channels"]) - UNHEARD
    assert {"asic", "host"} == {reading["kind"] for reading in readings_of(heard)}


def test_every_event_has_the_documented_details(heard: list[Heard]) -> None:
    events = on_channel(heard, "event")
    assert {"device.found", "device.replaced", "device.offline", *TOLD} <= {
        each["name"] for each in events
    }
    for event in events:
        assert not problems(event, "Event")


@pytest.mark.parametrize("name", [*SENT_AS_JSON, "event"])
def test_a_message_with_anything_wrong_is_not_as_documented(name: str, heard: list[Heard]) -> None:
    told = [message for message in heard if channel_of(message.topic).name == name]
    kinds = {str(each.content.get("kind") or each.content.get("name")): each for each in told}
    assert kinds
    for message in kinds.values():
        for wrong in spoilt(message.content):
            spoiled = message._replace(raw=json.dumps(wrong).encode())
            assert problems_of_message(spoiled), wrong


def test_commands_are_as_documented_and_wrong_ones_are_not(heard: list[Heard]) -> None:
    signed = [said for said in on_channel(heard, "command") if isinstance(said, str)]
    unsigned = [said for said in on_channel(heard, "command") if isinstance(said, dict)]
    read = [jwt.decode(said, options={"verify_signature": False}) for said in signed]
    assert {said["verb"] for said in read} == {"locate", "mining.pause"}
    for said in [*read, *unsigned]:
        assert not problems(said, "Claims")
        for wrong in spoilt(said):
            assert problems(wrong, "Claims"), wrong
    assert problems({**unsigned[0], "params": {"on": 1}}, "Claims")
    assert problems({**unsigned[0], "params": {}}, "Claims")
    assert problems({**unsigned[0], "verb": "power.limit"}, "Claims")


def test_an_alarm_stands_while_unsigned_commands_are_taken(heard: list[Heard]) -> None:
    assert {said["alarm"] for said in on_channel(heard, "alarm")} == {"unsigned-commands"}


def test_an_order_is_told_with_its_result(heard: list[Heard]) -> None:
    events = on_channel(heard, "event")
    (done,) = [each for each in events if each["name"] == "action.done"]
    assert done["device_id"] == done["details"]["result"]["device_id"]
    assert done["details"].keys() == SCHEMAS["ActionDone"]["properties"].keys()
    begun, ended = (
        next(each["details"] for each in events if each["name"] == name)
        for name in ("action.begun", "action.ended")
    )
    assert begun["order"] == ended["order"] != done["details"]["order"]
    assert sum(ended["verdicts"].values()) == begun["devices"]


def test_the_status_says_that_orders_are_allowed(heard: list[Heard]) -> None:
    said = on_channel(heard, "nodeStatus")
    assert {status["control"] for status in said} == {"allowed"}


def test_every_finding_is_documented_and_counted(heard: list[Heard]) -> None:
    names = findings.Findings().counts().keys()
    assert names == SCHEMAS["FindingCounts"]["properties"].keys()
    summaries = on_channel(heard, "summary")
    assert max(said["findings"][findings.FACTORY_PASSWORD] for said in summaries) > 0


def test_numbers_of_a_stream_leave_no_gap(heard: list[Heard]) -> None:
    streams = numbers_by_stream([message.content for message in heard])
    assert {name for _, name in streams} == {"telemetry", "event", "summary"}
    for numbers in streams.values():
        assert set(numbers) == set(range(1, max(numbers) + 1))


def test_a_reading_with_something_missing_has_every_field(heard: list[Heard]) -> None:
    fields = {*HEAD, *MinerReading.__struct_fields__}
    readings = [each for each in readings_of(heard) if each["kind"] == "asic"]
    whole = [each for each in readings if each.get("missing") or each["state"] == "unreachable"]
    assert whole
    assert len(whole) < len(readings)
    assert {each["state"] for each in whole} >= {"unreachable"}
    for reading in whole:
        assert set(reading) == fields


def test_a_later_start_has_a_higher_epoch(heard: list[Heard]) -> None:
    said = on_channel(heard, "nodeStatus")
    boots = list(dict.fromkeys((status["boot_id"], status["epoch"]) for status in said))
    assert [epoch for _, epoch in boots] == [1, 2]


def test_the_manifest_names_the_pages_by_their_hashes(heard: list[Heard]) -> None:
    last = {message.topic: message for message in heard}
    (topic,) = [topic for topic in last if channel_of(topic).name == "inventoryManifest"]
    for page in last[topic].content["pages"]:
        found = last[f"{topic}/{page['page']}"]
        assert hashlib.sha256(found.raw).hexdigest() == page["sha256"]
        assert len(found.content["devices"]) == page["devices"]
