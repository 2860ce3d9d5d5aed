"""The senders of docs/mqtt.md: what they put on a real broker is a command like any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.config.commands import Commands, SigningKey
from agent.config.public_keys import encode
from agent.remote.claims import Claims, Target
from agent.remote.envelope import parse
from agent.remote.messages import State
from agent.remote.ring import Ring
from tests.broker import Broker, running
from tests.orders_by_mqtt import SITE, Received, StandIn, key_file, nodes

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = [sys.executable, str(DOCS / "examples/send.py")]
SHELL = ["sh", str(DOCS / "examples/send.sh")]
TARGET = {"tags": {"rack": ["B7", 'B8 "Süd" \\ %s']}, "max_targets": 90}
PARAMS = {"watts": 3000}
PROGRAMS = ("openssl", "mosquitto_pub", "mosquitto_sub")


def succeeds(node: StandIn, command: Received) -> None:
    node.tell(command, State.SUCCEEDED, 1)


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """It waits for answers for a minute: it is ended when one has come."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the shell waits for its children
        process.communicate(timeout=10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path) as found:
        yield found


@pytest.mark.parametrize("sender", [PYTHON, SHELL], ids=["python", "shell"])
def test_a_node_takes_what_the_examples_send(
    broker: Broker, tmp_path: Path, sender: list[str]
) -> None:
    if sender is SHELL and not all(map(shutil.which, PROGRAMS)):
        pytest.skip(f"needs {', '.join(PROGRAMS)}")
    private = key_file(tmp_path / "ana.key")
    public_key = encode(private.public_key().public_bytes_raw())
    ring = Ring(Commands(key=(SigningKey(id="ana", verbs=("power.*",), public_key=public_key),)))
    where = ["127.0.0.1", str(broker.port), SITE, str(tmp_path / "ana.key"), "ana"]
    what = ["power.limit", json.dumps(TARGET), json.dumps(PARAMS)]
    with nodes(broker.port, private, {"n1": succeeds}) as there:
        with started([*sender, *where, *what]) as process:
            assert process.stdout is not None
            answer = json.loads(process.stdout.readline())
        (command,) = there["n1"].received
    assert ring.verify(parse(command.payload), datetime.now(UTC)).id == "ana"
    assert answer["state"] == "succeeded"
    assert answer["digest"] == command.digest
    assert (command.retain, command.qos) == (False, 1)
    assert command.expiry_s is not None
    assert 50 < command.expiry_s <= 60
    assert command.topic == f"stoker/v1/{SITE}/cmd/{command.claims.jti}"
    now = datetime.now(UTC).timestamp()
    assert command.claims == Claims(
        jti=command.claims.jti,
        aud=SITE,
        iat=pytest.approx(now, abs=30),
        exp=pytest.approx(now + 60, abs=30),
        verb="power.limit",
        target=msgspec.convert(TARGET, Target),
        params=PARAMS,
    )


@pytest.mark.parametrize("name", ["send.py", "send.sh"])
def test_the_guide_shows_the_examples_as_they_are(name: str) -> None:
    shown = [
        line for line in (DOCS / "examples" / name).read_text().splitlines() if "noqa" not in line
    ]
    assert "\n".join(shown) in (DOCS / "mqtt.md").read_text()


def test_the_sender_in_python_is_short() -> None:
    lines = (DOCS / "examples/send.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith(("#", '"""', "import", "from"))]
    assert len(code) <= 20
