"""What a technician types, made into verbs and parameters that the agent takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.cli.deeds import DEEDS, wanted
from agent.command.verbs import VERBS
from agent.errors import AgentError

URL = "stratum+tcp://pool.example:3333"
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("pause", "mining.pause", {}),
    ("resume", "mining.resume", {}),
    ("restart", "mining.restart", {}),
    ("reboot", "device.reboot", {}),
    ("factory-reset", "device.factory_reset", {}),
    ("limit 3000", "power.limit", {"watts": 3000.0}),
    ("limit 3000W", "power.limit", {"watts": 3000.0}),
    ("limit 3000w", "power.limit", {"watts": 3000.0}),
    ("limit 3.2kW", "power.limit", {"watts": 3200.0}),
    ("limit 3KW", "power.limit", {"watts": 3000.0}),
    ("limit 60%", "power.throttle", {"percent": 60.0}),
    ("limit 62.5%", "power.throttle", {"percent": 62.5}),
    ("preset 2500W", "power.preset", {"preset": "2500W"}),
    ("mode eco", "power.mode", {"mode": "eco"}),
    ("locate on", "locate", {"on": True}),
    ("locate off", "locate", {"on": False}),
    ("fans 60%", "fans.set", {"percent": 60.0}),
    ("fans 60", "fans.set", {"percent": 60.0}),
    ("fans auto", "fans.set", {}),
    ("temperature 65C", "temperature.set", {"celsius": 65.0}),
    ("temperature 65", "temperature.set", {"celsius": 65.0}),
    ("hostname b7-12", "hostname.set", {"hostname": "b7-12"}),
    ("power-limit 300", "power.limit", {"watts": 300.0}),
    ("power-limit 0.3kW", "power.limit", {"watts": 300.0}),
    ("clocks 1200-1500", "gpu.clocks.lock", {"min_mhz": 1200, "max_mhz": 1500}),
    ("clocks 1200-1500MHz", "gpu.clocks.lock", {"min_mhz": 1200, "max_mhz": 1500}),
    ("clocks 1410", "gpu.clocks.lock", {"min_mhz": 1410, "max_mhz": 1410}),
    ("clocks auto", "gpu.clocks.reset", {}),
    ("memory-clocks 1593", "gpu.memory_clocks.lock", {"min_mhz": 1593, "max_mhz": 1593}),
    ("memory-clocks auto", "gpu.memory_clocks.reset", {}),
    ("persistence on", "gpu.persistence", {"on": True}),
    ("compute-mode default", "gpu.compute_mode", {"mode": "default"}),
    ("compute-mode exclusive-process", "gpu.compute_mode", {"mode": "exclusive_process"}),
    ("compute-mode exclusive_process", "gpu.compute_mode", {"mode": "exclusive_process"}),
    ("ecc off", "gpu.ecc", {"on": False}),
    ("mig on", "gpu.mig.mode", {"on": True}),
    ("mig-layout 1g.10gb 2g.20gb", "gpu.mig.layout", {"profiles": ["1g.10gb", "2g.20gb"]}),
    ("mig-layout none", "gpu.mig.layout", {"profiles": []}),
    ("gpu-reset", "gpu.reset", {}),
    ("gpu-fans 60%", "gpu.fan", {"percent": 60.0}),
    ("gpu-fans auto", "gpu.fan", {}),
    (f"pools {URL},site.1", "pools.set", {"pools": [{"url": URL, "user": "site.1"}]}),
    (
        f"pools {URL},site.1,x http://b:1,b,y",
        "pools.set",
        {
            "pools": [
                {"url": URL, "user": "site.1", "password": "x"},
                {"url": "http://b:1", "user": "b", "password": "y"},
            ]
        },
    ),
    (f"pools {URL},u,", "pools.set", {"pools": [{"url": URL, "user": "u", "password": ""}]}),
]
TYPED = pytest.mark.parametrize(
    ("typed", "verb", "params"), GOOD, ids=[typed for typed, *_ in GOOD]
)


@TYPED
def test_what_is_typed(typed, verb, params) -> None:
    word, *arguments = typed.split()
    assert wanted(word, arguments) == (verb, params)


@TYPED
def test_the_agent_takes_what_is_made_of_it(typed, verb, params) -> None:
    word, *arguments = typed.split()
    verb, params = wanted(word, arguments)
    sent = msgspec.json.decode(msgspec.json.encode(params))
    msgspec.convert(sent, VERBS[verb].params)


def test_there_is_a_word_for_every_verb() -> None:
    assert {verb for _, verb, _ in GOOD} == set(VERBS)
    assert {typed.split()[0] for typed, *_ in GOOD} == set(DEEDS)


@pytest.mark.parametrize("word", DEEDS)
def test_the_usage_begins_with_the_word(word) -> None:
    assert all(form.startswith(word) for form in DEEDS[word].usage.split(" | "))


@pytest.mark.parametrize(
    "typed",
    [
        "pause now",
        "resume 1",
        "reboot --force",
        "factory-reset all",
        "limit",
        "limit much",
        "limit %",
        "limit kW",
        "limit 3000 W",
        "limit 60%%",
        "limit 3MW",
        "preset",
        "preset 1 2",
        "mode",
        "locate",
        "locate maybe",
        "locate ON",
        "fans",
        "fans fast",
        "fans %",
        "temperature",
        "temperature warm",
        "temperature 150F",
        "hostname",
        "hostname a b",
        "power-limit",
        "power-limit low",
        "clocks",
        "clocks fast",
        "clocks 1200-",
        "clocks -1200",
        "clocks 1200.5",
        "clocks 1200 1500",
        "persistence maybe",
        "compute-mode",
        "ecc",
        "mig 1g.10gb",
        "mig-layout",
        "gpu-reset now",
        "gpu-fans",
        "gpu-fans fast",
        "pools",
        f"pools {URL}",
        f"pools {URL},u http://b:1",
    ],
)
def test_what_is_typed_wrongly_is_answered_with_the_usage(typed) -> None:
    word, *arguments = typed.split()
    with pytest.raises(AgentError) as caught:
        wanted(word, arguments)
    assert str(caught.value) == f"expected: stoker act TARGET {DEEDS[word].usage}"


@pytest.mark.parametrize(
    "typed",
    ["clocks 1500-1200", "clocks 0", "compute-mode shared", "mig-layout 7", "gpu-fans 101%"],
)
def test_what_makes_no_sense_is_refused_by_the_agent(typed) -> None:
    word, *arguments = typed.split()
    verb, params = wanted(word, arguments)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, VERBS[verb].params)


@pytest.mark.parametrize("typed", ["limit nan", "limit inf", "limit nan%", "limit 0", "limit -5%"])
def test_numbers_that_are_none_are_refused_by_the_agent(typed) -> None:
    word, *arguments = typed.split()
    verb, params = wanted(word, arguments)
    sent = msgspec.json.decode(msgspec.json.encode(params))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(sent, VERBS[verb].params)


def test_a_password_that_was_typed_is_not_shown_in_the_error() -> None:
    with pytest.raises(AgentError) as caught:
        wanted("pools", [f"{URL},u,hunter2", "hunter2"])
    assert "hunter2" not in str(caught.value)
