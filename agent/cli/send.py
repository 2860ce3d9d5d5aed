"""`stoker send VERB`: sign a command, put it on the broker, and follow it to its end."""

from __future__ import annotations

import argparse
import getpass
import math
import socket
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from agent.cli.drafting import Draft, draft
from agent.cli.following import DONE, Following
from agent.cli.patience import Patience
from agent.cli.send_views import View, view
from agent.cli.sending import Line
from agent.cli.show import printer
from agent.cli.signing import key_id, private_key
from agent.config.load import load
from agent.config.schema import Mqtt
from agent.config.terms import Name
from agent.errors import AgentError
from agent.remote.envelope import COMMAND_LIMIT_BYTES, digest_of, sign

DELIVERY_S = 15.0
TIMEOUT_S = 600.0
TURN_S = 0.25
LATE_EXPIRY_S = 60.0
"""Of a repeat after the command's time: who knows it answers, who does not says `expired`."""


class Outgoing(NamedTuple):
    """A signed command and where it goes."""

    draft: Draft
    payload: bytes
    following: Following

    @property
    def command_id(self) -> str:
        """The id of the command."""
        return str(self.draft.claims["jti"])

    def facts(self) -> dict[str, Any]:
        """What is told of it; nothing of its parameters, which may hold passwords."""
        return {
            "id": self.command_id,
            "verb": self.draft.claims["verb"],
            "topic": self.following.topic,
            "digest": digest_of(self.payload),
            "bytes": len(self.payload),
            "expires_at": self.draft.expires_at,
        }


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `send`."""
    parser = subparsers.add_parser(
        "send",
        help="send a signed command over the broker, and follow it",
        description="SPEC: all, an id, or key=value joined by commas (rack=B7,make=Bitmain). "
        "Several --target add up, as ids or as values of one key.",
        epilog="With --wait: 0 where all of it succeeded, 3 where not all, "
        "1 where it was rejected or not answered in time.",
    )
    parser.add_argument("verb", metavar="VERB", help="as mining.pause; docs/mqtt.md has them all")
    _add_what(parser)
    _add_where(parser)
    parser.add_argument("--wait", action="store_true", help="follow it until all nodes have ended")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help="with --wait: at most so long"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def _add_what(parser: argparse.ArgumentParser) -> None:
    several: dict[str, Any] = {"action": "append", "default": []}
    add = parser.add_argument
    add("--target", metavar="SPEC", help="the devices that are meant", **several)
    add("--max-targets", type=int, metavar="N", help="rejected if more devices are meant")
    add("--param", metavar="NAME=VALUE", help="a parameter of the verb", **several)
    add("--params", metavar="JSON", help="all parameters as an object")
    add("--expires", type=float, metavar="S", help="default: the verb's own")
    add("--not-before", metavar="T", help="begin then: 2026-01-31T06:00:00Z, or +600 seconds")
    add("--rollout", metavar="SPEC", help="in waves: wave=100,pause=60,stop=0.05")
    add("--dry-run", action="store_true", help="only say what would be done")
    add("--supersedes", metavar="ID", help="cancel that command", **several)
    add("--id", metavar="ID", help="of this command; default: a new UUID")


def _add_where(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--key", type=Path, required=True, metavar="FILE", help="the private key (PEM, Ed25519)")
    add("--key-id", metavar="ID", help="default: the name of the file without its ending")
    add("--broker", metavar="HOST[:PORT]")
    add("--config", type=Path, metavar="FILE", help="take [mqtt] and [site] from there")
    add("--site", metavar="NAME")
    add("--node", metavar="NAME", help="for this node only; default: every node of the site")


def run(arguments: argparse.Namespace) -> int:
    """Send it; with --wait what became of it is the exit code."""
    if not 0 < arguments.timeout < math.inf:
        raise AgentError(f"--timeout: expected seconds, found {arguments.timeout:g}")
    mqtt, site = _where(arguments)
    outgoing = _prepare(arguments, site)
    shown = view(printer(), as_json=arguments.json, monotonic=time.monotonic)
    with Line(mqtt, outgoing.following.filters if arguments.wait else ()) as line:
        line.delivered(_publish(line, outgoing), DELIVERY_S)
        shown.sent(outgoing.facts())
        return _follow(line, outgoing, shown, arguments.timeout) if arguments.wait else DONE


def _follow(line: Line, outgoing: Outgoing, shown: View, timeout_s: float) -> int:
    following = outgoing.following
    patience = Patience(following, time.monotonic(), timeout_s)
    try:
        while not patience.over(time.monotonic()):
            _take(line, following, patience, shown)
            if patience.repeat_due(time.monotonic()):
                _publish(line, outgoing)
        shown.over(following, following.words())
    except KeyboardInterrupt:
        shown.close()
        shown.say(f"it goes on; command.cancel with command={outgoing.command_id} would end it")
        raise
    finally:
        shown.close()
    return following.exit_code()


def _take(line: Line, following: Following, patience: Patience, shown: View) -> None:
    heard = line.hear(TURN_S)
    said = following.hear(*heard) if heard else None
    if said is not None:
        patience.news(time.monotonic())
        shown.news(said, following)


def _publish(line: Line, outgoing: Outgoing) -> int:
    left_s = outgoing.draft.expires_at - time.time()
    expiry_s = left_s if left_s > 0 else LATE_EXPIRY_S
    return line.publish(outgoing.following.topic, outgoing.payload, expiry_s)


# --- what is sent, and where to ----------------------------------------------------------------


def _prepare(arguments: argparse.Namespace, site: str) -> Outgoing:
    key = private_key(arguments.key)
    command_id = str(uuid.uuid4()) if arguments.id is None else arguments.id
    now = round(time.time(), 3)
    what = draft(arguments, site=site, command_id=command_id, sender=_sender(), now=now)
    payload = sign(what.claims, key, _name(arguments.key_id or key_id(arguments.key), "--key-id"))
    if len(payload) > COMMAND_LIMIT_BYTES:
        raise AgentError(
            f"the command has {len(payload):,} bytes, more than {COMMAND_LIMIT_BYTES:,}: "
            "name its devices by a place or tag, or send several"
        )
    following = Following(site, command_id, digest_of(payload), arguments.node)
    return Outgoing(what, payload, following)


def _sender() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:128]


def _where(arguments: argparse.Namespace) -> tuple[Mqtt, str]:
    if arguments.broker is None and arguments.config is None:
        raise AgentError("name the broker: --broker HOST[:PORT], or --config FILE")
    config = load(arguments.config) if arguments.config else None
    mqtt = config.mqtt if config else Mqtt()
    site = arguments.site or (config.site.name if config else None)
    if site is None:
        raise AgentError("name the site: --site NAME, or --config FILE")
    if arguments.node:
        _name(arguments.node, "--node")
    return _at(mqtt, arguments.broker) if arguments.broker else mqtt, _name(site, "--site")


def _at(mqtt: Mqtt, broker: str) -> Mqtt:
    host, _, port = broker.partition(":")
    try:
        place = msgspec.convert({"host": host, "port": int(port or 1883)}, Mqtt)
    except ValueError:
        raise AgentError(f"--broker {broker!a}: expected HOST or HOST:PORT") from None
    return structs.replace(mqtt, host=place.host, port=place.port)


def _name(text: str, option: str) -> str:
    try:
        return msgspec.convert(text, Name)
    except msgspec.ValidationError:
        raise AgentError(
            f"{option} {text!a}: expected up to 64 letters, digits, '.', '_' and '-'"
        ) from None
