"""The shipped configuration of a site's broker: two real mosquittos and the bridge between them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.config.schema import Tls
from agent.mqtt.events import Message
from agent.mqtt.session import Session
from agent.mqtt.topics import Topics
from agent.remote.envelope import COMMAND_LIMIT_BYTES, parse
from tests.broker import Broker, Owner, connected, free_port, kept, new_session, quick, until
from tests.fault.test_mqtt_tls import Authority
from tests.orders_by_mqtt import key_file

SHIPPED = Path(__file__).parents[2] / "packaging/mosquitto"
SITE, NODE, NEIGHBOUR, SENDER = "north", "n1", "n2", "sender"
TOPICS, BESIDE = Topics(SITE, NODE), Topics(SITE, NEIGHBOUR)
UP = [
    TOPICS.node_status,
    TOPICS.inventory_manifest,
    TOPICS.inventory_page(3),
    TOPICS.summary,
    TOPICS.event,
    TOPICS.telemetry("asic-02:00:11:43:a1:ff"),
    TOPICS.telemetry_history("asic-02:00:11:43:a1:ff"),
    TOPICS.batch_live,
    TOPICS.batch_history,
    TOPICS.alarm("a1"),
    TOPICS.command_state("c1"),
    TOPICS.command_results("c1", 0),
    f"{TOPICS.root}/reply/desk/1",
]
DOWN = [
    TOPICS.acknowledgement("telemetry"),
    TOPICS.acknowledgement("event"),
    *(pattern.replace("+", "c1") for pattern in TOPICS.commands),
]
PROBE = b"probe"
CHANGES = {
    "restart_timeout 2 60": "restart_timeout 1",
    "max_queued_bytes 1000000000": "max_queued_bytes 1000000",
}
"""What would make the test slow or large."""


def shipped(name: str) -> str:
    return (SHIPPED / name).read_text().replace("SITE", SITE)


def with_sender(acl: str) -> str:
    """The rules with the block of a sender in force, as an operator would put it there."""
    head, block = acl.split(f"#user {SENDER}\n")
    lines = block.split("\n\n")[0].splitlines()
    assert all(line.startswith("#topic ") for line in lines)
    return head + "\n".join([f"user {SENDER}", *(line[1:] for line in lines), ""])


def bridged() -> list[tuple[str, str]]:
    """Each pattern of the bridge and its direction."""
    found: list[tuple[str, str]] = re.findall(
        r"^topic (\S+) (in|out|both) 1$", shipped("site-broker.conf"), re.MULTILINE
    )
    return found


def directions(topic: str) -> list[str]:
    """Which ways the bridge passes a topic on."""
    found = []
    for pattern, direction in bridged():
        words = re.escape(pattern).replace(r"\+", "[^/]+").replace(r"/\#", "(/.*)?")
        if re.fullmatch(words, topic):
            found.append(direction)
    return found


# --- what the file says --------------------------------------------------------------------------


def test_what_nodes_say_goes_up_and_what_they_hear_comes_down() -> None:
    assert {topic: directions(topic) for topic in UP} == {topic: ["out"] for topic in UP}
    assert {topic: directions(topic) for topic in DOWN} == {topic: ["in"] for topic in DOWN}


def test_every_topic_option_was_understood_here() -> None:
    lines = [each for each in shipped("site-broker.conf").splitlines() if each.startswith("topic")]
    assert len(lines) == len(bridged())


# --- two brokers and a bridge --------------------------------------------------------------------


class SiteBroker(Broker):
    """The shipped configuration, with the paths and ports of the test in it."""

    def __init__(self, directory: Path, center: int, tls: Tls) -> None:
        super().__init__(directory)
        self.outer_port = free_port()
        text = shipped("site-broker.conf")
        for name, value in self._replaced(directory, center, tls).items():
            assert name in text, name
            text = text.replace(name, value)
        if os.geteuid() == 0:
            text += "\nuser root\n"
        self._config.write_text(text)

    def _replaced(self, directory: Path, center: int, tls: Tls) -> dict[str, str]:
        certs = "/etc/mosquitto/certs"
        return {
            "listener 1883 127.0.0.1": f"listener {self.port} 127.0.0.1",
            "listener 8883": f"listener {self.outer_port} 127.0.0.1",
            "CENTER:8883": f"127.0.0.1:{center}",
            f"{certs}/site-ca.crt": str(tls.ca_file),
            f"{certs}/site-broker.crt": str(tls.cert_file),
            f"{certs}/site-broker.key": str(tls.key_file),
            f"{certs}/center-ca.crt": str(tls.ca_file),
            "/etc/mosquitto/stoker": str(directory / "stoker"),
            "/var/lib/mosquitto/": f"{directory}/",
            **CHANGES,
        }


class Site:
    """Both brokers."""

    def __init__(self, directory: Path, tls: Tls) -> None:
        for name in ("center", "site"):
            (directory / name).mkdir()
        self.password = directory / "password"
        self.password.write_text("secret")
        self.tls = tls
        self.center = Broker(
            directory / "center",
            *(f"cafile {tls.ca_file}", f"certfile {tls.cert_file}", f"keyfile {tls.key_file}"),
            # A consumer's session outlives the outage, so that it misses nothing either.
            *("persistence true", f"persistence_location {directory}/center/"),
            "max_queued_messages 10000",
        )
        self.broker = SiteBroker(directory / "site", self.center.port, tls)
        (directory / "site/stoker.acl").write_text(with_sender(shipped("site-broker.acl")))
        passwords = directory / "site/stoker.passwords"
        passwords.touch(0o600)
        for user in (NODE, NEIGHBOUR, SENDER):
            words = ["mosquitto_passwd", "-b", str(passwords), user, "secret"]
            subprocess.run(words, check=True, capture_output=True)

    @asynccontextmanager
    async def node(self, name: str = NODE) -> AsyncIterator[tuple[Session, Owner]]:
        """A node at the site's broker, or whoever has this name there."""
        mqtt = quick(self.broker.port, username=name, password_file=str(self.password))
        async with connected(mqtt, client_id=name) as found:
            yield found

    def sender_config(self, path: Path) -> Path:
        """What `stoker send` is told of the site's broker, over TLS."""
        path.write_text(
            f'[site]\nname = "{SITE}"\n[mqtt]\nport = {self.broker.outer_port}\n'
            f'username = "{SENDER}"\npassword_file = "{self.password}"\n'
            f'[mqtt.tls]\nca_file = "{self.tls.ca_file}"\n'
        )
        return path

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[tuple[Session, list[Message]]]:
        """Somebody at the center who hears everything."""
        owner = Owner()
        mqtt = quick(self.center.port, tls=Tls(ca_file=self.tls.ca_file))
        session = new_session(mqtt, owner.events, client_id="consumer", clean=False)
        session.subscribe(["stoker/#"])
        async with kept(session):
            await until(lambda: session.connected)
            yield session, owner.messages

    async def until_bridged(self) -> None:
        """Wait until what is said at the site is heard at the center."""
        async with self.node() as (node, _), self.consumer() as (_, heard):
            async with asyncio.timeout(20):
                while not heard:
                    node.publish(TOPICS.summary, PROBE, token=0)
                    await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    authority = Authority(tmp_path_factory.mktemp("pki"), "authority")
    return authority.issue("broker", "IP:127.0.0.1")


