"""What `stoker send` makes of its options."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec
import pytest

from agent.cli import send
from agent.cli.drafting import Draft, draft
from agent.command.verbs import VERBS
from agent.errors import AgentError
from agent.remote.claims import Claims
from agent.remote.node_verbs import NODE_VERBS

NOW = 1_700_000_000.0


def drafted(*words: str, **more: Any) -> Draft:
    parser = argparse.ArgumentParser()
    send.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["send", "--key", "k", *words])
    given = {
        "site": "north",
        "command_id": arguments.id or "c1",
        "sender": "ana@desk",
        "now": NOW,
        **more,
    }
    return draft(arguments, **given)


def claims(*words: str) -> dict[str, Any]:
    found = drafted(*words).claims
    msgspec.convert(found, Claims)
    return found


def target(*specs: str) -> Any:
    words = [word for spec in specs for word in ("--target", spec)]
    return claims("mining.pause", *words)["target"]


def complaint(*words: str) -> str:
    with pytest.raises(AgentError) as caught:
        drafted(*words)
    return str(caught.value)


def test_what_is_not_said_is_not_in_the_command() -> None:
    assert claims("mining.pause", "--target", "all") == {
        "jti": "c1",
        "aud": "north",
        "iss": "ana@desk",
        "iat": NOW,
        "verb": "mining.pause",
        "target": {"all": True},
    }


def test_what_is_said_is() -> None:
    found = claims(
        *("power.limit", "--param", "watts=3000", "--target", "rack=B7", "--max-targets", "90"),
        *("--node", "n1", "--expires", "120", "--not-before", "2023-11-14T22:15:00Z", "--dry-run"),
        *("--supersedes", "c0", "--supersedes", "b9"),
        *("--rollout", "wave=100,pause=60,stop=5%"),
    )
    assert found["aud"] == "north/n1"
    assert found["params"] == {"watts": 3000.0}
    assert found["target"] == {"tags": {"rack": "b7"}, "max_targets": 90}
    assert found["nbf"] == NOW + 100
    assert found["exp"] == NOW + 100 + 120
    assert found["dry_run"] is True
    assert found["supersedes"] == ["c0", "b9"]
    assert found["rollout"] == {"wave": 100, "pause_s": 60.0, "stop_above": 0.05}


@pytest.mark.parametrize(
    ("specs", "meant"),
    [
        (["all"], {"all": True}),
        (["asic-SN17"], {"ids": ["asic-SN17"]}),
        (["asic-1", "id=asic-2"], {"ids": ["asic-1", "asic-2"]}),
        (["rack=B7,model=Antminer S21"], {"tags": {"rack": "b7"}, "model": "antminer s21"}),
        (["asic-1,state=mining"], {"ids": ["asic-1"], "state": "mining"}),
        (["rack=B7", "rack=C1", "rack=C2"], {"tags": {"rack": ["b7", "c1", "c2"]}}),
        (["make=Bitmain", "make=MicroBT"], {"make": ["bitmain", "microbt"]}),
        (["driver=antminer,site=north"], {"tags": {"driver": "antminer", "site": "north"}}),
    ],
)
def test_targets(specs: list[str], meant: dict[str, Any]) -> None:
    assert target(*specs) == meant


@pytest.mark.parametrize(
    "specs",
    [
        ["rack=B7", "row=3"],
        ["all", "all"],
        ["all", "rack=B7"],
        ["asic-1", "rack=B7"],
        ["rack=B7,row=3", "rack=B7,row=4"],
        ["rack=B7,rack=B8"],
        ["asic-1,asic-2"],
    ],
)
def test_targets_that_could_mean_two_things_are_refused(specs: list[str]) -> None:
    words = [word for spec in specs for word in ("--target", spec)]
    assert "add up" in complaint("mining.pause", *words)


def test_an_address_is_no_target() -> None:
    assert "id, not by their address" in complaint("mining.pause", "--target", "10.0.0.1")


def test_a_verb_for_devices_wants_to_hear_for_which() -> None:
    assert "all` has to be said" in complaint("mining.pause")
    assert "all` has to be said" in complaint("read.now")
    assert claims("read.now", "--target", "all")["target"] == {"all": True}


def test_a_verb_for_nodes_takes_no_target() -> None:
    assert "target" not in claims("config.reload")
    assert "leave --target out" in complaint("config.reload", "--target", "all")
    assert "leave --target out" in complaint("config.reload", "--max-targets", "3")


@pytest.mark.parametrize(
    ("words", "params"),
    [
        (["power.limit", "--param", "watts=3000"], {"watts": 3000.0}),
        (["power.limit", "--params", '{"watts":3000}'], {"watts": 3000.0}),
        (["power.limit", "--params", '{"watts":1}', "--param", "watts=2"], {"watts": 2.0}),
        (["power.preset", "--param", "preset=75"], {"preset": "75"}),
        (["locate", "--param", "on=true"], {"on": True}),
        (["fans.set"], None),
        (
            ["pools.set", "--param", 'pools=[{"url":"stratum+tcp://p:1","user":"u"}]'],
            {"pools": [{"url": "stratum+tcp://p:1", "user": "u"}]},
        ),
    ],
)
def test_parameters_are_what_the_verb_wants(words: list[str], params: Any) -> None:
    assert claims(*words, "--target", "all").get("params") == params


def test_a_second_person_approves_by_parameters() -> None:
    found = claims("command.approve", "--param", "command=c0", "--param", f"digest={'a' * 64}")
    assert found["params"] == {"command": "c0", "digest": "a" * 64}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mining.stop", "--target", "all"], "unknown verb 'mining.stop'; known: mining.pause"),
        (["power.limit", "--target", "all"], "power.limit: Object missing required field `watts`"),
        (["power.limit", "--target", "all", "--param", "watts=abc"], "Expected `float`"),
        (["power.limit", "--target", "all", "--param", "watts=-1"], "power.limit: Expected"),
        (["mining.pause", "--target", "all", "--param", "now=1"], "unknown field `now`"),
        (["mining.pause", "--target", "all", "--param", "now"], "--param 'now': expected name="),
        (["mining.pause", "--target", "all", "--params", "[]"], "--params: expected an object"),
        (["mining.pause", "--target", "all", "--params", "{"], "no JSON"),
        (["mining.pause", "--target", "all", "--id", "a/b"], "--id 'a/b'"),
        (["mining.pause", "--target", "all", "--supersedes", "#"], "--supersedes '#'"),
        (["mining.pause", "--target", "all", "--expires", "0"], "--expires"),
        (["mining.pause", "--target", "all", "--expires", "nan"], "--expires"),
        (["mining.pause", "--target", "all", "--not-before", "noon"], "--not-before 'noon'"),
        (["mining.pause", "--target", "all", "--not-before", "2026-01-31T06:00:00"], "zone"),
        (["mining.pause", "--target", "all", "--rollout", "size=3"], "--rollout 'size=3'"),
        (["mining.pause", "--target", "all", "--rollout", "pause=3"], "how many devices"),
        (["mining.pause", "--target", "all", "--rollout", "wave=x"], "no number"),
        (["mining.pause", "--target", "all", "--rollout", "wave=2,stop=5"], "rollout.stop_above"),
        (["mining.pause", "--target", "all", "--max-targets", "0"], "max_targets"),
        (["mining.pause", "--target", "rack="], "expected key=value"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], said: str) -> None:
    assert said in complaint(*words)


@pytest.mark.parametrize("verb", [*VERBS, *NODE_VERBS, "read.now"])
def test_without_a_word_about_it_a_command_lives_as_long_as_its_verb_says(verb: str) -> None:
    row = VERBS.get(verb) or NODE_VERBS.get(verb)
    needed = {
        "power.limit": ["watts=3000"],
        "power.throttle": ["percent=50"],
        "power.preset": ["preset=a"],
        "power.mode": ["mode=low"],
        "pools.set": ['pools=[{"url":"stratum+tcp://p:1","user":"u"}]'],
        "locate": ["on=true"],
        "temperature.set": ["celsius=60"],
        "hostname.set": ["hostname=a"],
        "gpu.clocks.lock": ["min_mhz=900", "max_mhz=1200"],
        "gpu.memory_clocks.lock": ["min_mhz=1593", "max_mhz=1593"],
        "gpu.persistence": ["on=true"],
        "gpu.compute_mode": ["mode=prohibited"],
        "gpu.ecc": ["on=true"],
        "gpu.mig.mode": ["on=true"],
        "gpu.mig.layout": ['profiles=["1g.10gb"]'],
        "lock.set": ["scope=rack=B7", "reason=wet"],
        "lock.clear": ["scope=rack=B7"],
        "command.approve": ["command=c", f"digest={'0' * 64}"],
        "command.cancel": ["command=c"],
    }.get(verb, [])
    words = [word for param in needed for word in ("--param", param)]
    if verb not in NODE_VERBS:
        words += ["--target", "all"]
    expiry_s = row.expiry_s if row else 60.0
    assert drafted(verb, *words).expires_at == NOW + expiry_s
    assert drafted(verb, *words, "--not-before", "+50").expires_at == NOW + 50 + expiry_s
    assert drafted(verb, *words, "--expires", "7").expires_at == NOW + 7
