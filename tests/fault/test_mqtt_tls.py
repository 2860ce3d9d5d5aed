"""TLS against a real mosquitto: verified by default, client certificates, large transfers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.config.schema import Tls
from agent.mqtt.failure import Cause
from tests.broker import Owner, both_loops, connected, kept, new_session, quick, running, until


class Authority:
    """A certificate authority of two commands."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.cert = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        self._openssl("req", "-x509", *self._new(self._key, name), "-out", str(self.cert))

    def issue(self, name: str, alternative: str) -> Tls:
        """A certificate and its key, beside this authority as the accepted one."""
        key, request, cert = (self._directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        self._openssl("req", *self._new(key, name), "-out", str(request))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        self._openssl(
            *("x509", "-req", "-in", str(request), "-out", str(cert), "-days", "1"),
            *("-CA", str(self.cert), "-CAkey", str(self._key), "-CAcreateserial"),
            *("-extfile", str(extensions)),
        )
        return Tls(ca_file=str(self.cert), cert_file=str(cert), key_file=str(key))

    @staticmethod
    def _new(key: Path, name: str) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*curve, "-keyout", str(key), "-subj", f"/CN={name}", "-days", "1"]

    @staticmethod
    def _openssl(*words: str) -> None:
        # Older releases warn of -days without -x509.
        subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> tuple[Authority, Tls]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    authority = Authority(tmp_path_factory.mktemp("pki"), "authority")
    return authority, authority.issue("broker", "IP:127.0.0.1")


def serving(tls: Tls, *more: str) -> tuple[str, ...]:
    return (f"cafile {tls.ca_file}", f"certfile {tls.cert_file}", f"keyfile {tls.key_file}", *more)


@both_loops
async def test_a_verified_broker_takes_large_and_many_messages(pki, tmp_path):
    _, tls = pki
    with running(tmp_path, *serving(tls)) as broker:
        mqtt = quick(broker.port, tls=Tls(ca_file=tls.ca_file))
        async with connected(mqtt, inbound_limit=8 << 20) as (session, owner):
            session.subscribe(["t/#"])
            big = bytes(range(256)) * 16_384  # 4 MiB: many records, many partial writes
            assert session.publish("t/big", big, token=0)
            for token in range(1, 500):
                if session.window == 0:
                    await until(lambda: session.window > 0)
                assert session.publish(f"t/{token}", b"x" * 1200, token=token)
            await until(lambda: len(owner.acknowledged) == 500)
            await until(lambda: len(owner.messages) == 500)
            assert owner.messages[0].payload == big
            assert [message.topic for message in owner.messages[1:]] == [
                f"t/{token}" for token in range(1, 500)
            ]
            assert owner.lost == []


@both_loops
async def test_a_broker_of_a_foreign_authority_or_another_name_is_refused(pki, tmp_path):
    authority, tls = pki
    foreign = Authority(tmp_path, "foreign")
    elsewhere = authority.issue("elsewhere", "DNS:broker.example")
    tries = ((tls, str(foreign.cert)), (tls, None), (elsewhere, tls.ca_file))
    for number, (server, accepted) in enumerate(tries):
        place = tmp_path / str(number)
        place.mkdir()
        with running(place, *serving(server)) as broker:
            owner = Owner()
            session = new_session(quick(broker.port, tls=Tls(ca_file=accepted)), owner.events)
            async with kept(session):
                await until(lambda session=session: session.stats.failures[Cause.TLS] >= 2)
            assert owner.connects == 0


async def test_a_client_certificate_opens_the_door(pki, tmp_path):
    authority, tls = pki
    mine = authority.issue("node", "DNS:node")
    with running(tmp_path, *serving(tls, "require_certificate true")) as broker:
        async with connected(quick(broker.port, tls=mine)) as (session, owner):
            assert session.publish("t", b"", token=1)
            await until(lambda: owner.acknowledged == [1])
        stranger = new_session(quick(broker.port, tls=Tls(ca_file=tls.ca_file)), Owner().events)
        async with kept(stranger):
            await until(lambda: sum(stranger.stats.failures.values()) >= 2)
            assert stranger.stats.connects == 0


async def test_tls_to_a_plain_port_fails_and_does_not_hang(tmp_path):
    with running(tmp_path) as broker:
        session = new_session(quick(broker.port, tls=Tls(), connect_timeout_s=1.0), Owner().events)
        async with kept(session):
            await until(lambda: sum(session.stats.failures.values()) >= 1)
            assert session.stats.connects == 0


async def test_a_frozen_tls_broker_is_noticed(pki, tmp_path):
    _, tls = pki
    with running(tmp_path, *serving(tls)) as broker:
        mqtt = quick(broker.port, tls=Tls(ca_file=tls.ca_file), keepalive_s=1)
        async with connected(mqtt) as (session, owner):
            broker.freeze()
            for token in range(20):
                assert session.publish("t", bytes(1 << 20), token=token)
            await until(lambda: len(owner.lost) == 1)
            assert owner.lost[0].cause is Cause.FROZEN
            assert owner.unacknowledged == list(range(20))
            broker.thaw()
            await until(lambda: owner.connects == 2)