@contextmanager
def site(directory: Path, tls: Tls) -> Iterator[Site]:
    both = Site(directory, tls)
    both.center.start()
    both.broker.start()
    try:
        yield both
    finally:
        both.broker.stop()
        both.center.stop()


async def send(session: Session, owner: Owner, messages: list[tuple[str, bytes]]) -> None:
    """Publish at QoS 1, and wait until the broker has taken all of it."""
    before = len(owner.acknowledged)
    for number, (topic, payload) in enumerate(messages):
        await until(lambda: session.window > 0)
        assert session.publish(topic, payload, token=number)
    await until(lambda: len(owner.acknowledged) - before == len(messages))
    assert not owner.refused


def numbers(heard: list[Message]) -> list[int]:
    return [int(message.payload) for message in heard if message.payload != PROBE]


async def test_messages_of_each_direction_pass(tmp_path: Path, tls: Tls) -> None:
    with site(tmp_path, tls) as both:
        await both.until_bridged()
        async with both.node() as (node, owner), both.consumer() as (consumer, heard):
            node.subscribe([*TOPICS.commands, TOPICS.acknowledgements, TOPICS.node_status])
            await send(node, owner, [(topic, b"1") for topic in UP])
            await until(lambda: {message.topic for message in heard} >= set(UP))
            for number, topic in enumerate(DOWN):
                assert consumer.publish(topic, b"2", token=number)
            await until(lambda: {message.topic for message in owner.messages} >= set(DOWN))
            # nothing goes round in circles
            await asyncio.sleep(0.3)
            assert len([message for message in heard if message.payload == b"1"]) == len(UP)
            assert len([each for each in owner.messages if each.payload == b"2"]) == len(DOWN)


