"""docs/configuration.md says of every key what the schema says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.command.verbs import VERBS
from agent.config import commands, logins, schema
from agent.config.load import load
from agent.config.locations import KEYS, PLACES
from agent.config.ranges import MAX_ADDRESSES
from agent.config.reload import LIVE
from agent.config.terms import Section, VerbName

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
TABLES_OF_THEIR_OWN = {
    (schema.Mqtt, "tls"),
    (schema.Control, "allow"),
    (commands.Commands, "key"),
    (commands.Commands, "revoked"),
    (commands.Commands, "unsigned"),
}
SECTIONS: dict[str, type[Section]] = {
    "[site]": schema.Site,
    "[node]": schema.Node,
    "[mqtt]": schema.Mqtt,
    "[mqtt.tls]": schema.Tls,
    "[polling]": schema.Polling,
    "[discovery]": schema.Discovery,
    "[[range]]": schema.Range,
    "[gpu]": schema.Gpu,
    "[locations]": schema.Locations,
    "[control]": schema.Control,
    "[[control.allow]]": schema.Allow,
    "[commands]": commands.Commands,
    "[[commands.key]]": commands.SigningKey,
    "[[commands.revoked]]": commands.Revoked,
    "[commands.unsigned]": commands.Rights,
    "[credentials]": schema.Credentials,
    "[telemetry]": schema.Telemetry,
    "[away]": schema.Away,
    "[log]": schema.Log,
}


def documented(title: str) -> dict[str, str]:
    """The keys in the table under a heading, and their defaults as written."""
    _, _, after = PAGE.partition(f"### `{title}`\n")
    part = re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \| \S.* \|$", part, flags=re.MULTILINE))


def written(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case str():
            return f'`"{value}"`'
        case tuple():
            return f"`{json.dumps(value)}`"
    return f"`{value}`"


def expected(section: type[Section]) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(section):
        if (section, field.name) in TABLES_OF_THEIR_OWN:
            continue
        if field.required:
            yield field.name, "required"
        elif section is schema.Node and field.name == "name":
            yield field.name, "the host's name"
        elif field.default is not msgspec.NODEFAULT:
            yield field.name, written(field.default)
        else:
            assert callable(field.default_factory)
            yield field.name, written(field.default_factory())


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_stands_there_with_its_default(title: str) -> None:
    assert documented(title) == dict(expected(SECTIONS[title]))


def test_no_section_is_left_out() -> None:
    top = {field.name for field in msgspec.structs.fields(schema.Config)}
    below = {"mqtt.tls", "control.allow", "commands.key", "commands.revoked", "commands.unsigned"}
    assert {title.strip("[]") for title in SECTIONS} == top | below


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found
    return found[1]


def uncommented() -> str:
    """The example with all that is commented out, but for the second ways to passwords and keys."""
    lines = [line.removeprefix("#") for line in example().splitlines()]
    second = ("password_credential", "credential =", "public_key_file")
    return "\n".join(line for line in lines if not line.startswith(second))


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "stoker.toml").write_text(example())
    config = load(tmp_path / "stoker.toml")
    bare = schema.Config(site=config.site, range=config.range)
    assert config == msgspec.structs.replace(bare, node=config.node)
    assert config.node.state_dir == bare.node.state_dir


def test_what_the_example_comments_out_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    tls = ("tls/ca.pem", "tls/node.pem", "tls/node.key")
    for name in ("mqtt-password", *tls, "locations.csv", "logins.toml"):
        (tmp_path / name).touch()
    (tmp_path / "faults.toml").write_text("version = 1\n")
    (tmp_path / "stoker.toml").write_text(uncommented())
    config = load(tmp_path / "stoker.toml")
    given = msgspec.to_builtins(config, enc_hook=str)
    usual = msgspec.to_builtins(schema.Config(site=config.site))
    for section in ("mqtt", "polling", "discovery", "gpu", "control", "telemetry", "log"):
        for key, value in usual[section].items():
            if value is not None and (section, key) != ("control", "allow"):
                assert (section, key, given[section][key]) == (section, key, value)
    assert (given["range"][0]["rpc_port"], given["range"][0]["web_port"]) == (4028, 80)
    assert config.mqtt.client_id == f"stoker-{config.site.name}-{config.node.name}"


def test_the_example_shows_every_key() -> None:
    shown = re.findall(r"^#?(\[.*?\]+|\w+ =)", example(), flags=re.MULTILINE)
    at, keys = "", set()
    for word in shown:
        if word.startswith("["):
            at = word
        else:
            keys.add((at, word.removesuffix(" =")))
    assert keys == {(title, key) for title in SECTIONS for key in documented(title)}


def test_the_allowed_verbs_are_all_named() -> None:
    verbs = set(get_args(VerbName))
    part = PAGE.partition("### `[[control.allow]]`")[2].partition("###")[0]
    named = part.partition("The verbs:")[2].partition("Dangerous are")[0]
    assert set(re.findall(r"`([a-z_.]+)`", named)) == verbs
    dangerous = part.partition("Dangerous are")[2].partition(":")[0]
    assert set(re.findall(r"`([a-z_.]+)`", dangerous)) == {
        name for name, verb in VERBS.items() if verb.dangerous
    }


def test_what_a_node_can_be_told_is_all_named() -> None:
    part = PAGE.partition("## Commands from afar")[2].partition("\n## ")[0]
    named = part.partition("what a node itself can be told:")[2].partition("A key with")[0]
    assert tuple(re.findall(r"`([a-z_.]+)`", named)) == commands.NODE_VERB_NAMES


def test_what_is_applied_at_once_is_said() -> None:
    part = PAGE.partition("## Reloading")[2].partition("\n## ")[0]
    assert {key.strip("[]") for key in re.findall(r"`([^`]+)`", part)} == set(LIVE)


def test_the_example_of_logins_is_one(tmp_path: Path) -> None:
    part = PAGE.partition("## The credentials file")[2].partition("| key")[0]
    lines = [line[4:] for line in part.splitlines() if line.startswith("    ")]
    (tmp_path / "logins.toml").write_text("\n".join(lines))
    found = logins.load(schema.Credentials(file=str(tmp_path / "logins.toml")))
    of = found.of("asic-02:00:11:43:a1:ff", "10.1.0.9", {"hall": "B"})
    assert [credential.user for credential in of] == ["admin", "admin", "root", "root"]


def test_the_locations_are_all_named() -> None:
    part = PAGE.partition("## Where devices stand")[2]
    assert all(f"`{column}`" in part for column in (*KEYS, *PLACES))


def test_limits_are_right() -> None:
    assert f"At most {MAX_ADDRESSES:,} addresses" in PAGE
    assert "exit code is **78**" in PAGE
