from __future__ import annotations

import pytest

from agent.config.schema import Mqtt, Tls
from agent.mqtt.failure import Cause, LinkLost
from agent.mqtt.secrets import load


def refused(mqtt: Mqtt) -> str:
    with pytest.raises(LinkLost) as caught:
        load(mqtt)
    assert caught.value.cause is Cause.CREDENTIALS
    return caught.value.detail


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_password_is_read_without_its_line_end(tmp_path, ending):
    (tmp_path / "secret").write_bytes(b" open sesame " + ending)
    secrets = load(Mqtt(password_file=str(tmp_path / "secret")))
    assert secrets.password == b" open sesame "
    assert secrets.tls is None
    assert "sesame" not in repr(secrets)


def test_no_password_is_no_password():
    assert load(Mqtt()).password is None


def test_a_systemd_credential_is_found(tmp_path, monkeypatch):
    (tmp_path / "broker").write_text("sesame\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load(Mqtt(password_credential="broker")).password == b"sesame"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert "broker" in refused(Mqtt(password_credential="broker"))


def test_a_missing_or_empty_file_is_named(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert str(empty) in refused(Mqtt(password_file=str(empty)))
    assert "absent" in refused(Mqtt(password_file=str(tmp_path / "absent")))
    assert "absent" in refused(Mqtt(tls=Tls(ca_file=str(tmp_path / "absent"))))


def test_a_file_that_is_no_certificate_is_an_error_not_a_crash(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    assert "ca.pem" in refused(Mqtt(tls=Tls(ca_file=str(tmp_path / "ca.pem"))))


def test_verification_is_on():
    context = load(Mqtt(tls=Tls())).tls
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert context.minimum_version.name == "TLSv1_2"