async def test_what_is_retained_stays_so_on_the_other_side(tmp_path: Path, tls: Tls) -> None:
    with site(tmp_path, tls) as both:
        await both.until_bridged()
        async with both.node() as (node, _), both.consumer() as (consumer, heard):
            node.publish(TOPICS.node_status, b"online", retain=True, token=0)
            consumer.publish(DOWN[0], b"mark", retain=True, token=0)
            await until(lambda: any(message.payload == b"online" for message in heard))
        async with both.consumer() as (_, late), both.node() as (node, owner):
            await until(lambda: any(each.retain and each.payload == b"online" for each in late))
            node.subscribe([TOPICS.acknowledgements])
            await until(lambda: any(each.retain for each in owner.messages))


async def test_an_outage_of_the_center_loses_nothing(tmp_path: Path, tls: Tls) -> None:
    count = 1000
    with site(tmp_path, tls) as both:
        await both.until_bridged()
        both.center.stop()
        messages = [(TOPICS.event, b"%d" % number) for number in range(count)]
        async with both.node() as (node, owner):
            await send(node, owner, messages[: count // 2])
        both.broker.stop()  # what waits survives a restart in the middle of the outage
        both.broker.start()
        async with both.node() as (node, owner):
            await send(node, owner, messages[count // 2 :])
        both.center.start()
        async with both.consumer() as (_, heard):
            await until(lambda: len(set(numbers(heard))) == count, 30)
            assert set(numbers(heard)) == set(range(count))


async def test_what_is_too_much_is_dropped_and_the_rest_still_goes(
    tmp_path: Path, tls: Tls
) -> None:
    """A bridge of 2.0.11 was reported not to come back once its bound was reached."""
    with site(tmp_path, tls) as both:
        await both.until_bridged()
        both.center.stop()
        messages = [(TOPICS.event, b"%d".ljust(10_000) % number) for number in range(150)]
        async with both.node() as (node, owner):
            await send(node, owner, messages)
        both.center.start()
        async with both.consumer() as (_, heard), both.node() as (node, owner):
            await until(lambda: len(set(numbers(heard))) >= 90, 30)
            await send(node, owner, [(TOPICS.event, b"1000")])
            await until(lambda: 1000 in numbers(heard))
            received = sorted(set(numbers(heard)) - {1000})
            assert received == list(range(len(received)))
            assert 90 <= len(received) <= 102


async def test_nodes_speak_for_themselves_alone(tmp_path: Path, tls: Tls) -> None:
    other = Topics(SITE, "n2")
    with site(tmp_path, tls) as both:
        async with both.node() as (node, owner):
            for token, topic in enumerate([other.node_status, other.event, DOWN[0], DOWN[2]]):
                assert node.publish(topic, b"", token=token)
            await until(lambda: len(owner.refused) == 4)
            assert not owner.lost
        stranger = new_session(quick(both.broker.port), Owner().events)
        async with kept(stranger):
            await until(lambda: sum(stranger.stats.failures.values()) >= 1)
            assert not stranger.stats.connects


async def test_nodes_elsewhere_come_over_tls(tmp_path: Path, tls: Tls) -> None:
    with site(tmp_path, tls) as both:
        mqtt = quick(
            both.broker.outer_port,
            username=NODE,
            password_file=str(both.password),
            tls=Tls(ca_file=tls.ca_file),
        )
        async with connected(mqtt) as (node, owner):
            await send(node, owner, [(TOPICS.event, b"1")])


# --- commands ------------------------------------------------------------------------------------


async def test_nodes_hear_what_their_neighbours_have_and_none_of_their_commands(
    tmp_path: Path, tls: Tls
) -> None:
    with site(tmp_path, tls) as both:
        async with both.node() as (node, owner), both.node(NEIGHBOUR) as (beside, other):
            node.subscribe(["stoker/#"])
            said = [
                BESIDE.node_status,
                BESIDE.inventory_manifest,
                BESIDE.inventory_page(0),
                BESIDE.command_state("c1"),
                BESIDE.command_results("c1", 0),
                f"{TOPICS.root}/reply/desk/1",
                BESIDE.summary,
                BESIDE.event,
            ]
            await send(beside, other, [(topic, b"1") for topic in said])
            async with both.node(SENDER) as (sender, its):
                to_other = BESIDE.commands[1].replace("+", "c1")
                to_both = TOPICS.commands[0].replace("+", "c2")
                await send(sender, its, [(to_other, b"1"), (to_both, b"1")])
            await until(lambda: any(each.topic == to_both for each in owner.messages))
            heard = {message.topic for message in owner.messages}
            assert heard == {BESIDE.node_status, BESIDE.inventory_manifest, to_both}


async def test_a_sender_hears_what_becomes_of_his_commands_and_speaks_for_no_node(
    tmp_path: Path, tls: Tls
) -> None:
    reply = f"{TOPICS.root}/reply/desk/1"
    with site(tmp_path, tls) as both:
        async with both.node(SENDER) as (sender, owner), both.node() as (node, its):
            sender.subscribe(["stoker/#"])
            answers = [TOPICS.command_state("c1"), TOPICS.command_results("c1", 0), reply]
            roster = [TOPICS.node_status, TOPICS.inventory_manifest, TOPICS.inventory_page(0)]
            await send(node, its, [(topic, b"1") for topic in [TOPICS.event, *answers, *roster]])
            await until(lambda: {each.topic for each in owner.messages} == {*answers, *roster})
            forbidden = [*answers[:2], *roster, TOPICS.event, DOWN[0]]
            for token, topic in enumerate(forbidden):
                assert sender.publish(topic, b"", token=token)
            await until(lambda: len(owner.refused) == len(forbidden))


async def test_a_command_of_any_size_that_nodes_take_passes_and_no_flood_does(
    tmp_path: Path, tls: Tls
) -> None:
    with site(tmp_path, tls) as both:
        async with both.node() as (node, owner), both.node(SENDER) as (sender, its):
            node.subscribe(TOPICS.commands)
            await send(sender, its, [(DOWN[2], b"x" * COMMAND_LIMIT_BYTES)])
            await until(lambda: len(owner.messages) == 1)
            sender.publish(DOWN[2], b"x" * 10_000_000, token=99)
            await until(lambda: bool(its.lost) or sender.stats.too_large > 0)
            await send(node, owner, [(TOPICS.event, b"1")])
            assert len(owner.messages) == 1


async def test_stoker_send_reaches_the_nodes_with_password_and_tls(
    tmp_path: Path, tls: Tls, capsys: pytest.CaptureFixture[str]
) -> None:
    key = key_file(tmp_path / "ana.key")
    with site(tmp_path, tls) as both:
        config = both.sender_config(tmp_path / "sender.toml")
        async with both.node() as (node, owner):
            node.subscribe(TOPICS.commands)
            await send(node, owner, [(TOPICS.event, b"1")])  # the broker has the subscription
            argv = ["send", "config.reload", "--id", "c9", "--config", str(config)]
            assert await asyncio.to_thread(main, [*argv, "--key", str(tmp_path / "ana.key")]) == 0
            await until(lambda: len(owner.messages) == 1)
            envelope = parse(owner.messages[0].payload)
            key.public_key().verify(envelope.signature, envelope.signing_input)
            assert owner.messages[0].topic == TOPICS.commands[0].replace("+", "c9")
    assert "sent config.reload as c9" in capsys.readouterr().out
