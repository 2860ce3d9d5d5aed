"""What is allowed but said."""

from pathlib import Path

from agent.config.advice import advice
from agent.config.load import load
from tests.unit.test_config_load import SITE, write

LOOPBACK = '[[range]]\naddresses = "127.0.0.1"\n'


def said(directory: Path, text: str) -> tuple[str, ...]:
    return advice(load(write(directory, SITE + text)))


def test_nothing_to_say(tmp_path: Path) -> None:
    text = LOOPBACK + 'interface = "lo"\nsource_address = "127.0.0.1"\n'
    assert said(tmp_path, text) == ()


def test_no_ranges(tmp_path: Path) -> None:
    assert [sentence.split(":")[0] for sentence in said(tmp_path, "")] == ["range"]


def test_an_interface_and_an_address_that_are_not_here(tmp_path: Path) -> None:
    text = LOOPBACK + 'interface = "no-such-port"\nsource_address = "192.0.2.1"\n'
    keys = [sentence.split(":")[0] for sentence in said(tmp_path, text)]
    assert keys == ["range[0].interface", "range[0].source_address"]


def test_a_sweep_that_takes_too_long(tmp_path: Path) -> None:
    text = '[[range]]\naddresses = "10.0.0.0/16"\n[discovery]\nper_second = 10'
    assert said(tmp_path, text) == (
        "discovery.per_second: a sweep of 65534 addresses takes 6553 s, "
        "longer than sweep_interval_s = 600",
    )
    assert said(tmp_path, text + "\nenabled = false") == ()


def test_a_password_in_the_clear(tmp_path: Path) -> None:
    mqtt = '[mqtt]\nusername = "u"\nhost = "{}"\n'
    assert said(tmp_path, LOOPBACK + mqtt.format("localhost")) == ()
    assert said(tmp_path, LOOPBACK + mqtt.format("127.0.0.1")) == ()
    assert said(tmp_path, LOOPBACK + mqtt.format("broker.example"))[0].startswith("mqtt.tls:")


def test_a_password_for_everyone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    text = LOOPBACK + '[mqtt]\nusername = "u"\npassword_file = "secret"\n'
    secret.chmod(0o644)
    assert said(tmp_path, text)[0].startswith("mqtt.password_file:")
    secret.chmod(0o640)
    assert said(tmp_path, text) == ()


def test_gpus_that_are_expected_and_not_looked_for(tmp_path: Path) -> None:
    text = LOOPBACK + "[gpu]\nexpected = 8\n"
    assert said(tmp_path, text) == ()
    assert said(tmp_path, text + "enabled = false\n")[0].startswith("gpu.enabled:")
    assert "its GPUs" in said(tmp_path, "")[0]
    assert "its GPUs" not in said(tmp_path, "[gpu]\nenabled = false\n")[0]
